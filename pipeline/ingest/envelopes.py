"""Opens the JSON objects in which collectors put a line: what was logged comes out, with what is known of its origin.

Fluent Bit and Fluentd, Filebeat, Vector, Loki (`logcli` and its query API), Google Cloud, OpenTelemetry (the
collector's file exporter and one record a line), CloudWatch, Splunk, journald, and hits of an Elasticsearch dump. What
comes out may be an object, a string of JSON, a text line, or another envelope; one object may hold many records, and
then each of them counts as a line of its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from pipeline.ingest import prefixes
from pipeline.ingest.fields import DEFAULT
from pipeline.ingest.origins import KEYS, NOWHERE, Origin, origin, told
from pipeline.ingest.textlines import as_json, is_text

DOCKER_KEYS = frozenset({"log", "stream", "time", "attrs"})
"""All that Docker's json-file driver writes."""

TEXT_KEYS = (
    "log",
    "message",
    "MESSAGE",
    "msg",
    "line",
    "textPayload",
    "body",
    "Body",
    "event",
    "@message",
    "_raw",
    "LogMessage",
    "LogEntry",
    "short_message",
    "full_message",
)
OBJECT_KEYS = ("jsonPayload", "log_processed", "log", "message", "event", "LogMessage", "_source", "result", "fields")
LIST_KEYS = ("logEvents", "events")
_SIDE_KEYS = ("labels", "resource", "Resource", "resources", "attributes", "fields")
_POD = ("pod_name", "k8s.pod.name", "pod", "podname", "k8s_pod_name", "instance_id")
_NAMESPACE = ("namespace_name", "pod_namespace", "k8s.namespace.name", "namespace", "k8s_namespace_name")
_NODE = ("pod_node_name", "node_name", "k8s.node.name", "host", "node", "k8s_node_name", "nodename")
_KINDS = {
    "resourceLogs": "OpenTelemetry",
    "jsonPayload": "Google Cloud",
    "textPayload": "Google Cloud",
    "logEvents": "CloudWatch",
    "@message": "CloudWatch",
    "line": "Loki",
    "_source": "Elasticsearch",
    "result": "Splunk",
    "_raw": "Splunk",
    "MESSAGE": "journald",
    "LogMessage": "Azure",
    "LogEntry": "Azure",
    "short_message": "GELF",
    "Body": "OpenTelemetry",
    "body": "OpenTelemetry",
}
_BESIDE = {
    "pod": ("PodName", KEYS["pod"]),
    "namespace": ("PodNamespace", KEYS["namespace"]),
    "node": ("Computer", KEYS["node"]),
}
_OWN_COLUMNS = 6
"""An object with keys for as many columns is an access log itself, whatever else stands in it."""


def kind(found: Mapping[str, Any]) -> str:
    """Name the collector that writes such an object, as far as its keys tell."""
    if set(found) <= DOCKER_KEYS and "log" in found:
        return "Docker json-file"
    for key, name in _KINDS.items():
        if key in found:
            return name
    if isinstance(found.get("data"), dict):
        return "Loki"
    if isinstance(kubernetes := found.get("kubernetes"), dict):
        known = {"pod_node_name": "Vector", "pod": "Filebeat"}
        return next((name for key, name in known.items() if key in kubernetes), "Fluent Bit")
    return "JSON envelope"


def looks_like_a_record(text: str) -> bool:
    """Say whether a string holds a JSON object or begins as a text access log does, after prefixes at most."""
    begin = prefixes.bare(text[:1024].encode("utf-8", "replace").lstrip())[0]
    return begin.startswith(b"{") or is_text(begin)


def opened(found: Mapping[str, Any]) -> list[bytes]:
    """Return the records in an envelope, each told its origin; none where the object is no envelope.

    An object that is an access log itself is an envelope only if `kubernetes` stands beside its keys, as Fluent Bit's
    Merge_Log leaves it: what a stranger's header brings into a log is never taken for a record.
    """
    if sum(column is not None for _, column in DEFAULT.shape(found).columns) >= _OWN_COLUMNS:
        return _merged(found) if isinstance(found.get("kubernetes"), dict) else []
    try:
        return [_written(value, where) for value, where in _inner(found)]
    except TypeError:  # orjson reads objects that are nested deeper than those it writes
        return []


def _merged(found: Mapping[str, Any]) -> list[bytes]:
    """Take the envelope's own keys out of a record that was merged with it, the text it came from too."""
    kept = {key: value for key, value in found.items() if key not in ("kubernetes", "stream", "logtag", "_p")}
    for key in ("log", "message"):
        if isinstance(text := kept.get(key), str) and looks_like_a_record(text):
            del kept[key]
    return [_written(kept, _where(found))]


def _written(value: Any, where: Origin) -> bytes:
    text = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else orjson.dumps(value)
    text, known = prefixes.bare(text.strip())
    where = known.or_else(where)
    return as_json(text, where) or told(text, where)


def _inner(found: Mapping[str, Any]) -> Iterator[tuple[Any, Origin]]:
    if isinstance(resources := found.get("resourceLogs"), list):
        yield from _open_telemetry(resources)
        return
    if isinstance(data := found.get("data"), dict) and isinstance(data.get("result"), list):
        yield from _loki_streams(data["result"])
        return
    where = _where(found)
    for key in LIST_KEYS:
        if isinstance(events := found.get(key), list):
            yield from ((event, where) for event in events if isinstance(event, dict))
            return
    value = _payload(found, is_sure=where != NOWHERE or set(found) <= DOCKER_KEYS or "textPayload" in found)
    if value is not None:
        yield value, where


def _payload(found: Mapping[str, Any], *, is_sure: bool) -> Any:
    """Return what was logged; a string under a common key counts only if it reads as a record or all else `is_sure`."""
    for key in OBJECT_KEYS:
        if isinstance(value := found.get(key), dict) and (key != "log" or not _is_file_note(value)):
            return value
    for key in TEXT_KEYS:
        if isinstance(value := found.get(key), str) and (is_sure or looks_like_a_record(value)):
            return value
    return None


def _is_file_note(value: Mapping[str, Any]) -> bool:
    """Tell Filebeat's `log` (which file, which offset) from a log."""
    return set(value) <= {"file", "offset", "flags", "level", "source"}


# ---------- origins


def _where(found: Mapping[str, Any]) -> Origin:
    places = [found.get("kubernetes"), *(found.get(key) for key in _SIDE_KEYS), _outer(found)]
    known = NOWHERE
    for place in places:
        if isinstance(place, dict) and place:
            inner = place.get("labels")
            known = known.or_else(_told_by(place)).or_else(_told_by(inner) if isinstance(inner, dict) else NOWHERE)
    return known if known.pod else known.or_else(_by_path(found))


def _outer(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands beside the line itself: Azure's columns, and what a wrapper around this one knew."""
    return {name: found[key] for name, keys in _BESIDE.items() for key in keys if key in found}


def _told_by(labels: Mapping[str, Any]) -> Origin:
    return Origin(_name(labels, _POD), _name(labels, _NAMESPACE), _name(labels, _NODE))


def _name(labels: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        value = labels.get(key)
        if isinstance(value, dict):
            value = value.get("name")
        if isinstance(value, str) and value:
            return value
    return None


def _by_path(found: Mapping[str, Any]) -> Origin:
    """Read the path of the file from which a collector took a line."""
    paths = [found.get("file"), found.get("filename"), found.get("filepath"), found.get("source")]
    if isinstance(log := found.get("log"), dict) and isinstance(log.get("file"), dict):
        paths.append(log["file"].get("path"))
    for side in ("labels", "attributes"):
        if isinstance(labels := found.get(side), dict):
            paths += [labels.get("filename"), labels.get("log.file.path")]
    for path in paths:
        if isinstance(path, str) and (known := origin(path)) != NOWHERE:
            return known
    return NOWHERE


# ---------- formats that hold many records


def _loki_streams(result: list[Any]) -> Iterator[tuple[Any, Origin]]:
    for stream in result:
        if isinstance(stream, dict) and isinstance(stream.get("values"), list):
            labels = stream.get("stream")
            where = _where({"labels": labels}) if isinstance(labels, dict) else NOWHERE
            for entry in stream["values"]:
                if isinstance(entry, list) and len(entry) >= 2 and isinstance(entry[1], str):
                    yield entry[1], where


def _open_telemetry(resources: list[Any]) -> Iterator[tuple[Any, Origin]]:
    for resource in _objects(resources):
        around = _attributes(resource.get("resource"))
        for scope in _objects(resource.get("scopeLogs") or resource.get("instrumentationLibraryLogs")):
            for record in _objects(scope.get("logRecords")):
                own = _attributes(record)
                where = _where({"attributes": own}).or_else(_where({"attributes": around}))
                yield _log_record(record, own), where


def _objects(values: Any) -> Iterator[Mapping[str, Any]]:
    return (value for value in values if isinstance(value, dict)) if isinstance(values, list) else iter(())


def _log_record(record: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
    """Return the body; Envoy's own OpenTelemetry logger may put the fields into the attributes instead."""
    body = _value(record.get("body"))
    if isinstance(body, dict) or (isinstance(body, str) and looks_like_a_record(body)):
        return body
    return dict(own) if own else body if isinstance(body, str) else ""


def _attributes(of: Any) -> dict[str, Any]:
    return _pairs(of.get("attributes")) if isinstance(of, dict) else {}


def _pairs(pairs: Any) -> dict[str, Any]:
    return {str(pair.get("key")): _value(pair.get("value")) for pair in _objects(pairs)}


def _value(wrapped: Any) -> Any:
    """Take an OTLP `AnyValue` out of its type."""
    if not isinstance(wrapped, dict):
        return wrapped
    for kind_of, value in wrapped.items():
        if kind_of == "kvlistValue" and isinstance(value, dict):
            return _pairs(value.get("values"))
        if kind_of == "arrayValue" and isinstance(value, dict):
            return [_value(item) for item in value.get("values") or ()]
        if kind_of == "intValue" and isinstance(value, str) and value.lstrip("-").isdigit():
            return int(value)
        return value
    return None
