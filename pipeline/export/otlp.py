"""Traces as OpenTelemetry's protocol has them: JSON lines, or protobuf.

Both are made of the protocol's own messages. A line is one `TracesData`, as its file exporter writes them; whole traces
stand in it, one `ResourceSpans` a service. The protobuf file is their concatenation, which is again one `TracesData`,
and byte for byte what an OTLP endpoint takes as an export request.
"""

from base64 import b64decode
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status, TracesData
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from pipeline import __version__
from pipeline.export.spans import Span

SPANS_A_MESSAGE = 2_000
"""About how many spans a line holds: receivers take a few MB at once."""

_KINDS = {"client": ProtoSpan.SPAN_KIND_CLIENT, "server": ProtoSpan.SPAN_KIND_SERVER}
_SAMPLED = 1
"""The W3C trace flag: whoever asks for sampled traces shall see these."""


def otlp_json(traces: Iterable[list[Span]]) -> Iterator[bytes]:
    """Encode traces as JSON lines, one `TracesData` each."""
    for message in messages(traces):
        yield as_json(message) + b"\n"


def otlp_protobuf(traces: Iterable[list[Span]]) -> Iterator[bytes]:
    """Encode traces as pieces of one binary `TracesData`."""
    for message in messages(traces):
        yield message.SerializeToString()


def messages(traces: Iterable[list[Span]]) -> Iterator[TracesData]:
    """Gather whole traces into messages of about `SPANS_A_MESSAGE` spans."""
    gathered: list[Span] = []
    for trace in traces:
        gathered += trace
        if len(gathered) >= SPANS_A_MESSAGE:
            yield _message(gathered)
            gathered = []
    if gathered:
        yield _message(gathered)


def as_json(message: TracesData) -> bytes:
    """Encode by OTLP's own rules for JSON: ids in hex where protobuf's would be Base64, enumerations as numbers."""
    encoded = MessageToDict(message, use_integers_for_enums=True)
    for service in encoded["resourceSpans"]:
        for scope in service["scopeSpans"]:
            for span in scope["spans"]:
                span.update(_hex_ids(span))
    return orjson.dumps(encoded)


def _hex_ids(span: dict[str, Any]) -> dict[str, str]:
    return {name: b64decode(span[name]).hex() for name in ("traceId", "spanId", "parentSpanId") if name in span}


def _message(spans: list[Span]) -> TracesData:
    services: dict[str, list[ProtoSpan]] = {}
    for span in spans:
        services.setdefault(span.service, []).append(_span(span))
    scope = InstrumentationScope(name="meshlog", version=__version__)
    return TracesData(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=_attributes({"service.name": service})),
                scope_spans=[ScopeSpans(scope=scope, spans=own)],
            )
            for service, own in services.items()
        ]
    )


def _span(span: Span) -> ProtoSpan:
    status = Status(code=Status.STATUS_CODE_ERROR, message=span.status_message or "") if span.failed else None
    return ProtoSpan(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_span_id or ""),
        flags=_SAMPLED,
        name=span.name,
        kind=_KINDS[span.side],
        start_time_unix_nano=span.started_us * 1000,
        end_time_unix_nano=span.ended_us * 1000,
        attributes=_attributes(span.attributes),
        status=status,
    )


def _attributes(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in values.items()]


def _value(value: Any) -> AnyValue:
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[_value(each) for each in value]))
    return AnyValue(string_value=value)
