"""Which key of a log line fills which column, and what type that column has: the one table of spellings.

Keys are compared without case and punctuation, so `:authority`, `x-request-id`, `X_REQUEST_ID` and `responseCode` need
no entry of their own. A user's mapping names keys exactly and wins over the table. A key that fills no column goes to
`extra`, so nothing that was logged is lost.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import pyarrow as pa

from pipeline.errors import InputError, UsageError
from pipeline.lake.schema import TIMESTAMP

TIME = "started_at"
CODE = "response_code"
FLAGS = "response_flags"

WHOLE_NUMBERS = (CODE, "bytes_received", "bytes_sent", "duration_ms", "upstream_service_time_ms")
"""Columns of whole numbers: Envoy writes them as 200, "200" or (Istio 1.22.0 to 1.22.2) 200.0."""

SPELLINGS: Mapping[str, tuple[str, ...]] = {
    TIME: ("start_time", "started_at", "@timestamp", "timestamp", "time", "ts", "request_start_time"),
    "method": ("method", "request_method", "http_method", "req_method"),
    "path": ("path", "request_path", "x-envoy-original-path", "x-envoy-origin-path", "uri", "request_uri", "url_path"),
    "authority": ("authority", "request_authority", "http_host", "host_header"),
    "protocol": ("protocol", "http_protocol", "request_protocol"),
    CODE: ("response_code", "status_code", "status", "http_status", "response_status", "http_status_code"),
    FLAGS: ("response_flags", "flags", "envoy_response_flags", "response_flags_long"),
    "response_code_details": ("response_code_details", "code_details", "response_details"),
    "connection_termination_details": ("connection_termination_details", "termination_details"),
    "upstream_transport_failure_reason": ("upstream_transport_failure_reason", "upstream_transport_failure"),
    "bytes_received": ("bytes_received", "bytes_in", "request_bytes"),
    "bytes_sent": ("bytes_sent", "bytes_out", "response_bytes"),
    "duration_ms": ("duration", "duration_ms", "response_duration", "request_duration"),
    "upstream_service_time_ms": (
        "upstream_service_time",
        "upstream_service_time_ms",
        "x-envoy-upstream-service-time",
        "resp_x_envoy_upstream_service_time",
    ),
    "x_forwarded_for": ("x_forwarded_for", "forwarded_for", "xff"),
    "user_agent": ("user_agent", "http_user_agent"),
    "request_id": ("request_id", "x-request-id", "req_id", "xrequest_id"),
    "upstream_cluster": ("upstream_cluster", "upstream_cluster_raw"),
    "upstream_host": ("upstream_host", "upstream_remote_address"),
    "upstream_local_address": ("upstream_local_address",),
    "downstream_local_address": ("downstream_local_address",),
    "downstream_remote_address": ("downstream_remote_address",),
    "requested_server_name": ("requested_server_name", "sni"),
    "route_name": ("route_name",),
    "pod": ("pod", "pod_name", "kubernetes_pod_name", "hostname"),
    "namespace": ("namespace", "pod_namespace", "kubernetes_namespace_name"),
    "node": ("node", "node_name", "kubernetes_host"),
}
"""Column to the keys that fill it. Of several in one record the first here counts: Istio's own, never a collector's
`@timestamp` beside it. Sources: envoy-facts 2.1 to 2.3."""

COLUMNS = tuple(SPELLINGS)
TEXTS = tuple(name for name in COLUMNS if name != TIME and name not in WHOLE_NUMBERS)

SAME_LOCAL_IP, FORWARDED_LAST = "has_same_local_ip", "is_forwarded_last"
"""What `addresses` says of a line; null where it lacks one of the two addresses."""

PARSED = pa.schema(
    [
        (TIME, TIMESTAMP),
        *((name, pa.int64()) for name in WHOLE_NUMBERS),
        *((name, pa.string()) for name in TEXTS),
        ("extra", pa.string()),
        ("line_number", pa.int64()),
        (SAME_LOCAL_IP, pa.bool_()),
        (FORWARDED_LAST, pa.bool_()),
    ]
)
"""What both parsers deliver: typed columns, text still as it was logged ("-" included), and two comparisons."""

MAX_CODE = 999
MAX_NUMBER = 10**18 - 1
MIN_TIME_US, MAX_TIME_US = 0, 7_258_118_400_000_000
"""Microseconds of 1970-01-01 and 2200-01-01: a time outside is a mistake, and would make a partition of its own."""

ABSENT = ("-", "")
"""Texts that mean that Envoy had no value (envoy-facts 2.5)."""


@lru_cache(maxsize=4096)
def plain(key: str) -> str:
    """Strip a key of case and punctuation: `:authority` and `Authority` are the same word."""
    return re.sub(r"[^a-z0-9]", "", key.lower())


_COLUMN_OF = {plain(key): column for column, keys in SPELLINGS.items() for key in keys}
_RANK_OF = {plain(key): rank for keys in SPELLINGS.values() for rank, key in enumerate(keys)}


_MOST_SHAPES = 4096

_WRAPPER_KEYS = """
kubernetes log message MESSAGE msg line body Body event @message _raw textPayload jsonPayload log_processed _source
result fields logEvents events resourceLogs data LogMessage LogEntry short_message full_message
"""
WRAPPER_KEYS = frozenset(_WRAPPER_KEYS.split())
"""Keys that make an object worth a look inside before it is read as a line itself: all those of `envelopes.py`."""


@dataclass(frozen=True)
class Shape:
    """The keys of an object, the first of those for one column first, each with that column (None: `extra`)."""

    columns: tuple[tuple[str, str | None], ...]
    is_access_log: bool
    """Whether it can be read as it is: it has a start, and a code or flags, and no key of a wrapper."""
    may_be_access_log: bool
    """The same, should it turn out that it is no wrapper."""


@dataclass(frozen=True)
class FieldMap:
    """The key-to-column table with a user's own keys laid over it."""

    overrides: Mapping[str, str] = field(default_factory=dict)
    _shapes: dict[tuple[str, ...], "Shape"] = field(default_factory=dict, repr=False, compare=False)

    def column(self, key: str) -> str | None:
        """Name the column that `key` fills; None for a key that belongs in `extra`."""
        return self.overrides.get(key) or _COLUMN_OF.get(plain(key))

    def shape(self, keys: Iterable[str]) -> "Shape":
        """Return what an object with these keys is; lines have few shapes, so each is worked out once."""
        known = tuple(keys)
        found = self._shapes.get(known)
        if found is None:
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            found = self._shapes[known] = self._shape(known)
        return found

    def _shape(self, keys: tuple[str, ...]) -> "Shape":
        columns = tuple((key, self.column(key)) for key in sorted(keys, key=self._rank))
        filled = {column for _, column in columns}
        has_all = TIME in filled and (CODE in filled or FLAGS in filled)
        return Shape(columns, has_all and WRAPPER_KEYS.isdisjoint({*keys} - {*self.overrides}), has_all)

    def _rank(self, key: str) -> tuple[bool, int, str]:
        """Order the keys of one column: the user's own, then as in `SPELLINGS`, then by name."""
        return key not in self.overrides, _RANK_OF.get(plain(key), 0), key

    def is_access_log(self, keys: Iterable[str]) -> bool:
        """Say whether an object with these keys is an access log line: it has a start, and a code or flags."""
        return self.shape(keys).is_access_log

    def telltales(self) -> re.Pattern[bytes]:
        """Return a pattern that finds, in unparsed text, a key that hardly anything but an access log has."""
        return self._telltales

    @cached_property
    def _telltales(self) -> re.Pattern[bytes]:
        distinct = (
            "start_time",
            "response_code",
            "response_flags",
            "upstream_cluster",
            "bytes_received",
            "upstream_host",
        )
        keys = [*distinct, "x-request-id", "request_id", "response-code", *self.overrides]
        return re.compile(b'"(?:' + b"|".join(re.escape(key.encode()) for key in keys) + rb')"\s*:')


DEFAULT = FieldMap()


def read_mapping(path: Path) -> FieldMap:
    """Read a user's TOML mapping (`[fields]`, one `key = "column"` a line).

    Raises `InputError` where the file cannot be read, `UsageError` where it is no TOML or names an unknown column.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: the mapping cannot be read: {error.strerror}. Check the path and its rights"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the mapping is not TOML: {error}") from error
    return FieldMap(dict(_checked(path, key, column) for key, column in _fields_of(path, found).items()))


def _fields_of(path: Path, found: Mapping[str, object]) -> Mapping[str, object]:
    section = found.get("fields")
    if not isinstance(section, dict) or set(found) != {"fields"}:
        raise UsageError(f'{path}: the mapping must hold one table, [fields], with lines such as my_key = "method"')
    return section


def _checked(path: Path, key: str, column: object) -> tuple[str, str]:
    if not isinstance(column, str) or column not in SPELLINGS:
        shown = column if isinstance(column, str) else repr(column)
        raise UsageError(f"{path}: [fields] {key}: there is no column {shown}. Columns: {', '.join(COLUMNS)}")
    return key, column
