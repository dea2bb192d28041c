"""The columns of every dataset in the lake: what the write half must deliver and the read half may rely on.

Types stay portable: no engine-only types, times in UTC microseconds, strings where a value has no fixed set.
"""

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")
_CODED = pa.dictionary(pa.int32(), pa.string())
"""A string of few distinct values, dictionary-encoded all the way from the parser to Parquet."""

ACCESS_LOGS = pa.schema(
    [
        pa.field("started_at", TIMESTAMP, nullable=False),
        pa.field("direction", _CODED, nullable=False),  # inbound, outbound, unknown
        pa.field("reporter", _CODED, nullable=False),  # sidecar, gateway, waypoint, unknown
        ("method", _CODED),
        ("path", pa.string()),
        ("authority", _CODED),
        ("protocol", _CODED),
        pa.field("response_code", pa.int32(), nullable=False),  # 0 where no response was begun
        ("response_flags", _CODED),  # as logged; null for none
        ("response_code_details", _CODED),
        ("connection_termination_details", _CODED),
        ("upstream_transport_failure_reason", _CODED),
        ("bytes_received", pa.int64()),
        ("bytes_sent", pa.int64()),
        ("duration_ms", pa.int64()),
        ("upstream_service_time_ms", pa.int64()),
        ("x_forwarded_for", pa.string()),
        ("user_agent", _CODED),
        ("request_id", pa.string()),
        ("upstream_cluster", _CODED),
        ("cluster_port", pa.int32()),
        ("cluster_subset", _CODED),
        ("cluster_host", _CODED),
        ("service", _CODED),  # name.namespace where the host is a Kubernetes one, else the host
        ("upstream_host", _CODED),
        ("upstream_local_address", pa.string()),
        ("downstream_local_address", _CODED),
        ("downstream_remote_address", pa.string()),
        ("requested_server_name", _CODED),
        ("route_name", _CODED),
        ("pod", _CODED),
        ("namespace", _CODED),
        ("node", _CODED),
        pa.field("source", _CODED, nullable=False),
        pa.field("line_number", pa.int64(), nullable=False),  # 1-based, in the decompressed source
        ("extra", pa.string()),  # unmapped keys, as a JSON object
    ]
)

QUARANTINE = pa.schema(
    [
        pa.field("quarantined_at", TIMESTAMP, nullable=False),
        pa.field("source", _CODED, nullable=False),
        pa.field("line_number", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),  # what is wrong and where in the line
        pa.field("raw", pa.binary(), nullable=False),  # the line's own bytes, cut at the length limit
    ]
)

LOADS = pa.schema(
    [
        pa.field("load_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("loaded_at", TIMESTAMP, nullable=False),
        pa.field("lines", pa.int64(), nullable=False),  # = rows + rejects + noise + blank; CRI pieces count once
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("rejects", pa.int64(), nullable=False),
        pa.field("noise", pa.int64(), nullable=False),
        pa.field("blank", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),  # of text, decompressed
        ("first_started_at", TIMESTAMP),
        ("last_started_at", TIMESTAMP),
        ("problem", pa.string()),  # e.g. a truncated gzip: what came before it was kept
    ]
)

_OF_A_SNAPSHOT = [
    pa.field("snapshot_at", TIMESTAMP, nullable=False),  # when the configuration stood so
    pa.field("read_at", TIMESTAMP, nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("document", pa.int32(), nullable=False),  # 1-based, in the source
]

_OF_A_PROXY = [("proxy", pa.string())]  # pod.namespace, where the output or --proxy tells it

MESH = {
    # Kubernetes and Istio objects; body is a JSON object without secrets
    "mesh/objects": pa.schema(
        [
            *_OF_A_SNAPSHOT,
            pa.field("kind", pa.string(), nullable=False),
            pa.field("api_group", pa.string(), nullable=False),  # empty for core
            pa.field("api_version", pa.string(), nullable=False),
            ("namespace", pa.string()),
            pa.field("name", pa.string(), nullable=False),
            pa.field("labels", pa.string(), nullable=False),  # a JSON object
            pa.field("body", pa.string(), nullable=False),  # spec, status and what else the kind has
            pa.field("is_understood", pa.bool_(), nullable=False),
            ("unknown_fields", pa.list_(pa.string())),
        ]
    ),
    "mesh/proxies": pa.schema(
        [
            *_OF_A_SNAPSHOT,
            *_OF_A_PROXY,
            ("node_id", pa.string()),
            ("workload", pa.string()),
            ("version", pa.string()),
            ("istio_version", pa.string()),
            ("region", pa.string()),
            ("zone", pa.string()),
            ("admin_port", pa.int32()),
            ("stats_port", pa.int32()),
            ("sync_state", pa.string()),  # a JSON object, from istioctl proxy-status
        ]
    ),
    "mesh/listeners": pa.schema(
        [
            *_OF_A_SNAPSHOT,
            *_OF_A_PROXY,
            ("listener", pa.string()),
            ("address", pa.string()),
            ("port", pa.int32()),
            pa.field("place", pa.int32(), nullable=False),  # 1-based, in the order of the output
            ("match", pa.string()),  # as istioctl prints it
            ("destination", pa.string()),
        ]
    ),
    "mesh/routes": pa.schema(
        [
            *_OF_A_SNAPSHOT,
            *_OF_A_PROXY,
            pa.field("route_config", pa.string(), nullable=False),
            ("virtual_host", pa.string()),
            ("domains", pa.list_(pa.string())),
            pa.field("place", pa.int32(), nullable=False),
            ("route_name", pa.string()),  # as access logs have it
            ("match", pa.string()),
            ("cluster", pa.string()),  # several with their weights, comma-separated
            ("virtual_service", pa.string()),  # name.namespace
            ("settings", pa.string()),  # a JSON object: field of a VirtualService's rule to its value
        ]
    ),
    "mesh/clusters": pa.schema(
        [
            *_OF_A_SNAPSHOT,
            *_OF_A_PROXY,
            pa.field("cluster", pa.string(), nullable=False),
            ("direction", pa.string()),
            ("port", pa.int32()),
            ("subset", pa.string()),
            pa.field("host", pa.string(), nullable=False),  # FQDN, or the cluster's own name
            ("type", pa.string()),
            ("destination_rule", pa.string()),  # name.namespace
            pa.field("is_static", pa.bool_(), nullable=False),  # from the bootstrap
            ("settings", pa.string()),  # a JSON object: field of a traffic policy to its value
        ]
    ),
    "mesh/endpoints": pa.schema(
        [
            *_OF_A_SNAPSHOT,
            *_OF_A_PROXY,
            pa.field("cluster", pa.string(), nullable=False),
            pa.field("address", pa.string(), nullable=False),  # with port, or a path
            ("status", pa.string()),
            ("outlier_check", pa.string()),
            ("zone", pa.string()),
        ]
    ),
}
"""The datasets of the mesh's own configuration. What a text table does not print is null."""
