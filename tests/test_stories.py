"""Every recorded story is told as it really happened: compared with what the applications noted, never with the log."""

import json
from collections import Counter
from pathlib import Path

import pytest

from pipeline.ingest.load import load
from pipeline.query.session import Session, open_session

ROOT = Path(__file__).parents[1]
TRUTH = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "tests" / "truth").glob("*.json"))}
STORIES = [name for name in TRUTH if name != "pods"]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Open a story's lake, which also holds the kubelet's files of the same pods: they tell the pods' names."""
    sessions: dict[str, Session] = {}

    def open_story(name: str) -> Session:
        if name not in sessions:
            lake = tmp_path_factory.mktemp(name)
            story = [] if name == "pods" else [str(ROOT / "sample_logs" / f"{name}.jsonl")]
            load([*story, str(ROOT / "sample_logs" / "pods")], lake)
            sessions[name] = open_session(lake)
        return sessions[name]

    yield open_story
    for session in sessions.values():
        session.close()


def noted_tree(span: dict) -> tuple:
    """What the applications noted of a call and of the calls made for it under the same request id."""
    children = [noted_tree(child) for child in span["children"] if child["id_passed"]]
    return (
        span["callee"],
        span["subset"],
        span["path"],
        span["status"] or 0,
        len(span["served"]),
        tuple(sorted(children, key=str)),
    )


def traced_tree(session: Session, spans: list[dict], hop_id: str) -> tuple:
    """The same of a trace, its attempts folded into calls."""
    span = next(span for span in spans if span["hop_id"] == hop_id)
    of_call = [other for other in spans if other["call_id"] == span["call_id"]]
    last = max(of_call, key=lambda other: other["attempt"])
    below = {
        other["call_id"]: other["hop_id"] for other in spans if other["parent_hop_id"] in {s["hop_id"] for s in of_call}
    }
    children = [traced_tree(session, spans, child) for child in below.values()]
    served = sum(other["is_served"] for other in of_call)
    return (
        last["service"],
        last["cluster_subset"],
        last["path"],
        last["response_code"],
        served,
        tuple(sorted(children, key=str)),
    )


SPANS = """
    select
        trace_spans.*,
        hops.server_upstream_service_time_ms is not null
            or list_has_any(coalesce(hops.server_flags, []), ['DC', 'DR']) as is_served,
    from trace_spans
    inner join hops using (hop_id)
    where trace_spans.request_id = $request_id
"""


@pytest.mark.parametrize("story", TRUTH)
def test_every_trace_is_the_tree_that_really_happened(told, story):
    """Callee, subset, path, status, served attempts and nesting of each call agree with the applications' notes."""
    session = told(story)
    for request in TRUTH[story]["requests"]:
        if request["request_id"] is None:
            continue
        spans = session.rows(SPANS, {"request_id": request["request_id"]})
        roots = [span for span in spans if span["depth"] == 0]

        assert [traced_tree(session, spans, root["hop_id"]) for root in roots] == [noted_tree(request["tree"])]


@pytest.mark.parametrize("story", TRUTH)
def test_every_request_has_the_right_verdict(told, story):
    """A request's failure, cause and culprit are those that the story set up, and no other request is blamed."""
    session = told(story)
    columns = "is_error, cause, culprit_service"
    for request in TRUTH[story]["requests"]:
        if request["request_id"] is None:
            continue
        found = session.rows(f"select {columns} from traces where request_id = $id", {"id": request["request_id"]})

        assert found == [
            {
                "is_error": request["failed"],
                "cause": request["cause"],
                "culprit_service": request["culprit_service"],
            }
        ]


@pytest.mark.parametrize("story", STORIES)
def test_the_findings_are_the_story(told, story):
    """`diagnoses` names each cause and culprit of the story with its number of calls, and nothing else."""
    truth = TRUTH[story]
    requests = [*truth["requests"], *TRUTH["pods"]["requests"]]
    expected = Counter((r["cause"], r["culprit_service"]) for r in requests if r["cause"])
    failed = sum(not c["ok"] for c in truth.get("connections", []) if c["side"] == "client")
    if failed:
        expected[(truth["cause"], truth["culprit_service"])] += failed
    found = told(story).rows("select cause, culprit_service, calls from diagnoses")

    assert {(row["cause"], row["culprit_service"]): row["calls"] for row in found} == dict(expected)


@pytest.mark.parametrize("story", TRUTH)
def test_a_lost_request_id_is_said(told, story):
    """A trace below which a service dropped x-request-id is incomplete, and so is the trace that goes on without it."""
    session = told(story)

    def drops_id(span):
        return any(not child["id_passed"] or drops_id(child) for child in span["children"])

    for request in TRUTH[story]["requests"]:
        if request["request_id"] is None:
            continue
        found = session.rows("select is_complete from traces where request_id = $id", {"id": request["request_id"]})

        assert found == [{"is_complete": not drops_id(request["tree"])}]
