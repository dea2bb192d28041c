"""The models' verdicts held against the truth: on each request, on what lies below a break, on raw connections, and on
the links that nothing but the time makes.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.mesh.score import Judge, Row, Score
from tests.mesh.truth import Call, Visit

Verdict = tuple[str | None, str | None]
"""A cause and its culprit; None for nothing, and for nobody in the mesh."""

_SEEN_BY_SERVER = ("app_5xx", "app_crash", "app_down", "app_error", "protocol_error", "upstream_reset")
"""Causes that the called pod's own proxy alone can tell apart: without its log they cannot be known."""


def judge_verdicts(judge: Judge) -> None:
    """Judge the verdict on each trace of each request, and on each raw connection."""
    for visit in judge.notebook.visits:
        _judge_visit(judge, visit)
    _judge_sessions(judge)


def judge_links(judge: Judge) -> None:
    """Count the traces that began where a service dropped the id, and whether the time led to the right hop."""
    for visit in judge.notebook.visits:
        for call in judge.broken_below(visit.call):
            if call.span in judge.hops_of:
                score, trace = judge.scores[visit.scenario], judge.trace(call.span)
                above = judge.by_id.get(trace["inferred_parent_hop_id"])
                score.links += above is not None
                score.links_promised += trace["inferred_confidence"] or 0.0
                score.links_right += above is not None and judge.span_of(above) == call.parent


def truths(judge: Judge) -> set[Verdict]:
    """Collect every verdict that is true of some request or connection, known or hidden."""
    visits = judge.notebook.visits
    found = {(visit.cause, visit.culprit) for visit in visits}
    found |= {visit.below_break for visit in visits if visit.below_break}
    return found | {*judge.recording.town.session_verdicts.values()}


def is_hidden(judge: Judge, visit: Visit) -> bool:
    """Say whether no line that is there can tell the cause of a request's failure."""
    return visit.is_hidden or (visit.cause in _SEEN_BY_SERVER and visit.culprit in judge.unlogged)


def _judge_visit(judge: Judge, visit: Visit) -> None:
    score = judge.scores[visit.scenario]
    if visit.call.span not in judge.hops_of:
        if visit.cause:
            score.blamed += 1
            score.mistakes.append("no line of a request is left")
        return
    _judge(score, (visit.cause, visit.culprit), judge.trace(visit.call.span), visit.call.path, is_hidden(judge, visit))
    for call in _judged_apart(judge, visit):
        _judge(score, visit.below_break or (None, None), judge.trace(call.span), f"{call.path} below the break")


def _judged_apart(judge: Judge, visit: Visit) -> Iterable[Call]:
    return (call for call in judge.broken_below(visit.call) if call.span in judge.hops_of)


def _judge_sessions(judge: Judge) -> None:
    """Judge TCP connections by themselves: nothing ties them to a request."""
    for note in judge.notebook.sessions:
        if note.side == "client":
            name = judge.scenario(note.span)
            expected = (None, None) if note.ok else judge.recording.town.session_verdicts.get(name, (None, None))
            for hop in judge.hops_of.get(note.span, []):
                # a TLS handshake that was cut off tells its client nothing
                is_hidden = hop["cause"] == "unknown" and hop["server_source"] is None
                _judge(judge.scores[name], expected, hop, "tcp", is_hidden)


def _judge(score: Score, expected: Verdict, told: Row, what: str, is_hidden: bool = False) -> None:
    cause, culprit = expected
    is_right = told["cause"] == "unknown" and cause in told["candidates"] if is_hidden else told["cause"] == cause
    if cause is None:
        score.healthy += 1
        score.false_alarms += not is_right
    else:
        score.blamed += 1
        score.cause_right += is_right
        score.culprit_right += told["culprit_service"] == culprit
    if not is_right or told["culprit_service"] != culprit:
        hidden = ", which no line tells," if is_hidden else ""
        got = _said((told["cause"], told["culprit_service"]))
        score.mistakes.append(f"verdict on {what}: expected {_said(expected)}{hidden} got {got}")


def _said(verdict: Verdict) -> str:
    return f"{verdict[0] or 'nothing'} at {verdict[1] or 'nobody'}"
