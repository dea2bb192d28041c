"""One request as a page or a drawing: the waterfall with both sides' times, the verdict, and the lines behind it.

Whatever is said comes from the questions `traced_requests`, `request_calls` and `explained_hops`.
"""

import re
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pipeline import __version__
from pipeline.assets import assets
from pipeline.errors import NoDataError, UsageError
from pipeline.query.session import Session
from pipeline.query.window import zone
from pipeline.report import charts
from pipeline.report.page import render
from pipeline.report.questions import Answer, ask, flags_of
from pipeline.report.text import short
from pipeline.text import visible, whom

Row = dict[str, Any]

MOST_REQUESTS = 10
MOST_CALLS = 150
MOST_EVIDENCE = 15
"""How much of one id a page shows; it says how much more there is."""


@dataclass(frozen=True)
class Traced:
    """One request: what became of it, its calls in the order of the waterfall, and the failing ones with both lines."""

    trace: Row
    calls: list[Row]
    waterfall: Markup
    evidence: list[Row]
    links: list[Row]
    """Traces that nothing but the time ties to this one."""

    @property
    def found(self) -> int:
        """How many calls there are, shown or not."""
        return int(self.calls[0]["found"])


def trace_page(session: Session, identifier: str, timezone: str) -> str:
    """Return a self-contained HTML page of the requests that an id names. Raises `NoDataError` where there is none."""
    requests = _named(session, identifier)
    calls = _calls(session, requests.rows[:MOST_REQUESTS])
    ids = dict.fromkeys(trace["request_id"] or identifier for trace in requests.rows[:MOST_REQUESTS])
    explained = [row for each in ids for row in ask(session, "explained_hops", id=each).rows if row["cause"]]
    return render(
        "trace.html.jinja",
        zone(timezone),
        identifier=identifier,
        timezone=timezone,
        version=__version__,
        requests=requests,
        calls_answer=calls,
        traced=[_traced(session, trace, calls, explained) for trace in requests.rows[:MOST_REQUESTS]],
        most_evidence=MOST_EVIDENCE,
    )


def trace_svg(session: Session, identifier: str) -> str:
    """Return the waterfall of one request as an SVG file with its own colours, for light and dark.

    Raises `NoDataError` where no request has that id, `UsageError` where several have it.
    """
    requests = _named(session, identifier)
    if len(requests.rows) > 1:
        ids = ", ".join(row["trace_id"] for row in requests.rows[:5])
        raise UsageError(f"{len(requests.rows)} requests have this id, and a drawing shows one. Name one of: {ids}")
    trace = requests.rows[0]
    calls = _own(_calls(session, [trace]), trace)
    culprit = whom(trace["culprit_service"], trace["cause"], trace["root_service"])
    verdict = f"{trace['cause']}, culprit {culprit}" if trace["cause"] else "well"
    title = (
        short(f"{trace['method'] or trace['kind']} {trace['path'] or trace['root_service']}", 100),
        f"{trace['response_code']} after {trace['duration_ms']} ms: {verdict}",
        f"request {short(trace['request_id'] or 'without an id', 60)}, {trace['started_at']:%Y-%m-%d %H:%M:%S} UTC",
    )
    drawn = charts.waterfall_svg(calls, _description(calls, verdict), title)
    opening, rest = drawn.split(">", 1)
    return f"{opening}><style>{_colours()}</style>{rest}\n"


def _named(session: Session, identifier: str) -> Answer:
    requests = ask(session, "traced_requests", _flags(session), id=identifier)
    if not requests.rows:
        raise NoDataError(f"no request with the id {visible(identifier)} began in this window. Try without --since")
    return requests


def _calls(session: Session, traces: list[Row]) -> Answer:
    ids = [trace["trace_id"] for trace in traces]
    return ask(session, "request_calls", _flags(session), trace_ids=ids, limit=MOST_CALLS)


def _flags(session: Session) -> tuple[str, ...]:
    return flags_of(session.root, session.window, session.timezone)


def _own(calls: Answer, trace: Row) -> list[Row]:
    return [call for call in calls.rows if call["trace_id"] == trace["trace_id"]]


def _traced(session: Session, trace: Row, calls: Answer, explained: list[Row]) -> Traced:
    own = _own(calls, trace)
    ids = {call["hop_id"] for call in own}
    # where the failure began stands first
    evidence = sorted(
        (row for row in explained if row["hop_id"] in ids), key=lambda row: row["culprit_hop_id"] != row["hop_id"]
    )
    drawn = charts.waterfall(own, _description(own, trace["cause"] or "well"))
    return Traced(trace, own, drawn, evidence, ask(session, "inferred_links", trace_id=trace["trace_id"]).rows)


def _description(calls: list[Row], verdict: str) -> str:
    return f"Waterfall of {len(calls)} calls, {verdict}; the table gives the same times."


def _colours() -> str:
    """Take the style sheet's colours, for light and dark, and the paper behind the drawing."""
    style = (assets("reports") / "style.css").read_text()
    light, dark = re.findall(r":root \{([^}]*)\}", style)[:2]
    return f":root{{{light}}} @media (prefers-color-scheme: dark){{:root{{{dark}}}}} svg{{background:var(--paper)}}"
