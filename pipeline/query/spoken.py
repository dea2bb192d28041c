"""Answers as people read them in a terminal: findings, waterfalls and the state of a lake, as lines of plain text.

Every figure comes from a model; here it is only put into words. Values from logs are shown with control characters as
escapes.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import NoDataError
from pipeline.query.models import question
from pipeline.query.session import Session
from pipeline.text import visible

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One line of text, and whether it heads what follows."""

    text: str
    is_head: bool = False


def finding_lines(session: Session, width: int) -> Iterator[Line]:
    """Put every finding of the window into words, folded to `width` columns.

    Raises `NoDataError` where the window holds no line at all.
    """
    findings = session.rows("from diagnoses")
    if not findings:
        seen = session.rows("select count(*) as lines from access_logs")[0]["lines"]
        if not seen:
            raise NoDataError("the lake holds no access-log line in this window. See what it holds: meshlog status")
        yield Line(f"Nothing went wrong in {seen:,} lines.")
    for number, finding in enumerate(findings, 1):
        yield from _finding(number, finding, width)


def _finding(number: int, row: Row, width: int) -> Iterator[Line]:
    where = f"{row['service'] or 'no service'}" + (f" ({row['cluster_subset']})" if row["cluster_subset"] else "")
    yield Line(visible(f"{number}. {row['cause']}: {row['title']}"), is_head=True)
    facts = {
        "either": " or ".join(row["candidates"] or []),
        "culprit": row["culprit_service"] or ("not known" if row["cause"] == "unknown" else "outside the mesh"),
        "at": f"{', '.join(row['callers'] or ['outside'])} -> {where}",
        "calls": f"{row['calls']:,} of {row['edge_calls']:,} ({row['edge_rate']:.1%}), {row['failed_calls']:,} failed",
        "client": row["client_evidence"] or "no line",
        "server": row["server_evidence"] or "no line",
        "seen": f"{moment(row['first_seen_at'])} to {moment(row['last_seen_at'])}",
        "pods": ", ".join([*_pods("from", row["client_pods"]), *_pods("to", row["server_pods"])]),
        "why": row["because"],
        "change": " ".join(filter(None, (row["resource"], row["field"]))),
        "advice": row["advice"],
        "next": row["next_command"],
        "trace": ", ".join(row["example_request_ids"] or []),
    }
    for name, text in facts.items():
        if text:
            yield from folded(f"   {name:<8} ", visible(text), width)
    yield Line("")


def _pods(word: str, pods: list[str] | None) -> list[str]:
    """Name a few pods, and say how many more there are."""
    if not pods:
        return []
    more = f" and {len(pods) - 3:,} more" if len(pods) > 3 else ""
    return [f"{word} {', '.join(pods[:3])}{more}"]


def folded(lead: str, text: str, width: int) -> Iterator[Line]:
    """Fold a text behind its lead; a word that is longer than the line stays whole, so that it can be copied."""
    pieces = textwrap.wrap(text, max(20, width - len(lead)), break_long_words=False, break_on_hyphens=False)
    for piece in pieces:
        yield Line(lead + piece)
        lead = " " * len(lead)


def moment(at: Any) -> str:
    """Write a time in milliseconds."""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


def spans_of(identifier: str) -> str:
    """Return the query for the spans of a request id, the start of one, or a trace id, in the order they began."""
    text = identifier.replace("'", "''")
    return f"""
        select *
        from trace_spans
        where trace_id in (
            select trace_id from trace_spans
            where starts_with(request_id, '{text}') or trace_id = '{text}' or hop_id = '{text}'
        )
        order by trace_id, min(started_at) over (partition by call_id), call_id, attempt
    """  # noqa: S608 (quoted above, and a query can only read)


def waterfall_lines(session: Session, identifier: str, width: int) -> Iterator[Line]:
    """Draw the traces that an id names, a line a hop, at most `width` columns wide.

    Raises `NoDataError` where nothing has that id.
    """
    spans: dict[str, list[Row]] = {}
    for span in session.rows(spans_of(identifier)):
        spans.setdefault(span["trace_id"], []).append(span)
    if not spans:
        raise NoDataError(f"no request with the id {visible(identifier)} began in this window. Try without --since")
    for trace_id, of_trace in spans.items():
        trace = session.rows("from traces where trace_id = $trace_id", {"trace_id": trace_id})[0]
        links = session.rows(question("inferred_links"), {"trace_id": trace_id})
        yield from _trace(trace, of_trace, links, width)


def _trace(trace: Row, spans: list[Row], links: list[Row], width: int) -> Iterator[Line]:
    yield Line(visible(f"request {trace['request_id'] or '(no id)'}"), is_head=True)
    either = f" (either {' or '.join(trace['candidates'])})" if trace["candidates"] else ""
    whom = trace["culprit_service"] or ("not known" if trace["cause"] == "unknown" else "outside the mesh")
    verdict = f"{trace['cause']}{either}, culprit {whom}" if trace["cause"] else "well"
    shown = (
        f"{moment(trace['started_at'])}  {trace['method'] or trace['kind']} {trace['path'] or ''}  "
        f"{trace['response_code']}  {trace['duration_ms']} ms  {verdict}"
    )
    yield Line(f"  {visible(shown)}")
    yield Line(visible(f"  entered at {trace['entry_service'] or 'outside'}"))
    if not trace["is_complete"]:
        yield Line("  incomplete: a side was not logged, or a service did not pass x-request-id on")
    for link in links:
        yield from folded("  ", visible(_link(link)), width)
    named = [(span, _name(span)) for span in _as_tree(spans)]
    longest = min(max(len(name) for _, name in named), max(20, width - 50))
    began = min(span["started_at"] for span in spans)
    ended = max((span["started_at"] - began).total_seconds() * 1000 + (span["duration_ms"] or 0) for span in spans)
    room = max(10, width - longest - 26)
    for span, name in named:
        offset = (span["started_at"] - began).total_seconds() * 1000
        bar = _bar(offset, span["duration_ms"] or 0, max(ended, 1), room)
        mark = "!" if span["is_error"] else " "
        yield Line(
            f"  {_cut(name, longest):<{longest}} {span['response_code'] or '-':>4} {mark}"
            f"{span['duration_ms'] or 0:>6} ms  {bar}".rstrip()
        )
        if span["culprit_hop_id"] == span["hop_id"]:
            yield Line(f"  {'  ' * span['depth']}^ {span['cause']}")
    yield Line("")


def _link(link: Row) -> str:
    """Name a trace that nothing but the time ties to this one."""
    how = "may be a call of" if link["direction"] == "for" else "may have called"
    trace = ", ".join(filter(None, (f"trace {link['trace_id']}", link["request_id"], link["cause"])))
    who = f"{how} {link['service'] or 'no service'} ({trace})"
    return f"{who}: by the time alone, confidence {link['confidence']:.2f}"


def _as_tree(spans: list[Row]) -> Iterator[Row]:
    """Yield each span after its parent, siblings in the order they began."""
    children: dict[str | None, list[Row]] = {}
    for span in spans:
        children.setdefault(span["parent_hop_id"], []).append(span)
    pending = list(reversed(children.get(None, [])))
    while pending:
        span = pending.pop()
        yield span
        pending.extend(reversed(children.get(span["hop_id"], [])))


def _name(span: Row) -> str:
    subset = f" ({span['cluster_subset']})" if span["cluster_subset"] else ""
    attempt = f" attempt {span['attempt']}/{span['attempts']}" if span["attempts"] > 1 else ""
    return visible(f"{'  ' * span['depth']}{span['service'] or 'no service'}{subset}{attempt}")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _bar(offset_ms: float, duration_ms: float, total_ms: float, room: int) -> str:
    before = min(room - 1, round(offset_ms / total_ms * room))
    return " " * before + "█" * max(1, min(room - before, round(duration_ms / total_ms * room)))


def status_lines(session: Session, lake: Path) -> Iterator[str]:
    """Say what the lake holds."""
    held = session.rows(question("lake_status"))[0]
    yield f"lake      {lake}"
    if not held["loads"]:
        yield "          empty. Fill it with: meshlog ingest PATH"
        return
    yield f"rows      {held['rows']:,} from {held['sources']:,} sources in {held['loads']:,} loads"
    yield f"lines     {held['lines']:,}: {held['rejects']:,} rejected, {held['noise']:,} noise, {held['blank']:,} blank"
    if held["first_started_at"]:
        yield f"time      {moment(held['first_started_at'])} to {moment(held['last_started_at'])}"
    yield f"loaded    {moment(held['last_loaded_at'])}"
    if held["problems"]:
        yield f'problems  {held["problems"]:,} sources: meshlog sql "from loads where problem is not null"'
