"""Traces for other tools: the tree that the models found, in the schemas that Jaeger and OpenTelemetry publish."""

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from pipeline.export import otlp
from pipeline.query.session import open_session


@pytest.fixture(scope="module")
def hops(samples_lake):
    """Every hop of the samples with its place in its trace, by its id."""
    with open_session(samples_lake) as session:
        rows = session.rows(
            """
            select spans.hop_id, spans.trace_id, spans.parent_hop_id, spans.started_at, spans.is_error,
                hops.client_started_at is not null as has_client, hops.server_started_at is not null as has_server,
                hops.client_service, hops.service
            from trace_spans as spans inner join hops using (hop_id)
            """
        )
    return {row["hop_id"]: row for row in rows}


def otlp_spans(text: str) -> list[tuple[str, dict]]:
    """Return (service, span) of every span in OTLP's JSON lines."""
    return [
        (service["resource"]["attributes"][0]["value"]["stringValue"], span)
        for line in text.splitlines()
        for service in json.loads(line)["resourceSpans"]
        for scope in service["scopeSpans"]
        for span in scope["spans"]
    ]


def attribute(span: dict, name: str) -> object:
    """Return one attribute of an OTLP span, None where it has it not."""
    values = [each["value"] for each in span["attributes"] if each["key"] == name]
    return next(iter(values[0].values())) if values else None


def hop_tree(spans: list[dict]) -> dict[str, str | None]:
    """Return each hop's parent hop, from spans of {id, parent, hop}: the parent span that belongs to another hop."""
    by_id = {span["id"]: span for span in spans}

    def parent(span: dict) -> str | None:
        above = by_id[span["parent"]] if span["parent"] else None
        while above and above["hop"] == span["hop"]:
            above = by_id[above["parent"]] if above["parent"] else None
        return above["hop"] if above else None

    return {span["hop"]: parent(span) for span in spans}


def test_the_otlp_tree_is_the_models_tree(meshlog, samples_lake, hops):
    """Every hop of every trace of the samples is there, below the hop that made it, and in the same trace."""
    ran = meshlog("export", "--otlp", "--lake", samples_lake)
    spans = [span for _, span in otlp_spans(ran.out)]
    flat = [
        {"id": each["spanId"], "parent": each.get("parentSpanId"), "hop": attribute(each, "meshlog.hop_id")}
        for each in spans
    ]

    assert ran.code == 0
    assert hop_tree(flat) == {hop_id: hop["parent_hop_id"] for hop_id, hop in hops.items()}
    traces = {}
    for span in spans:
        traces.setdefault(span["traceId"], set()).add(hops[attribute(span, "meshlog.hop_id")]["trace_id"])
    assert all(len(own) == 1 for own in traces.values())
    assert len(traces) == len({hop["trace_id"] for hop in hops.values()})


def test_the_jaeger_tree_is_the_models_tree(meshlog, samples_lake, hops):
    """So it is in Jaeger's document, whose references name spans of their own trace."""
    data = json.loads(meshlog("export", "--jaeger", "--lake", samples_lake).out)["data"]
    trees = {}
    for trace in data:
        flat = [
            {
                "id": span["spanID"],
                "parent": span["references"][0]["spanID"] if span["references"] else None,
                "hop": next(tag["value"] for tag in span["tags"] if tag["key"] == "meshlog.hop_id"),
            }
            for span in trace["spans"]
        ]
        trees |= hop_tree(flat)

    assert trees == {hop_id: hop["parent_hop_id"] for hop_id, hop in hops.items()}
    assert len({trace["traceID"] for trace in data}) == len(data)


def test_a_hop_seen_from_both_sides_is_two_spans(meshlog, samples_lake, hops):
    """The client's span belongs to the caller, the server's, within it, to the called service."""
    spans = otlp_spans(meshlog("export", "--otlp", "--lake", samples_lake).out)
    sides = {}
    for service, span in spans:
        sides.setdefault(attribute(span, "meshlog.hop_id"), {})[span["kind"]] = (service, span)

    for hop_id, hop in hops.items():
        found = sides[hop_id]
        assert (Span.SPAN_KIND_CLIENT in found, Span.SPAN_KIND_SERVER in found) == (
            hop["has_client"],
            hop["has_server"],
        )
        if hop["has_client"] and hop["has_server"]:
            client, server = found[Span.SPAN_KIND_CLIENT], found[Span.SPAN_KIND_SERVER]
            assert (client[0], server[0]) == (hop["client_service"], hop["service"])
            assert server[1]["parentSpanId"] == client[1]["spanId"]


def test_times_are_the_models_times(meshlog, samples_lake, hops):
    """A hop's first span begins where trace_spans has it, in nanoseconds as text, clocks set right."""
    began = {}
    for _, span in otlp_spans(meshlog("export", "--otlp", "--lake", samples_lake).out):
        hop_id = attribute(span, "meshlog.hop_id")
        assert isinstance(span["startTimeUnixNano"], str)
        assert int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"])
        if span["kind"] == Span.SPAN_KIND_CLIENT or not hops[hop_id]["has_client"]:
            began[hop_id] = datetime.fromtimestamp(int(span["startTimeUnixNano"]) / 1e9, UTC)

    assert began == {hop_id: hop["started_at"] for hop_id, hop in hops.items()}


def test_otlp_json_is_what_its_messages_read(meshlog, samples_lake, tmp_path):
    """With the ids in Base64 the lines parse strictly as TracesData, and equal the protobuf of the same export."""
    ran = meshlog("export", "--otlp", "--lake", samples_lake)
    meshlog("export", "--otlp", "--lake", samples_lake, "-o", tmp_path / "traces.pb")
    read = TracesData()
    for line in ran.out.splitlines():
        message = json.loads(line)
        for service in message["resourceSpans"]:
            for scope in service["scopeSpans"]:
                for span in scope["spans"]:
                    for name in {"traceId", "spanId", "parentSpanId"} & span.keys():
                        span[name] = b64encode(bytes.fromhex(span[name])).decode()
        read.MergeFrom(ParseDict(message, TracesData()))
    binary = TracesData.FromString((tmp_path / "traces.pb").read_bytes())

    assert binary == read
    spans = [span for each in binary.resource_spans for scope in each.scope_spans for span in scope.spans]
    assert {(len(span.trace_id), len(span.span_id)) for span in spans} == {(16, 8)}
    assert len({span.span_id for span in spans}) == len(spans)


def test_one_resource_a_service(meshlog, samples_lake):
    """Within a line each service stands once."""
    for line in meshlog("export", "--otlp", "--lake", samples_lake).out.splitlines():
        names = [
            each["resource"]["attributes"][0]["value"]["stringValue"] for each in json.loads(line)["resourceSpans"]
        ]
        assert len(names) == len(set(names))


def test_traces_stay_whole_in_small_messages(meshlog, samples_lake, monkeypatch):
    """A window of many messages has each trace in one line alone."""
    monkeypatch.setattr(otlp, "SPANS_A_MESSAGE", 10)
    lines = meshlog("export", "--otlp", "--lake", samples_lake).out.splitlines()
    ids = [{span["traceId"] for _, span in otlp_spans(line)} for line in lines]

    assert len(lines) > 10
    assert sum(map(len, ids)) == len(set().union(*ids))


def test_attributes_follow_the_conventions(meshlog, samples_lake):
    """One failed call: names, types and status as OpenTelemetry's HTTP conventions have them."""
    spans = otlp_spans(meshlog("export", "--otlp", "3cd93ecc", "--lake", samples_lake).out)
    service, span = next(
        (service, span)
        for service, span in spans
        if service == "frontend.shop" and attribute(span, "http.response.status_code") == "503"
    )

    assert service == "frontend.shop"
    assert span["kind"] == Span.SPAN_KIND_CLIENT
    assert span["name"] == attribute(span, "http.request.method") == "POST"
    assert attribute(span, "server.address") == "payments"
    assert attribute(span, "server.port") == "8080"
    assert attribute(span, "url.path") == "/charge"
    assert attribute(span, "url.full") == "//payments:8080/charge"
    assert attribute(span, "network.protocol.version") == "1.1"
    assert attribute(span, "error.type") == "503"
    assert span["status"] == {"code": 2, "message": "app_down, culprit payments.shop"}


def test_a_success_has_no_status(meshlog, samples_lake):
    """Conventions leave the status of 1xx to 3xx unset."""
    for _, span in otlp_spans(meshlog("export", "--otlp", "3cd93ecc", "--lake", samples_lake).out):
        if attribute(span, "http.response.status_code") == "200":
            assert "status" not in span


KEY_VALUE = {"key": str, "type?": str, "value": object}
SPAN = {
    "traceID": str,
    "spanID": str,
    "parentSpanID?": str,
    "flags?": int,
    "operationName": str,
    "references": [{"refType": str, "traceID": str, "spanID": str}],
    "startTime": int,
    "duration": int,
    "tags": [KEY_VALUE],
    "logs": [{"timestamp": int, "fields": [KEY_VALUE]}],
    "processID?": str,
    "warnings": [str],
}
TRACE = {
    "traceID": str,
    "spans": [SPAN],
    "processes": {str: {"serviceName": str, "tags": [KEY_VALUE]}},
    "warnings": [str],
}
"""The types that Jaeger publishes for what its page reads, internal/uimodel/model.go; those with ? may be left out."""

VALUES = {"string": str, "bool": bool, "int64": int, "float64": float}


def unfit(value: object, kind: object, where: str = "") -> Iterator[str]:
    """Yield the places where a value is not of its published type; a whole number is unsigned, a list may be null."""
    if isinstance(kind, list):
        if not isinstance(value, list | None):
            yield where
        for place, item in enumerate(value or []):
            yield from unfit(item, kind[0], f"{where}[{place}]")
    elif isinstance(kind, dict) and str in kind:
        for key, item in value.items():
            yield from unfit(item, kind[str], f"{where}.{key}")
    elif isinstance(kind, dict):
        known = {name.rstrip("?"): each for name, each in kind.items()}
        needed = {name for name in kind if not name.endswith("?")}
        yield from (f"{where}.{name}" for name in value.keys() - known.keys() | needed - value.keys())
        for name in value.keys() & known.keys():
            yield from unfit(value[name], known[name], f"{where}.{name}")
        if kind is KEY_VALUE and type(value["value"]) is not VALUES[value["type"]]:
            yield f"{where}: {value}"
    elif (kind is not object and type(value) is not kind) or (kind is int and not 0 <= value < 1 << 64):
        yield where


def test_jaeger_reads_every_field(meshlog, samples_lake):
    """Every field has its published type, no other is there, and what refers to something refers to what there is."""
    for trace in json.loads(meshlog("export", "--jaeger", "--lake", samples_lake).out)["data"]:
        assert not list(unfit(trace, TRACE))
        ids = {span["spanID"] for span in trace["spans"]}
        assert len(ids) == len(trace["spans"])
        for span in trace["spans"]:
            assert span["traceID"] == trace["traceID"]
            assert span["processID"] in trace["processes"]
            for reference in span["references"]:
                assert reference["refType"] in ("CHILD_OF", "FOLLOWS_FROM")
                assert reference["traceID"] == trace["traceID"]
                assert reference["spanID"] in ids


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"startTime": 1.5}, ".startTime"),
        ({"duration": -1}, ".duration"),
        ({"service": "cart"}, ".service"),
        (
            {"tags": [{"key": "a", "type": "int64", "value": "1"}]},
            ".tags[0]: {'key': 'a', 'type': 'int64', 'value': '1'}",
        ),
        ({"references": [{"refType": "CHILD_OF", "traceID": "1"}]}, ".references[0].spanID"),
    ],
)
def test_what_jaeger_would_not_read_is_found(changed, place):
    """The test above can fail."""
    span = {"traceID": "1", "spanID": "2", "operationName": "GET", "startTime": 1, "duration": 1}
    span |= {"references": [], "tags": [], "logs": [], "warnings": None}
    assert not list(unfit(span, SPAN))
    assert list(unfit(span | changed, SPAN)) == [place]


def test_ids_choose_traces(meshlog, samples_lake):
    """Starts of request ids name traces; ids are the same as in an export of everything."""
    some = {
        span["spanId"] for _, span in otlp_spans(meshlog("export", "--otlp", "3cd93ecc", "--lake", samples_lake).out)
    }
    whole = {span["spanId"] for _, span in otlp_spans(meshlog("export", "--otlp", "--lake", samples_lake).out)}

    assert some
    assert some < whole


@pytest.mark.parametrize("kind", ["--otlp", "--jaeger"])
def test_nothing_found_exits_with_5(meshlog, samples_lake, empty_lake, tmp_path, kind):
    """An id that nothing has, an empty window and an empty lake leave no file behind."""
    for more in (["nope", "--lake", samples_lake], ["--until", "2001-01-01", "--lake", samples_lake],
                 ["--lake", empty_lake]):  # fmt: skip
        ran = meshlog("export", kind, *more, "-o", tmp_path / "traces.json")
        assert ran.code == 5
    assert list(tmp_path.glob("*.json")) == []


def test_an_export_of_nothing_named_is_a_usage_error(meshlog, samples_lake):
    """Without a format the command says which there are."""
    ran = meshlog("export", "--lake", samples_lake)

    assert ran.code == 2
    assert "--otlp" in ran.err


def test_a_hostile_id_is_only_an_id(meshlog, samples_lake):
    """Quotes and wildcards in an id name nothing."""
    for text in ("' or true --", "%", "\x1b[31m"):
        ran = meshlog("export", "--otlp", text, "--lake", samples_lake)
        assert ran.code == 5
        assert "\x1b" not in ran.err
