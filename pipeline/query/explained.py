"""Why a request was judged as it was: the lines of its failing calls, how they were paired, and the rule that decided.

Every value comes from the question `explained_hops`; here it is only put into words, with control characters of log
lines as escapes.
"""

from collections.abc import Iterator
from typing import Any

from pipeline.errors import NoDataError
from pipeline.query.models import question
from pipeline.query.session import Session
from pipeline.query.spoken import Line, folded, moment
from pipeline.text import visible, whom

Row = dict[str, Any]


def explanation_of(identifier: str) -> str:
    """Return the query for the failing calls of a request id, the start of one, or a hop's id."""
    text = identifier.replace("'", "''")
    calls = question("explained_hops").replace("$id", f"'{text}'")
    return f"select * from (\n{calls}\n) where cause is not null"  # noqa: S608 (quoted, and a query can only read)


def explanation_lines(session: Session, identifier: str, width: int) -> Iterator[Line]:
    """Put every failing call of a request into words, folded to `width` columns.

    Raises `NoDataError` where nothing has that id.
    """
    calls = session.rows(question("explained_hops"), {"id": identifier})
    if not calls:
        raise NoDataError(f"no request with the id {visible(identifier)} began in this window. Try without --since")
    failing = [call for call in calls if call["cause"]]
    yield Line(f"{len(failing)} of {len(calls)} calls under {visible(identifier)} went wrong.", is_head=True)
    for call in failing:
        yield Line("")
        yield from _call(call, width)


def _call(call: Row, width: int) -> Iterator[Line]:
    request = " ".join(filter(None, (call["method"], call["path"])))
    tries = f", attempt {call['attempt']} of {call['attempts']}" if call["attempts"] > 1 else ""
    where = f"{call['client_service'] or 'outside'} -> {call['service'] or 'no service'}"
    yield Line(visible(f"{where}  {request}{tries}"), is_head=True)
    yield from _told("request", call["request_id"] or "no id", width)
    yield from _told("hop", call["hop_id"], width)
    for side in ("client", "server"):
        yield from _logged(side, call[f"{side}_line"], width)
    yield from _told("paired", f"{call['link']}: {call['paired']}", width)
    yield from _told("rule", f"{call['rule']}: {call['because']}", width)
    yield from _told("beside", call["evidence"], width)
    if call["culprit_hop_id"] != call["hop_id"]:
        began = f"in the call of {call['culprit_called'] or 'no service'}, hop {call['culprit_hop_id']}"
        alone = _named(call["rule_cause"], call["rule_candidates"])
        yield from _told("alone", f"{alone}; but the failure began elsewhere: {began}", width)
    culprit = whom(call["culprit_service"], call["cause"], call["service"])
    yield from _told("verdict", f"{_named(call['cause'], call['candidates'])}, culprit {culprit}", width)


def _logged(side: str, line: Row | None, width: int) -> Iterator[Line]:
    """Show a line as logged: its place, then each column that says something."""
    if line is None:
        yield from _told(side, "no line", width)
        return
    yield from _told(side, f"{line['place']}  {moment(line['started_at'])}", width)
    for name, value in line.items():
        if value is not None and name not in ("place", "started_at"):
            yield from folded(" " * 12, visible(f"{name} = {value}"), width)


def _named(cause: str, candidates: list[str] | None) -> str:
    return f"{cause} (either {' or '.join(candidates)})" if candidates else cause


def _told(name: str, text: str | None, width: int) -> Iterator[Line]:
    if text:
        yield from folded(f"   {name:<9}", visible(text), width)
