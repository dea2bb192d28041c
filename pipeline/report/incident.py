"""The bundle of an incident: what happened from onset to recovery, held against a baseline, as a page and as files.

Two sessions answer. One spans window and baseline, for whatever compares; the other is the window alone, so that its
findings are those of `meshlog diagnose` with the same times. Every number comes from a question; change-points and
p-values come from libraries.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import NoDataError, UsageError
from pipeline.query.session import Session, Window, open_session
from pipeline.report import changepoints, significance
from pipeline.report.evidence import Evidence
from pipeline.report.questions import Answer, ask, flags_of

Row = dict[str, Any]

EDGES = 24
"""How many edges with trouble get a series of their own."""

BRIDGE = 2
"""How many good steps do not end a run of bad ones."""

SHOWN = {
    "gaps": 40,
    "reach": 15,
    "retries": 15,
    "findings": 25,
    "differing_endpoints": 15,
    "exemplars": 5,
}
"""How many rows of a question a bundle shows; it says how many more there are."""

CHANGES = 20
"""How many significant changes each list shows."""

CALLS_PER_REQUEST = 24
"""How many calls of one request a waterfall shows."""

TABLES = ("incident_calls", "incident_series", "incident_phases")
"""The rows behind a bundle, which are written beside it."""


@dataclass(frozen=True)
class Asked:
    """What a user wants to know about: the window, what to compare it with, and one service or all."""

    window: Window
    baseline: Window | None = None
    service: str | None = None


@dataclass(frozen=True)
class Facts:
    """All that a bundle says: the times compared, and the answers by name."""

    root: Path
    timezone: str
    asked: Asked
    periods: Row
    answers: dict[str, Answer]
    changes: list[Row]
    outcomes: list[Row]

    @property
    def is_long(self) -> bool:
        """Say whether a time of the day alone would be ambiguous."""
        return bool(self.periods["is_long"])

    @property
    def command(self) -> str:
        """What a shell runs to write this bundle again."""
        flags = ["--since", _iso(self.periods["since"]), "--until", _iso(self.periods["until"])]
        if self.periods["baseline_since"]:
            baseline = f"{_iso(self.periods['baseline_since'])}..{_iso(self.periods['baseline_until'])}"
            flags += ["--baseline", baseline]
        if self.asked.service:
            flags += ["--service", self.asked.service]
        zone = ["--tz", self.timezone] if self.timezone != "UTC" else []
        return shlex.join(["meshlog", "incident", *flags, "--lake", str(self.root), *zone])

    def rows(self, name: str) -> list[Row]:
        """Return the rows of an answer."""
        return self.answers[name].rows

    def significant(self, scope: str) -> list[Row]:
        """Return what changed for the worse in a scope and not by chance, the largest effect first."""
        return [row for row in self.changes if row["scope"] == scope and row["is_significant"] and row["effect"] > 0]


def gather(asked: Asked, root: Path, timezone: str, tables: Path) -> Facts:
    """Answer every question of an incident, and write the rows behind the answers to the folder `tables`.

    Raises `NoDataError` where the window holds no call, or none of the service; `LakeError` where there is no lake;
    `UsageError` for a baseline that overlaps the window.
    """
    root = root.resolve()
    periods = _periods(asked, root, timezone)
    times = [periods[name] for name in ("since", "until", "baseline_since", "baseline_until") if periods[name]]
    spanned = Window(min(times), max(times))
    with open_session(root, spanned, timezone) as session:
        evidence = Evidence(session, flags_of(root, spanned, timezone))
        answers = _compare(evidence, periods, asked)
        for name in TABLES:
            session.copy(f"from {name}", tables / f"{name}.parquet", "format parquet, compression zstd")
    window = Window(periods["since"], periods["until"])
    with open_session(root, window, timezone) as session:
        answers |= _findings(session, flags_of(root, window, timezone))
    changes = significance.tested(answers["changes"].rows)
    outcomes = significance.tested(answers["outcomes"].rows)
    return Facts(root, timezone, asked, periods, answers, changes, outcomes)


def _periods(asked: Asked, root: Path, timezone: str) -> Row:
    """Settle which times are compared: a baseline lies before the window or, as one of after the repair, behind it."""
    before = asked.baseline or Window()
    times = {
        "since": _iso(asked.window.since),
        "until": _iso(asked.window.until),
        "baseline_since": _iso(before.since),
        "baseline_until": _iso(before.until),
    }
    with open_session(root, timezone=timezone) as session:
        periods = Evidence(session).ask("periods", **times).rows[0]
    if periods["first_at"] is None:
        raise NoDataError(f"{root}: holds no access-log line yet. Read some with: meshlog ingest PATH --lake {root}")
    if periods["since"] >= periods["until"]:
        raise NoDataError(f"{root}: holds no line in this window. {_held(periods)}")
    if asked.baseline and periods["is_overlapped"]:
        raise UsageError("--baseline: it has to lie before the window or after it, not in it")
    return periods


def _compare(evidence: Evidence, periods: Row, asked: Asked) -> dict[str, Answer]:
    """Answer what holds the window against the baseline."""
    window = {"since": _iso(periods["since"]), "until": _iso(periods["until"])}
    baseline = {name: _iso(periods[name]) for name in ("baseline_since", "baseline_until")}
    evidence.keep("calls", service=asked.service, **window, **baseline)
    if not evidence.session.rows("select 1 from incident_calls where period = 'incident' limit 1"):
        of_service = f" in which {asked.service} took part" if asked.service else ""
        raise NoDataError(f"{window['since']} to {window['until']}: no call{of_service}. {_held(periods)}")
    find_phases(evidence, EDGES, window, baseline)
    evidence.keep("trouble", **window)
    exemplars = evidence.ask("exemplars", limit=SHOWN["exemplars"], **window)
    return {
        "gaps": evidence.ask("gaps", limit=SHOWN["gaps"], **window, **baseline),
        "trouble": evidence.kept_answer("trouble"),
        "timeline": evidence.ask("timeline", **window, **baseline),
        "spread": evidence.ask("spread"),
        "totals": evidence.ask("totals"),
        "reach": evidence.ask("reach", limit=SHOWN["reach"]),
        "changes": evidence.ask("changes"),
        "outcomes": evidence.ask("outcomes"),
        "retries": evidence.ask("retries", limit=SHOWN["retries"]),
        "exemplars": exemplars,
        "request_calls": evidence.ask(
            "request_calls", trace_ids=[row["trace_id"] for row in exemplars.rows], limit=CALLS_PER_REQUEST
        ),
    }


def find_phases(evidence: Evidence, edges: int, window: Mapping[str, Any], baseline: Mapping[str, Any]) -> None:
    """Keep the series of the requests and of so many edges, and the runs of trouble in them.

    `window` has `since` and `until`, `baseline` `baseline_since` and `baseline_until`, both None where there is none.
    """
    evidence.keep("series", edges=edges, since=window["since"], baseline_until=baseline["baseline_until"])
    series = evidence.session.rows(
        "select edge, list(k order by position) as k, list(n order by position) as n from incident_series group by edge"
    )
    found = json.dumps(changepoints.changes(series))
    evidence.keep("runs", changes=found, bridge=BRIDGE, **baseline)
    evidence.keep("phases", **window)


def _findings(session: Session, flags: tuple[str, ...]) -> dict[str, Answer]:
    """Answer what concerns the window alone."""
    return {
        "findings": ask(session, "findings", flags, limit=SHOWN["findings"]),
        "differing_endpoints": ask(session, "differing_endpoints", flags, limit=SHOWN["differing_endpoints"]),
        "coverage_totals": ask(session, "coverage_totals", flags),
    }


def _held(periods: Row) -> str:
    return f"The lake holds lines from {_iso(periods['first_at'])} to {_iso(periods['last_at'])}"


def _iso(moment: datetime | None) -> Any:
    """Write a moment in UTC as RFC 3339, None as it is."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
