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
