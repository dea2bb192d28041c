"""The columns of every dataset in the lake: what the write half must deliver and the read half may rely on.

Kinds are SQL's, and portable: no engine-only types, times in UTC microseconds, text where a value has no fixed set.
They stand apart from `schema`, which knows them as Arrow: a query that needs no Arrow starts without loading it.
"""

from typing import NamedTuple

CODED = "coded"
"""A `varchar` of few distinct values, dictionary-encoded all the way from the parser to Parquet."""


class Column(NamedTuple):
    """A column: its name, its kind (an SQL type, or `CODED`), and whether it may be null."""

    name: str
    kind: str
    is_nullable: bool = True

    @property
    def sql(self) -> str:
        """The column as SQL declares it in a table."""
        return f'"{self.name}" {"varchar" if self.kind == CODED else self.kind}'


ACCESS_LOGS = (
    Column("started_at", "timestamptz", is_nullable=False),
    Column("direction", CODED, is_nullable=False),  # inbound, outbound, unknown
    Column("reporter", CODED, is_nullable=False),  # sidecar, gateway, waypoint, unknown
    Column("method", CODED),
    Column("path", "varchar"),
    Column("authority", CODED),
    Column("protocol", CODED),
    Column("response_code", "integer", is_nullable=False),  # 0 where no response was begun
    Column("response_flags", CODED),  # as logged; null for none
    Column("response_code_details", CODED),
    Column("connection_termination_details", CODED),
    Column("upstream_transport_failure_reason", CODED),
    Column("bytes_received", "bigint"),
    Column("bytes_sent", "bigint"),
    Column("duration_ms", "bigint"),
    Column("upstream_service_time_ms", "bigint"),
    Column("x_forwarded_for", "varchar"),
    Column("user_agent", CODED),
    Column("request_id", "varchar"),
    Column("upstream_cluster", CODED),
    Column("cluster_port", "integer"),
    Column("cluster_subset", CODED),
    Column("cluster_host", CODED),
    Column("service", CODED),  # name.namespace where the host is a Kubernetes one, else the host
    Column("upstream_host", CODED),
    Column("upstream_local_address", "varchar"),
    Column("downstream_local_address", CODED),
    Column("downstream_remote_address", "varchar"),
    Column("requested_server_name", CODED),
    Column("route_name", CODED),
    Column("pod", CODED),
    Column("namespace", CODED),
    Column("node", CODED),
    Column("source", CODED, is_nullable=False),
    Column("line_number", "bigint", is_nullable=False),  # 1-based, in the decompressed source
    Column("extra", "varchar"),  # unmapped keys, as a JSON object
)

QUARANTINE = (
    Column("quarantined_at", "timestamptz", is_nullable=False),
    Column("source", CODED, is_nullable=False),
    Column("line_number", "bigint", is_nullable=False),
    Column("reason", "varchar", is_nullable=False),  # what is wrong and where in the line
    Column("raw", "blob", is_nullable=False),  # the line's own bytes, cut at the length limit
)

LOADS = (
    Column("load_id", "varchar", is_nullable=False),
    Column("source", "varchar", is_nullable=False),
    Column("loaded_at", "timestamptz", is_nullable=False),
    Column("lines", "bigint", is_nullable=False),  # = rows + rejects + noise + blank; CRI pieces count once
    Column("rows", "bigint", is_nullable=False),
    Column("rejects", "bigint", is_nullable=False),
    Column("noise", "bigint", is_nullable=False),
    Column("blank", "bigint", is_nullable=False),
    Column("bytes", "bigint", is_nullable=False),  # of text, decompressed
    Column("first_started_at", "timestamptz"),
    Column("last_started_at", "timestamptz"),
    Column("problem", "varchar"),  # e.g. a truncated gzip: what came before it was kept
)

_OF_A_SNAPSHOT = (
    Column("snapshot_at", "timestamptz", is_nullable=False),  # when the configuration stood so
    Column("read_at", "timestamptz", is_nullable=False),
    Column("source", "varchar", is_nullable=False),
    Column("document", "integer", is_nullable=False),  # 1-based, in the source
)

_OF_A_PROXY = (Column("proxy", "varchar"),)  # pod.namespace, where the output or --proxy tells it

MESH = {
    # Kubernetes and Istio objects; body is a JSON object without secrets
    "mesh/objects": (
        *_OF_A_SNAPSHOT,
        Column("kind", "varchar", is_nullable=False),
        Column("api_group", "varchar", is_nullable=False),  # empty for core
        Column("api_version", "varchar", is_nullable=False),
        Column("namespace", "varchar"),
        Column("name", "varchar", is_nullable=False),
        Column("labels", "varchar", is_nullable=False),  # a JSON object
        Column("body", "varchar", is_nullable=False),  # spec, status and what else the kind has
        Column("is_understood", "boolean", is_nullable=False),
        Column("unknown_fields", "varchar[]"),
    ),
    "mesh/proxies": (
        *_OF_A_SNAPSHOT,
        *_OF_A_PROXY,
        Column("node_id", "varchar"),
        Column("workload", "varchar"),
        Column("version", "varchar"),
        Column("istio_version", "varchar"),
        Column("region", "varchar"),
        Column("zone", "varchar"),
        Column("admin_port", "integer"),
        Column("stats_port", "integer"),
        Column("sync_state", "varchar"),  # a JSON object, from istioctl proxy-status
    ),
    "mesh/listeners": (
        *_OF_A_SNAPSHOT,
        *_OF_A_PROXY,
        Column("listener", "varchar"),
        Column("address", "varchar"),
        Column("port", "integer"),
        Column("place", "integer", is_nullable=False),  # 1-based, in the order of the output
        Column("match", "varchar"),  # as istioctl prints it
        Column("destination", "varchar"),
    ),
    "mesh/routes": (
        *_OF_A_SNAPSHOT,
        *_OF_A_PROXY,
        Column("route_config", "varchar", is_nullable=False),
        Column("virtual_host", "varchar"),
        Column("domains", "varchar[]"),
        Column("place", "integer", is_nullable=False),
        Column("route_name", "varchar"),  # as access logs have it
        Column("match", "varchar"),
        Column("cluster", "varchar"),  # several with their weights, comma-separated
        Column("virtual_service", "varchar"),  # name.namespace
        Column("settings", "varchar"),  # a JSON object: field of a VirtualService's rule to its value
    ),
    "mesh/clusters": (
        *_OF_A_SNAPSHOT,
        *_OF_A_PROXY,
        Column("cluster", "varchar", is_nullable=False),
        Column("direction", "varchar"),
        Column("port", "integer"),
        Column("subset", "varchar"),
        Column("host", "varchar", is_nullable=False),  # FQDN, or the cluster's own name
        Column("type", "varchar"),
        Column("destination_rule", "varchar"),  # name.namespace
        Column("is_static", "boolean", is_nullable=False),  # from the bootstrap
        Column("settings", "varchar"),  # a JSON object: field of a traffic policy to its value
    ),
    "mesh/endpoints": (
        *_OF_A_SNAPSHOT,
        *_OF_A_PROXY,
        Column("cluster", "varchar", is_nullable=False),
        Column("address", "varchar", is_nullable=False),  # with port, or a path
        Column("status", "varchar"),
        Column("outlier_check", "varchar"),
        Column("zone", "varchar"),
    ),
}
"""The datasets of the mesh's own configuration. What a text table does not print is null."""
