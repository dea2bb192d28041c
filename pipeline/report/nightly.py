"""The nightly report: one page for a day, held against the day before, and the same tables as files.

Each day is a session of its own, so a number here is the number that `meshlog sql` gives for that day. Whatever the
page says comes from a model or a question; nothing is counted here.
"""

import json
import shutil
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

from markupsafe import Markup

from pipeline import __version__
from pipeline.errors import MeshlogError, NoDataError
from pipeline.query.session import Session, open_session
from pipeline.query.window import day_window, zone
from pipeline.report import charts
from pipeline.report.page import render
from pipeline.report.questions import Answer, ask

TablesFormat = Literal["parquet", "csv", "json"]

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

_COPY_OPTIONS = {"parquet": "format parquet, compression zstd", "csv": "format csv, header true", "json": "format json"}

LIMITS = {
    "findings": 25,
    "worst_clusters": 15,
    "latency_by_service": 25,
    "failed_requests": 5,
    "slowest_requests": 5,
    "retried_edges": 15,
    "differing_endpoints": 15,
    "coverage_by_source": 100,
}
"""How many rows of each question a page shows; it says how many more there are."""

CALLS_PER_REQUEST = 24
"""How many calls of one request a waterfall shows."""


@dataclass(frozen=True)
class Request:
    """One request as the page draws it."""

    trace: dict[str, Any]
    calls: list[dict[str, Any]]
    waterfall: Markup


def write_nightly(
    root: Path, day: date, out: Path, *, timezone: str = "UTC", tables_format: TablesFormat | None = "parquet"
) -> Path:
    """Write OUT/index.html and OUT/tables/*, and return the page's path.

    A failed run changes nothing in `out`. Raises `NoDataError` where the lake has no line of that day, `UsageError` for
    an unknown time zone, `LakeError` where there is no lake.
    """
    with closing(open_session(root, day_window(day, timezone), timezone)) as session:
        if not session.rows("select 1 from access_logs limit 1"):
            raise NoDataError(_no_data(root, day, timezone))
        page = _page(session, root, day, timezone)
        try:
            return _put(session, page, out, tables_format)
        except OSError as error:
            raise MeshlogError(f"{out}: cannot be written: {error.strerror}. Name another folder") from error


def _no_data(root: Path, day: date, timezone: str) -> str:
    """Say which days there are instead."""
    with closing(open_session(root, timezone=timezone)) as session:
        days = [str(row["day"]) for row in ask(session, "days_held").rows]
    if not days:
        return f"{root}: holds no access-log line yet. Read some with: meshlog ingest PATH --lake {root}"
    held = ", ".join(days) if len(days) <= 7 else f"{len(days)} days from {days[0]} to {days[-1]}"
    return f"{root}: holds no access-log line of {day} ({timezone}). It holds {held}"


# ---------- what the page says


def _page(session: Session, root: Path, day: date, timezone: str) -> str:
    answers = {name: ask(session, name, limit=limit) for name, limit in LIMITS.items()}
    totals = ask(session, "day_totals")
    before = _totals_of(root, day - timedelta(days=1), timezone)
    parts = ("day_verdict", "coverage_totals", "requests_over_time")
    answers |= {name: ask(session, name) for name in parts}
    answers["day_totals"] = totals
    answers["day_against_before"] = ask(session, "day_against_before", today=_as_json(totals), before=_as_json(before))
    calls = _calls(session, answers)
    return render(
        "nightly.html.jinja",
        zone(timezone),
        day=day,
        next_day=day + timedelta(days=1),
        timezone=timezone,
        lake=str(root),
        version=__version__,
        answers=answers,
        calls_answer=calls,
        failed=_requests(answers["failed_requests"], calls),
        slowest=_requests(answers["slowest_requests"], calls),
        error_rate_chart=charts.error_rate(answers["requests_over_time"].rows, _OVER_TIME),
        latency_chart=charts.latency(answers["latency_by_service"].rows, _LATENCY),
        parts=charts.PARTS,
    )


_OVER_TIME = "Bar chart: the share of requests that failed in each step of time, above the number of requests."
_LATENCY = "Bar chart: the mean time of a call to each service, split into the parts that the table below gives."


def _totals_of(root: Path, day: date, timezone: str) -> Answer:
    with closing(open_session(root, day_window(day, timezone), timezone)) as session:
        return ask(session, "day_totals")


def _as_json(totals: Answer) -> str:
    return json.dumps(totals.rows[0])


def _calls(session: Session, answers: dict[str, Answer]) -> Answer:
    shown = [row["trace_id"] for name in ("failed_requests", "slowest_requests") for row in answers[name].rows]
    return ask(session, "request_calls", trace_ids=shown, limit=CALLS_PER_REQUEST)


def _requests(traces: Answer, calls: Answer) -> list[Request]:
    return [_request(trace, calls) for trace in traces.rows]


def _request(trace: dict[str, Any], calls: Answer) -> Request:
    own = [call for call in calls.rows if call["trace_id"] == trace["trace_id"]]
    description = f"Waterfall of {len(own)} calls; the table below has the same times."
    return Request(trace, own, charts.waterfall(own, description))


# ---------- writing


def _put(session: Session, page: str, out: Path, tables_format: TablesFormat | None) -> Path:
    """Write everything beside its place, then move it there, the page last."""
    out.mkdir(parents=True, exist_ok=True)
    aside = Path(mkdtemp(prefix=".nightly-", dir=out))
    try:
        (aside / "index.html").write_text(page, encoding="utf-8")
        if tables_format:
            _write_tables(session, aside, tables_format)
            _move_tables(aside, out / "tables", tables_format)
        return (aside / "index.html").replace(out / "index.html")
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_tables(session: Session, folder: Path, tables_format: TablesFormat) -> None:
    for table in TABLES:
        key = ", ".join(session.models[table].key)
        session.copy(f"from {table} order by {key}", folder / f"{table}.{tables_format}", _COPY_OPTIONS[tables_format])


def _move_tables(aside: Path, tables: Path, tables_format: TablesFormat) -> None:
    """Put the tables in place, and take away those that another day wrote in another format."""
    tables.mkdir(exist_ok=True)
    for table in TABLES:
        (aside / f"{table}.{tables_format}").replace(tables / f"{table}.{tables_format}")
        for other in _COPY_OPTIONS.keys() - {tables_format}:
            (tables / f"{table}.{other}").unlink(missing_ok=True)
