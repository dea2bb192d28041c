"""Turns parsed columns into the lake's rows: one meaning for "-", "" and null, cluster names in parts, codes as text.

Text of few distinct values is dictionary-encoded, and each distinct value is looked at once, however many lines bear
it. Every line keeps what it says: a value that does not follow Istio's naming stays as logged, with its parts null.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest import flags
from pipeline.ingest.columns import whole
from pipeline.ingest.fields import ABSENT, CODE
from pipeline.ingest.shapes import Context
from pipeline.lake.schema import ACCESS_LOGS

_NO_RESPONSE = pa.scalar(0, pa.int64())
_ABSENT = pa.array(ABSENT)
_CODED = [f.name for f in ACCESS_LOGS if pa.types.is_dictionary(f.type)]


class Cluster(NamedTuple):
    """The parts of an upstream cluster's name (envoy-facts 5.1)."""

    port: int | None = None
    subset: str | None = None
    host: str | None = None
    service: str | None = None


def rows(parsed: pa.Table, contexts: Sequence[Context], labels: Mapping[str, str]) -> pa.Table:
    """Return the lake's columns (`ACCESS_LOGS`) for parsed rows, but for direction and reporter, which are null here.

    `parsed` is `fields.PARSED` with absent values as null, its coded columns text or dictionaries, and beside them
    `context`, the place of each row's source in `contexts`. A missing response code becomes 0: that the line is an
    access log is settled, and Envoy writes 0 for no response. `labels` go to `extra`.
    """
    columns: dict[str, pa.Array] = {name: whole(parsed[name]) for name in parsed.column_names}
    columns[CODE] = pc.fill_null(columns[CODE], _NO_RESPONSE)
    for name in set(_CODED) & set(columns):
        encoded = _encoded(columns[name])
        if name in _CLEANERS or pc.any(pc.is_in(encoded.dictionary, _ABSENT)).as_py():
            encoded = distinct(encoded, _CLEANERS.get(name, _text))
        columns[name] = encoded
    columns.update(_cluster_parts(columns["upstream_cluster"]))
    columns.update(_known_beforehand(columns, contexts))
    if labels:
        columns["extra"] = _labelled(columns["extra"], labels)
    return pa.table([_as(columns.get(f.name), f.type, parsed.num_rows) for f in ACCESS_LOGS], schema=ACCESS_LOGS)


def distinct(encoded: pa.DictionaryArray, clean: Callable[[str], str | None]) -> pa.DictionaryArray:
    """Apply `clean` to each distinct value; values that become equal are merged, and None becomes null."""
    values = encoded.dictionary.to_pylist()
    cleaned = [clean(value) for value in values]
    if cleaned == values:
        return encoded
    return _looked_up(cleaned, encoded.indices)


def _encoded(values: pa.Array) -> pa.DictionaryArray:
    return values.dictionary_encode()


def _as(values: pa.Array | None, kind: pa.DataType, length: int) -> pa.Array:
    if values is None:
        return pa.nulls(length, kind)
    return values if values.type == kind else values.cast(kind)


def _text(value: str) -> str | None:
    return None if value in ABSENT else value


def _cluster_name(value: str) -> str | None:
    """Drop the alternative stat name that Istio 1.23.0 to 1.24.1 let through after a `;`."""
    return _text(value.partition(";")[0])


def _server_name(value: str) -> str | None:
    """Drop the mark that some Envoy patch releases put before a name with an underscore (envoy-facts 2.5)."""
    return _text(value.removeprefix("invalid:"))


_CLEANERS: Mapping[str, Callable[[str], str | None]] = {
    "upstream_cluster": _cluster_name,
    "requested_server_name": _server_name,
    "response_flags": flags.short,
}


def _cluster_parts(encoded: pa.DictionaryArray) -> dict[str, pa.Array]:
    parts = [split_cluster(name) for name in encoded.dictionary.to_pylist()]
    made: dict[str, pa.Array] = {
        "cluster_port": pc.take(pa.array([part.port for part in parts], pa.int32()), encoded.indices, boundscheck=False)
    }
    for column, values in (
        ("cluster_subset", [part.subset for part in parts]),
        ("cluster_host", [part.host for part in parts]),
        ("service", [part.service for part in parts]),
    ):
        made[column] = _looked_up(values, encoded.indices)
    return made


_SERVICE = re.compile(r"([^.]+\.[^.]+)\.svc(?:\..*)?")
_CONTOUR = re.compile(r"([a-z0-9-]+)/([a-z0-9-]+)/([a-z0-9-]+)/[0-9a-f]{10}")


@lru_cache(maxsize=65536)
def split_cluster(name: str) -> Cluster:
    """Split a cluster's name into port, subset, host and service; all None for names of another making.

    Knows Istio's `direction|port|subset|host`, the `outbound_.port_.subset_.host` of east-west gateways, and Contour's
    `namespace/service/port/hash`. Istio up to 1.7 put the port's name third in inbound clusters: that is no subset.
    """
    if found := _CONTOUR.fullmatch(name):
        service = f"{found[2]}.{found[1]}"
        return Cluster(_port(found[3]), None, service, service)
    parts = name.split("_.") if name.startswith("outbound_.") else name.split("|")
    if len(parts) != 4:
        return Cluster()
    direction, port, subset, host = parts
    if direction == "inbound":
        subset = ""
    elif direction == "inbound-vip":
        subset = subset.partition("/")[2]
    return Cluster(_port(port), subset or None, host or None, service_of(host) if host else None)


def _port(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,5}", text) else None


def service_of(host: str) -> str:
    """Name a host's service: `name.namespace` of a Kubernetes one, whatever its cluster domain, else the host."""
    found = _SERVICE.fullmatch(host)
    return found[1] if found else host


def _known_beforehand(columns: Mapping[str, pa.Array], contexts: Sequence[Context]) -> dict[str, pa.Array]:
    places = columns["context"]
    made = {"source": _looked_up([context.source for context in contexts], places)}
    for name in ("pod", "namespace", "node"):
        values = [getattr(context, name) for context in contexts]
        if any(values):
            made[name] = _filled(columns[name], _looked_up(values, places))
    return made


def _looked_up(values: Sequence[str | None], places: pa.Array) -> pa.DictionaryArray:
    """Give each row the value at its place, which there is; equal values are merged."""
    coded = pa.array(values, pa.string()).dictionary_encode()
    codes = pc.take(coded.indices, places, boundscheck=False)
    return pa.DictionaryArray.from_arrays(codes, coded.dictionary, safe=False)


def _filled(encoded: pa.DictionaryArray, otherwise: pa.DictionaryArray) -> pa.DictionaryArray:
    if encoded.null_count == len(encoded):
        return otherwise
    return pc.coalesce(encoded.cast(pa.string()), otherwise.cast(pa.string())).dictionary_encode()


def _labelled(extra: pa.Array, labels: Mapping[str, str]) -> pa.Array:
    """Put labels into `extra`; what a line itself says under the same key wins."""
    encoded = pc.fill_null(extra, pa.scalar("{}", pa.string())).dictionary_encode()
    merged = [
        orjson.dumps({**labels, **orjson.loads(text)}, option=orjson.OPT_SORT_KEYS).decode()
        for text in encoded.dictionary.to_pylist()
    ]
    return pa.array(merged, pa.string()).take(encoded.indices)
