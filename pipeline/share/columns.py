"""What becomes of each column of the lake's rows when they are shared; a column without a treatment is not shared."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.lake.schema import ACCESS_LOGS
from pipeline.share.pseudonyms import Pseudonyms

KEPT = "kept"
"""Numbers, and words that ingest itself chose."""

TIME = "time"
EXTRA = "extra"

TREATMENTS: Mapping[str, str] = {
    "started_at": TIME,
    "direction": KEPT,
    "reporter": KEPT,
    "method": "method",
    "path": "path",
    "authority": "name",
    "protocol": "code",
    "response_code": KEPT,
    "response_flags": "code",
    "response_code_details": "text",
    "connection_termination_details": "text",
    "upstream_transport_failure_reason": "text",
    "bytes_received": KEPT,
    "bytes_sent": KEPT,
    "duration_ms": KEPT,
    "upstream_service_time_ms": KEPT,
    "x_forwarded_for": "name",
    "user_agent": "agent",
    "request_id": "identifier",
    "upstream_cluster": "name",
    "cluster_port": KEPT,
    "cluster_subset": "name",
    "cluster_host": "name",
    "service": "name",
    "upstream_host": "name",
    "upstream_local_address": "name",
    "downstream_local_address": "name",
    "downstream_remote_address": "name",
    "requested_server_name": "name",
    "route_name": "name",
    "pod": "pod",
    "namespace": "name",
    "node": "name",
    "source": "identifier",
    "line_number": KEPT,
    "extra": EXTRA,
}
"""By column: kept, time, extra, or the method of `Pseudonyms` that treats it."""

SENSITIVE = tuple(name for name, treatment in TREATMENTS.items() if treatment not in (KEPT, TIME))

KEPT_KEYS = frozenset({"grpc_status_number", "grpc_status", "grpc-status", "istio_policy_status"})
"""Keys of `extra` that the models read: codes and words of Envoy."""


def shared(rows: pa.Table, pseudonyms: Pseudonyms, weeks_back: int, allowed: Collection[str]) -> pa.Table:
    """Return rows (`ACCESS_LOGS`) as they are shared, in their order; `allowed` keys of `extra` stay as they are."""
    columns = [
        _treated(rows[field.name].combine_chunks(), field, pseudonyms, weeks_back, allowed) for field in ACCESS_LOGS
    ]
    return pa.table(columns, schema=ACCESS_LOGS)


def _treated(
    values: pa.Array, field: pa.Field, pseudonyms: Pseudonyms, weeks_back: int, allowed: Collection[str]
) -> pa.Array:
    treatment = TREATMENTS[field.name]
    if treatment == KEPT:
        return values.cast(field.type)
    if treatment == TIME:
        return pc.subtract(values, pa.scalar(weeks_back * _WEEK_US, pa.duration("us"))).cast(field.type)
    if treatment == EXTRA:
        return _each_distinct(values, lambda text: _kept_keys(text, pseudonyms, allowed)).cast(field.type)
    treat: Callable[[str], str] = getattr(pseudonyms, treatment)
    return _each_distinct(values, treat).cast(field.type)


_WEEK_US = 7 * 24 * 3600 * 1_000_000


def _each_distinct(values: pa.Array, treat: Callable[[str], str | None]) -> pa.Array:
    """Treat each distinct value once."""
    encoded = values.cast(pa.string()).dictionary_encode()
    return pa.array(map(treat, encoded.dictionary.to_pylist()), pa.string()).take(encoded.indices)


def _kept_keys(text: str, pseudonyms: Pseudonyms, allowed: Collection[str]) -> str | None:
    found: dict[str, Any] = orjson.loads(text)
    kept = {key: _scrubbed(value, pseudonyms) for key, value in found.items() if key in KEPT_KEYS}
    kept |= {key: value for key, value in found.items() if key in allowed}
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode() if kept else None


def _scrubbed(value: Any, pseudonyms: Pseudonyms) -> Any:
    return value if isinstance(value, int | float | None) else pseudonyms.text(str(value))
