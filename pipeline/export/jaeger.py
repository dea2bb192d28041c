"""Traces as Jaeger's query API answers them, which is what the upload of its page reads: one JSON document."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from pipeline.export.spans import Span


def jaeger_json(traces: Iterable[list[Span]]) -> Iterator[bytes]:
    """Encode traces as pieces of one document: {"data": [{traceID, spans, processes}, ...]}; times in microseconds."""
    lead = b'{"data":[\n'
    for trace in traces:
        yield lead + orjson.dumps(_trace(trace))
        lead = b",\n"
    yield b"\n]}\n"


def _trace(spans: list[Span]) -> dict[str, Any]:
    services = dict.fromkeys(span.service for span in spans)
    processes = {service: f"p{number}" for number, service in enumerate(services, 1)}
    return {
        "traceID": spans[0].trace_id,
        "spans": [_span(span, processes[span.service]) for span in spans],
        "processes": {process: {"serviceName": service, "tags": []} for service, process in processes.items()},
        "warnings": None,
    }


def _span(span: Span, process: str) -> dict[str, Any]:
    parent = {"refType": "CHILD_OF", "traceID": span.trace_id, "spanID": span.parent_span_id}
    return {
        "traceID": span.trace_id,
        "spanID": span.span_id,
        "flags": 1,
        "operationName": span.name,
        "references": [parent] if span.parent_span_id else [],
        "startTime": span.started_us,
        "duration": span.ended_us - span.started_us,
        "tags": [_tag(name, value) for name, value in _tags(span).items()],
        "logs": [],
        "processID": process,
        "warnings": None,
    }


def _tags(span: Span) -> dict[str, Any]:
    """Add to the attributes what Jaeger has no field for: it shows `error` and `span.kind` by their tags."""
    failed = {"error": True, "otel.status_code": "ERROR"} if span.failed else {}
    message = {"otel.status_description": span.status_message} if span.status_message else {}
    return {"span.kind": span.side, **failed, **message, **span.attributes}


def _tag(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"key": name, "type": "bool", "value": value}
    if isinstance(value, int):
        return {"key": name, "type": "int64", "value": value}
    text = ",".join(value) if isinstance(value, list) else value
    return {"key": name, "type": "string", "value": text}
