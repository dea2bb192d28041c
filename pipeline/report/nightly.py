"""The nightly report: a page, the same in Markdown and JSON, and its tables as files, for a day or any span of time.

A number here is the number that `meshlog sql` gives: each section carries the command that repeats it.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline import __version__
from pipeline.errors import NoDataError
from pipeline.query.own import LAYER
from pipeline.query.session import open_session
from pipeline.query.window import zone
from pipeline.report import charts, graph, multiples
from pipeline.report.facts import Facts, coverage, gather, verdict
from pipeline.report.folder import TablesFormat, put
from pipeline.report.markdown import markdown
from pipeline.report.objectives import NINES, Objectives
from pipeline.report.page import render
from pipeline.report.periods import Period, nothing_held
from pipeline.report.questions import Answer, ask

TABLES = (
    "traces",
    "latency_breakdown",
    "error_rates",
    "diagnoses",
    "endpoints",
    "service_graph",
    "retries",
    "coverage",
)
"""The tables that are written beside the page."""

JSON_FORMAT, JSON_VERSION = "meshlog-report", 1
"""Names the shape of report.json, see docs/report.md; the version grows when a name goes or changes its meaning."""


def write_nightly(
    root: Path,
    period: Period,
    out: Path,
    *,
    objectives: Objectives = NINES,
    tables_format: TablesFormat | None = "parquet",
    own_folder: Path | None = None,
) -> Path:
    """Write OUT/index.html, report.md, report.json and tables/*, and return the page's path.

    The models of `own_folder` stand among the tables. A failed run changes nothing in `out`. Raises `NoDataError` where
    the lake has no line of the period, `LakeError` where there is none, `MeshlogError` where `out` cannot be written.
    """
    with open_session(root, period.window, period.timezone, own_folder) as session:
        if not session.rows("select 1 from access_logs limit 1"):
            raise NoDataError(_no_data(root, period))
        facts = gather(session, root, period, objectives)
        pages = {"report.json": _json(facts), "report.md": markdown(facts), "index.html": _page(facts)}
        own_tables = [model.name for model in session.models.values() if model.layer == LAYER]
        put(session, pages, [*TABLES, *own_tables], out, tables_format)
    return out / "index.html"


def _no_data(root: Path, period: Period) -> str:
    """Say which days there are instead."""
    with open_session(root, timezone=period.timezone) as session:
        days = [str(row["day"]) for row in ask(session, "days_held").rows]
        if not days:
            return nothing_held(root, session)
    held = ", ".join(days) if len(days) <= 7 else f"{len(days)} days from {days[0]} to {days[-1]}"
    return f"{root}: holds no access-log line of {period.name} ({period.timezone}). It holds {held}"


# ---------- the page


@dataclass(frozen=True)
class Request:
    """One request as the page draws it."""

    trace: dict[str, Any]
    calls: list[dict[str, Any]]
    waterfall: Markup
    rest: str
    """The command that tells all of its calls."""
    again: str
    """The command that draws it in a terminal."""


def _page(facts: Facts) -> str:
    answers = facts.answers
    return render(
        "nightly.html.jinja",
        zone(facts.period.timezone),
        is_long=facts.period.is_long,
        period=facts.period,
        lake=str(facts.root),
        version=__version__,
        objectives=facts.objectives,
        answers=answers,
        before=facts.before,
        verdict=verdict(facts),
        rests=coverage(facts),
        is_told_by_callers=any(row["section"] == "budgets" and row["total"] for row in answers["report_coverage"].rows),
        failed=_requests(answers["failed_requests"], answers["request_calls"]),
        slowest=_requests(answers["slowest_requests"], answers["request_calls"]),
        error_rate_chart=charts.error_rate(answers["requests_over_time"].rows, _OVER_TIME),
        clusters_chart=multiples.error_rates(answers["cluster_errors_over_time"].rows, _CLUSTERS),
        latency_chart=charts.latency(answers["latency_by_service"].rows, _LATENCY),
        graph_chart=graph.service_graph(answers["graph_edges"].rows, _GRAPH),
        parts=charts.PARTS,
    )


_OVER_TIME = "Bar chart: the share of requests that failed in each step of time, above the number of requests."
_CLUSTERS = "Small bar charts, one a cluster: the share of its calls that failed in each step of time."
_LATENCY = "Bar chart: the mean time of a call to each service, split into the parts that the table below gives."
_GRAPH = "Picture: which services call which, callers left of those they call; the table below has the same edges."


def _requests(traces: Answer, calls: Answer) -> list[Request]:
    return [request(trace, calls) for trace in traces.rows]


def request(trace: dict[str, Any], calls: Answer) -> Request:
    """Draw a request, whose calls are some of those that `request_calls` found."""
    own = [call for call in calls.rows if call["trace_id"] == trace["trace_id"]]
    description = f"Waterfall of {len(own)} calls; the table below has the same times."
    rest = calls.also(f"from trace_spans where trace_id = '{trace['trace_id']}'")
    again = calls.beside("trace", trace["request_id"] or trace["trace_id"])
    return Request(trace, own, charts.waterfall(own, description), rest, again)


# ---------- report.json


def _json(facts: Facts) -> str:
    period = facts.period
    report = {
        "format": JSON_FORMAT,
        "version": JSON_VERSION,
        "meshlog": __version__,
        "lake": str(facts.root),
        "period": {"name": period.name, "since": period.since, "until": period.until, "timezone": period.timezone},
        "objectives": {"default": facts.objectives.default, "services": facts.objectives.services},
        "earlier": [
            {
                "period": before.earlier.name,
                "since": before.earlier.window.since,
                "until": before.earlier.window.until,
                "has_data": before.has_data,
                "calls": _answer(before.calls),
                "services": _answer(before.services),
            }
            for before in facts.before
        ],
        "answers": {name: _answer(answer) for name, answer in facts.answers.items()},
    }
    return json.dumps(report, indent=1, default=_moment, ensure_ascii=True) + "\n"


def _answer(answer: Answer) -> dict[str, Any]:
    return {"question": answer.meaning, "command": answer.command, "found": answer.found, "rows": answer.rows}


def _moment(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no type of a report")
