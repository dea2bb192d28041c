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
from pipeline.text import visible, whom

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
    cited = _citations(session)
    for number, finding in enumerate(findings, 1):
        yield from _finding(number, finding, cited.get(finding["diagnosis_id"], []), width)


def _citations(session: Session) -> dict[str, list[Row]]:
    """Return what the mesh's configuration says of each finding; nothing where none was read."""
    found: dict[str, list[Row]] = {}
    if session.rows("from mesh_snapshots limit 1"):
        for row in session.rows(
            "from citations where place <= 3 and (is_set is not false or place = 1) order by diagnosis_id, place"
        ):
            found.setdefault(row["diagnosis_id"], []).append(row)
    return found


def _finding(number: int, row: Row, citations: list[Row], width: int) -> Iterator[Line]:
    where = f"{row['service'] or 'no service'}" + (f" ({row['cluster_subset']})" if row["cluster_subset"] else "")
    yield Line(visible(f"{number}. {row['cause']}: {row['title']}"), is_head=True)
    facts = {
        "either": " or ".join(row["candidates"] or []),
        "culprit": whom(row["culprit_service"], row["cause"], row["service"]),
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
        if name == "change":
            for place, citation in enumerate(citations):
                yield from folded(f"   {'' if place else 'config':<8} ", visible(_cited(citation)), width)
    yield Line("")


def _cited(row: Row) -> str:
    seen = f" (seen: {row['observed']})" if row["observed"] else ""
    later = ", after the window" if row["is_later"] else ""
    read = f" [as of {row['snapshot_at']:%Y-%m-%d %H:%M}{later}]" if row["place"] == 1 else ""
    change = f"; {row['change']}" if row["change"] else ""
    return f"{row['cited']}{seen}{change}{read}"


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
    """Draw the requests that an id names, a line a call, at most `width` columns wide.

    Raises `NoDataError` where nothing has that id.
    """
    traces = session.rows(question("named_requests"), {"id": identifier})
    if not traces:
        raise NoDataError(f"no request with the id {visible(identifier)} began in this window. Try without --since")
    for trace in traces:
        calls = session.rows(question("request_calls"), {"trace_ids": [trace["trace_id"]], "limit": _ALL})
        links = session.rows(question("inferred_links"), {"trace_id": trace["trace_id"]})
        yield from _trace(trace, calls, links, width)


_ALL = 1 << 31


def _trace(trace: Row, calls: list[Row], links: list[Row], width: int) -> Iterator[Line]:
    yield Line(visible(f"request {trace['request_id'] or '(no id)'}"), is_head=True)
    either = f" (either {' or '.join(trace['candidates'])})" if trace["candidates"] else ""
    culprit = whom(trace["culprit_service"], trace["cause"], trace["root_service"])
    verdict = f"{trace['cause']}{either}, culprit {culprit}" if trace["cause"] else "well"
    request = _cut(visible(f"{trace['method'] or trace['kind']} {trace['path'] or ''}"), width // 2)
    shown = f"{moment(trace['started_at'])}  {request}  {trace['response_code']}  {trace['duration_ms']} ms  {verdict}"
    if len(shown) > width - 2:
        yield from folded("  ", visible(shown), width)
    else:
        yield Line(f"  {visible(shown)}")
    yield from folded("  ", visible(f"entered at {trace['entry_service'] or 'outside'}"), width)
    if not trace["is_complete"]:
        yield from folded("  ", "incomplete: a side was not logged, or a service did not pass x-request-id on", width)
    for link in links:
        yield from folded("  ", visible(_link(link)), width)
    yield from _waterfall(calls, width)
    yield Line("")


def _link(link: Row) -> str:
    """Name a trace that nothing but the time ties to this one."""
    how = "may be a call of" if link["direction"] == "for" else "may have called"
    trace = ", ".join(filter(None, (f"trace {link['trace_id']}", link["request_id"], link["cause"])))
    who = f"{how} {link['service'] or 'no service'} ({trace})"
    return f"{who}: by the time alone, confidence {link['confidence']:.2f}"


def _waterfall(calls: list[Row], width: int) -> Iterator[Line]:
    """Draw a line a call: light where the caller alone had it, dark where the server had it too."""
    names = [_name(call) for call in calls]
    longest = min(max(map(len, names)), max(20, width - 46))
    ended = max(max(call["client_to_ms"] or 0, call["server_to_ms"] or 0) for call in calls) or 1
    room = max(10, width - longest - 23)
    for call, name in zip(calls, names, strict=True):
        mark = "!" if call["is_error"] else " "
        yield Line(
            f"  {_cut(name, longest):<{longest}} {call['response_code'] or '-':>4} {mark}"
            f"{call['duration_ms'] or 0:>6} ms  {_bar(call, ended, room)}".rstrip()
        )
        if call["culprit_hop_id"] == call["hop_id"]:
            yield Line(f"  {_indent(call)}^ {call['cause']}")


_DEEPEST = 6
"""How far names are indented; deeper ones tell their depth as a number."""


def _indent(call: Row) -> str:
    return "  " * min(int(call["depth"]), _DEEPEST)


def _name(call: Row) -> str:
    deep = f"{call['depth']}: " if call["depth"] > _DEEPEST else ""
    subset = f" ({call['cluster_subset']})" if call["cluster_subset"] else ""
    attempt = f" attempt {call['attempt']}/{call['attempts']}" if call["attempts"] > 1 else ""
    return visible(f"{_indent(call)}{deep}{call['service'] or 'no service'}{subset}{attempt}")


def _cut(text: str, width: int) -> str:
    """Cut a text in its middle: names that begin alike often end differently."""
    if len(text) <= width:
        return text
    tail = width // 3
    return f"{text[: width - tail - 1]}…{text[-tail:]}"


def _bar(call: Row, total_ms: float, room: int) -> str:
    bar = [" "] * room
    for side, ink in (("client", "░"), ("server", "█")):
        if call[f"{side}_from_ms"] is not None:
            begin = min(room - 1, max(0, round(call[f"{side}_from_ms"] / total_ms * room)))
            end = min(room, max(begin + 1, round(call[f"{side}_to_ms"] / total_ms * room)))
            bar[begin:end] = ink * (end - begin)
    return "".join(bar)


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
    for each in session.rows(question("configuration_held"), {"limit": 3}):
        state = ", ".join(each["holds"])
        yield visible(
            f"mesh      {moment(each['snapshot_at'])}: {state}{'' if each['in_force'] else ' (replaced since)'}"
        )
    if held["problems"]:
        yield f'problems  {held["problems"]:,} sources: meshlog sql "from loads where problem is not null"'
