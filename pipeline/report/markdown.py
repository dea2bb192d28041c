"""The nightly report as Markdown, which reads as it is in a terminal and as tables on GitHub.

What a log wrote stands in code spans, where nothing of it can become markup, a link or a mention.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.query.window import zone
from pipeline.report.facts import Facts, coverage, verdict
from pipeline.report.text import change, clock, count, factor, ms, objective, rate, short, spread, things
from pipeline.text import visible, whom

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, what a row shows in it, and whether that is a number."""

    title: str
    show: Callable[[Row], str]
    is_number: bool = True


def markdown(facts: Facts) -> str:
    """Return the whole report."""
    blocks = [_head(facts), _changes(facts), _findings(facts), *(_section(facts, each) for each in _sections(facts))]
    return "\n\n".join(blocks) + "\n"


def _head(facts: Facts) -> str:
    said, period = verdict(facts), facts.period
    read, totals = facts.row("coverage_totals"), facts.row("day_totals")
    sentence = said.begin + (code(said.service) if said.service else "") + said.end
    times = f"Half of them took {ms(totals['p50_ms'])} or less, 95 % took {ms(totals['p95_ms'])} or less."
    rest = (
        f"Read {things(read['lines'], 'line')} from {things(read['sources'], 'source')}: "
        f"{count(read['rows_in_window'])} rows of this time, {count(read['rejects'])} rejected, "
        f"{count(read['noise'])} noise. "
        f"{rate(read['unpaired_share'])} of the rows lack their other side."
    )
    where = f"{period.hours} {period.timezone}, lake {code(str(facts.root))}"
    return "\n\n".join([f"# {period.title}", where, f"**{sentence}**", times, rest])


# ---------- what changed


def _changes(facts: Facts) -> str:
    totals = facts.answers["against_earlier"].rows
    names = {"calls": "Calls", "failed": "Failed", "error_rate": "Error rate", "p50_ms": "Median", "p95_ms": "95th pct"}
    show: dict[str, Callable[[Any], str]] = {"count": count, "rate": rate, "ms": ms}
    rows = [
        {"title": names[row["measure"]], "now": show[row["unit"]](row["value"])}
        | {each["period"]: _difference(each, show) for each in totals if each["measure"] == row["measure"]}
        for row in totals
        if row["period"] == totals[0]["period"]
    ]
    columns = [_text("Calls of all services", "title"), Column("Now", lambda row: row["now"])]
    columns += [Column(before.earlier.name, _field(before.earlier.name)) for before in facts.before]
    services = [
        _text("Service", "service", code),
        _text("Against", "period"),
        _text("What", "change"),
        Column("Calls", _pair("calls_before", "calls", count)),
        Column("Error rate", _pair("error_rate_before", "error_rate", rate)),
        Column("95th pct", _pair("p95_before_ms", "p95_ms", ms)),
    ]
    changed = facts.answers["services_against_earlier"].rows
    held = " or ".join(before.earlier.name for before in facts.before if before.has_data)
    none = (
        f"No service's calls differ by much from {held}." if held else "There is nothing to hold the services against."
    )
    body = [_table(columns, rows), _table(services, changed) if changed else none]
    return "\n\n".join(["## What changed", _rests(facts, "changes"), *body])


def _difference(row: Row, show: dict[str, Callable[[Any], str]]) -> str:
    if row["before"] is None:
        return "no data"
    return f"{change(row['difference'], row['unit'])} from {show[row['unit']](row['before'])}"


def _pair(before: str, now: str, show: Callable[[Any], str]) -> Callable[[Row], str]:
    return lambda row: f"{show(row[before])} → {show(row[now])}"


# ---------- findings


def _findings(facts: Facts) -> str:
    answer = facts.answers["findings"]
    found = [_finding(place, row) for place, row in enumerate(answer.rows, 1)] or ["Nothing went wrong."]
    return "\n\n".join(["## Findings", _rests(facts, "findings"), *found])


def _finding(place: int, row: Row) -> str:
    culprit = code(row["culprit_service"]) if row["culprit_service"] else whom(None, row["cause"], row["service"])
    lines = [
        f"{place}. **{culprit}: {row['title']}**, {things(row['failed_requests'], 'failed request')}, "
        f"{things(row['calls'], 'call')}",
        f"   - client: {code(row['client_evidence'] or 'no line')}",
        f"   - server: {code(row['server_evidence'] or 'no line')}",
        *(f"   - configured: {code(short(cited, 300))}" for cited in row["configuration"]),
        f"   - {row['advice']}",
    ]
    return "\n".join([*lines, f"   - next: {code(row['next_command'])}"] if row["next_command"] else lines)


# ---------- tables


@dataclass(frozen=True)
class Section:
    """A section that is one table."""

    title: str
    name: str
    question: str
    columns: tuple[Column, ...]
    empty: str


def _sections(facts: Facts) -> Iterable[Section]:
    at = zone(facts.period.timezone)

    def when(name: str) -> Callable[[Row], str]:
        return lambda row: clock(row[name], at, facts.period.is_long)

    request = (
        Column("Took", _field("duration_ms", ms)),
        _text("Request", "path", lambda path: code(short(path or "no path", 60))),
        Column("Status", _field("response_code", str)),
        _text("Cause", "cause", lambda cause: cause or ""),
        _text("Culprit", "culprit_service", code),
        Column("At", when("started_at")),
        _text("Id", "request_id", code),
    )
    yield Section("Error budgets", "budgets", "error_budgets", _BUDGETS, "No call of a named service was logged.")
    yield Section("Worst clusters", "clusters", "worst_clusters", _CLUSTERS, "No cluster failed a call.")
    yield Section("Where the time went", "latency", "latency_by_service", _LATENCY, "No call was logged whole.")
    yield Section("Service graph", "graph", "graph_edges", _EDGES, "No call of a named service was logged.")
    yield Section("Failed requests", "failed", "failed_requests", request, "No request failed.")
    yield Section("Slowest requests", "slowest", "slowest_requests", request, "No request was answered.")
    yield Section("Endpoints that differ", "endpoints", "differing_endpoints", _ENDPOINTS, "None stands out.")
    yield Section("Retries", "retries", "retried_edges", _RETRIES, "No proxy tried a call again.")


def _section(facts: Facts, section: Section) -> str:
    answer = facts.answers[section.question]
    body = _table(section.columns, answer.rows) if answer.rows else section.empty
    more = answer.found - len(answer.rows)
    rest = [f"And {count(more)} more: see tables/, or `answers.{answer.name}.command` of report.json."] if more else []
    return "\n\n".join([f"## {section.title}", _rests(facts, section.name), body, *rest])


def _rests(facts: Facts, name: str) -> str:
    known = coverage(facts)[name]
    return "Nothing to cover." if known.share is None else f"Coverage {rate(known.share)}: {known.sentence}."


def _field(name: str, show: Callable[[Any], str] = str) -> Callable[[Row], str]:
    return lambda row: show(row[name])


def _text(title: str, name: str, show: Callable[[Any], str] = str) -> Column:
    return Column(title, _field(name, show), is_number=False)


def _burn(window: str, minutes: str) -> Callable[[Row], str]:
    return lambda row: factor(row[window]) + (" alert" if row[minutes] else "")


def code(value: str | None) -> str:
    """Return a text from a log as a code span, whatever it holds."""
    if value is None:
        return ""
    text = visible(value)
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _service(row: Row) -> str:
    return code(" ".join(filter(None, (row["service"] or "no service", row["cluster_subset"]))))


def _times(part: str) -> Callable[[Row], str]:
    return lambda row: spread([row[f"{part}_{percentile}_ms"] for percentile in ("p50", "p95", "p99")])


_BUDGETS = (
    _text("Service", "service", code),
    Column("Objective", _field("slo", objective)),
    Column("Calls", _field("calls", count)),
    Column("Failed", _field("failed", count)),
    Column("Budget used", _field("budget_used", factor)),
    Column("Burn 1h/5m", _burn("burn_1h", "page_1h_minutes")),
    Column("6h/30m", _burn("burn_6h", "page_6h_minutes")),
    Column("3d/6h", _burn("burn_3d", "ticket_3d_minutes")),
)
_CLUSTERS = (
    _text("Cluster", "upstream_cluster", lambda cluster: code(cluster or "no cluster")),
    Column("Error rate", _field("error_rate", rate)),
    Column("Failed", _field("errors", count)),
    Column("Calls", _field("requests", count)),
    Column("5xx", _field("responses_5xx", count)),
    Column("4xx", _field("responses_4xx", count)),
    Column("No response", _field("no_response", count)),
)
_LATENCY = (
    Column("Service", _service, is_number=False),
    Column("Calls", _field("calls", count)),
    Column("Caller waited (50/95/99)", _times("client")),
    Column("Application", _times("app")),
    Column("Further down", _times("below")),
    Column("Bodies", _times("body")),
    Column("Proxy", _times("proxy")),
    Column("Network", _times("network")),
)
_EDGES = (
    _text("Caller", "client_service", lambda name: code(name or "outside the mesh")),
    _text("Called", "service", code),
    Column("Calls", _field("calls", count)),
    Column("Failed", _field("errors", count)),
    Column("Error rate", _field("error_rate", rate)),
    Column("95th pct", _field("p95_ms", ms)),
)
_ENDPOINTS = (
    _text("Endpoint", "upstream_host", code),
    Column("Service", _service, is_number=False),
    _text("What", "outlier_by"),
    Column("Calls", _field("calls", count)),
    Column("Error rate (siblings)", lambda row: f"{rate(row['error_rate'])} ({rate(row['sibling_error_rate'])})"),
    Column("95th pct (siblings)", lambda row: f"{ms(row['p95_ms'])} ({ms(row['sibling_p95_ms'])})"),
)
_RETRIES = (
    _text("Caller", "client_service", lambda name: code(name or "outside the mesh")),
    _text("Called", "service", code),
    Column("Calls", _field("calls", count)),
    Column("Tries", _field("attempts", count)),
    Column("per call", _field("attempts_per_call", factor)),
    Column("along the chain", _field("chain_attempts_per_call", factor)),
    Column("Saved", _field("saved", count)),
    Column("In vain", _field("wasted", count)),
)


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return a table whose columns line up in a terminal."""
    # a table splits at every bar, in code spans too
    shown = ([column.show(row).replace("|", "\\|") for column in columns] for row in rows)
    cells = [[column.title for column in columns], *shown]
    widths = [max(3, *(len(line[place]) for line in cells)) for place in range(len(columns))]

    def line(texts: Sequence[str]) -> str:
        padded = (
            text.rjust(width) if column.is_number else text.ljust(width)
            for text, width, column in zip(texts, widths, columns, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * (width - 1) + ":" if column.is_number else "-" * width
        for width, column in zip(widths, columns, strict=True)
    ]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:])])
