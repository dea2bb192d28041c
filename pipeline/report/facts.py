"""Everything that a report says: the questions that are asked of a lake, each in the window that it is about.

Earlier windows are read without pairing a line, and the long windows of burn rates too, so that holding a day against
others costs little beside the day itself. Nothing is counted here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.query.session import Session, Window, open_session
from pipeline.report.objectives import Objectives
from pipeline.report.periods import Earlier, Period
from pipeline.report.questions import Answer, ask, flags_of
from pipeline.report.text import count, rate, things

LIMITS = {
    "findings": 25,
    "worst_clusters": 15,
    "cluster_errors_over_time": 12,
    "latency_by_service": 25,
    "graph_edges": 36,
    "failed_requests": 5,
    "slowest_requests": 5,
    "retried_edges": 15,
    "differing_endpoints": 15,
    "coverage_by_source": 100,
}
"""How many rows of each question a report shows; it says how many more there are."""

WHOLE = ("day_totals", "day_verdict", "window_calls", "requests_over_time", "coverage_totals", "report_coverage")
"""Questions whose rows are all shown."""

CHANGES, BUDGETS, CALLS_PER_REQUEST = 20, 25, 24
"""How many changed services, error budgets, and calls of one request are shown."""

LONGEST_BURN = timedelta(days=3)
"""The longest window of a burn rate; the lines of so much time before the report's end are read for them."""


@dataclass(frozen=True)
class Before:
    """An earlier window and its calls, for all services and for each."""

    earlier: Earlier
    calls: Answer
    services: Answer

    @property
    def has_data(self) -> bool:
        """Whether the lake holds a line of that window."""
        return bool(self.calls.rows[0]["calls"])


@dataclass(frozen=True)
class Facts:
    """The answers to all questions of a report, by name, and what they were asked of."""

    root: Path
    period: Period
    objectives: Objectives
    answers: dict[str, Answer]
    before: tuple[Before, ...]

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags with which the command opens the report's own window."""
        return flags_of(self.root, self.period.window, self.period.timezone)

    def row(self, name: str) -> dict[str, Any]:
        """Return the only row of an answer that has one."""
        return self.answers[name].rows[0]


def gather(session: Session, root: Path, period: Period, objectives: Objectives) -> Facts:
    """Ask all questions; `session` is open on the report's own window. Raises `LakeError`, `QueryError`."""
    flags = flags_of(root, period.window, period.timezone)
    before = tuple(_before(root, period, earlier) for earlier in period.earlier)
    answers = {name: ask(session, name, flags) for name in WHOLE}
    answers |= {name: ask(session, name, flags, limit=limit) for name, limit in LIMITS.items()}
    answers |= _against(session, flags, before)
    answers["request_calls"] = _calls(session, flags, answers)
    answers["error_budgets"] = _budgets(root, period, objectives)
    return Facts(root, period, objectives, answers, before)


def _before(root: Path, period: Period, earlier: Earlier) -> Before:
    flags = flags_of(root, earlier.window, period.timezone)
    with open_session(root, earlier.window, period.timezone) as session:
        return Before(earlier, ask(session, "window_calls", flags), ask(session, "earlier_services", flags))


def _against(session: Session, flags: tuple[str, ...], before: Sequence[Before]) -> dict[str, Answer]:
    calls = [{"period": each.earlier.name, "calls": each.calls.rows[0]} for each in before]
    services = [{"period": each.earlier.name, "services": each.services.rows} for each in before if each.has_data]
    return {
        "against_earlier": ask(session, "against_earlier", flags, earlier=json.dumps(calls)),
        "services_against_earlier": ask(
            session, "services_against_earlier", flags, earlier=json.dumps(services), limit=CHANGES
        ),
    }


def _calls(session: Session, flags: tuple[str, ...], answers: dict[str, Answer]) -> Answer:
    shown = [row["trace_id"] for name in ("failed_requests", "slowest_requests") for row in answers[name].rows]
    return ask(session, "request_calls", flags, trace_ids=shown, limit=CALLS_PER_REQUEST)


def _budgets(root: Path, period: Period, objectives: Objectives) -> Answer:
    window = Window(min(period.since, period.until - LONGEST_BURN), period.until)
    with open_session(root, window, period.timezone) as session:
        return ask(
            session,
            "error_budgets",
            flags_of(root, window, period.timezone),
            slo=objectives.default,
            objectives=json.dumps(objectives.services),
            since=period.since.isoformat(),
            limit=BUDGETS,
        )


# ---------- sentences that every form of the report has


@dataclass(frozen=True)
class Sentence:
    """A sentence with a service in its middle, or none."""

    begin: str
    service: str | None = None
    end: str = "."


def verdict(facts: Facts) -> Sentence:
    """Say in one sentence how many requests failed, and through whom."""
    totals = facts.row("day_totals")
    if not totals["requests"]:
        return Sentence("No request was seen whole enough to be judged")
    if not totals["failed"]:
        return Sentence(f"None of {count(totals['requests'])} requests failed")
    failed = f"{count(totals['failed'])} of {count(totals['requests'])} requests failed ({rate(totals['error_rate'])})"
    worst = facts.row("day_verdict")
    if not (worst["is_most"] and worst["culprit_service"]):
        return Sentence(failed)
    through = "all through" if worst["culprits"] == 1 else f"{count(worst['failed'])} of them through"
    return Sentence(f"{failed}, {through} ", worst["culprit_service"])


_RESTS_ON = {
    "findings": "{known} of {total} failed calls were logged by each side that took part",
    "changes": "{known} of {total} lines tell whose side they are",
    "budgets": "{known} of {total} lines of callers name the service",
    "time": "{known} of {total} requests were logged whole",
    "clusters": "{known} of {total} lines tell whose side they are",
    "latency": "{known} of {total} calls were answered and logged by both sides",
    "graph": "{known} of {total} calls were logged by both sides",
    "failed": "{known} of {total} failed requests were logged whole",
    "slowest": "{known} of {total} answered requests were logged whole",
    "endpoints": "{known} of {total} calls tell which host they went to, or that they reached none",
    "retries": "of {known} of {total} calls the server's line was logged",
}


@dataclass(frozen=True)
class Coverage:
    """What a section rests on: the share that was logged well enough (None where there is nothing), and in words."""

    share: float | None
    sentence: str


def coverage(facts: Facts) -> dict[str, Coverage]:
    """Return what each section rests on, by the section's name."""
    return {row["section"]: _rests_on(row) for row in facts.answers["report_coverage"].rows}


def _rests_on(row: dict[str, Any]) -> Coverage:
    sentence = _RESTS_ON[row["section"]].format(known=count(row["known"]), total=count(row["total"]))
    untold = f"; {things(row['untold'], 'call')} failed though the caller's line tells success" if row["untold"] else ""
    return Coverage(row["share"], sentence + untold)
