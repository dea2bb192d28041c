"""Incidents recorded afresh, and what `meshlog incident` says of them held against what their driver noted.

Run it as `python -m tests.mesh.postmortem [--course NAME ...] [--times N]`; it prints a line a fault and exits 1 where
one is missed, misjudged or invented. `judge` does the same for logs that are there already.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.ingest.load import load
from pipeline.query.session import Window, open_session
from pipeline.report.incident import Asked, Facts, gather
from pipeline.report.incident_windows import propose
from tests.mesh.outage import COURSES, record

CLOSE_SECONDS = 5.0
"""How far onset and recovery may be from the truth."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """What the bundle of a proposed window says: the trouble, its spread, findings, and what changed."""

    trouble: Row
    spread: list[Row]
    culprits: list[str | None]
    changed: list[Row]
    has_baseline: bool

    @property
    def ended_at(self) -> datetime | None:
        ended: datetime | None = self.trouble["recovered_at"]
        return ended

    def holds(self, fault: Row) -> bool:
        """Say whether the fault happened during this trouble."""
        began, ended = _times(fault)
        onset, until = self.trouble["trouble_since"], self.trouble["trouble_until"]
        return bool(began <= until and (ended is None or ended >= onset))


@dataclass
class Verdict:
    """One fault, and what was right about it: seconds off, and whether edge, culprit and dimension were named."""

    fault: str
    onset_off: float | None = None
    recovery_off: float | None = None
    """None where the fault outlasts the logs, and the bundle says so."""
    edge: bool = False
    culprit: bool = False
    dimension: bool | None = None
    """None where there is nothing to compare with."""

    @property
    def is_right(self) -> bool:
        return (
            self.onset_off is not None
            and abs(self.onset_off) <= CLOSE_SECONDS
            and abs(self.recovery_off or 0) <= CLOSE_SECONDS
            and self.edge
            and self.culprit
            and self.dimension is not False
        )


@dataclass
class Outcome:
    """What came of one recording."""

    verdicts: list[Verdict] = field(default_factory=list)
    invented: int = 0
    """Windows in which nothing was wrong."""

    @property
    def is_right(self) -> bool:
        return not self.invented and all(verdict.is_right for verdict in self.verdicts)


def judge(logs: Path, lake: Path) -> Outcome:
    """Ingest recorded logs, write the bundles that `--find` proposes, and hold them against `truth.json`."""
    load([str(log) for log in logs.glob("*.xz")], lake)
    truth: list[Row] = json.loads((logs / "truth.json").read_text())
    said = [_said(lake, window) for window in _windows(lake)]
    outcome = Outcome(invented=sum(not any(one.holds(fault) for fault in truth) for one in said))
    for fault in truth:
        own = next((one for one in said if one.holds(fault)), None)
        mates = [other for other in truth if own and own.holds(other)]
        outcome.verdicts.append(_verdict(fault, own, mates) if own else Verdict(fault["name"]))
    return outcome


def _windows(lake: Path) -> list[Row]:
    with open_session(lake) as session:
        return session.rows(propose(session, lake))


def _said(lake: Path, window: Row) -> Said:
    baseline = Window(window["baseline_since"], window["baseline_until"])
    has_baseline = window["baseline_since"] < window["baseline_until"]
    asked = Asked(Window(window["since"], window["until"]), baseline if has_baseline else None)
    with tempfile.TemporaryDirectory(prefix="meshlog-") as tables:
        facts: Facts = gather(asked, lake, "UTC", Path(tables))
    culprits = [row["culprit_service"] for row in facts.rows("findings")]
    return Said(facts.rows("trouble")[0], facts.rows("spread"), culprits, facts.significant("origin"), has_baseline)


def _verdict(fault: Row, said: Said, mates: Sequence[Row]) -> Verdict:
    """Judge what is said of a fault; `mates` are all that the same trouble holds, since those run into each other."""
    began = min(_times(mate)[0] for mate in mates)
    ends = [_times(mate)[1] for mate in mates]
    is_first = _times(fault)[0] == began
    edges = [(row["client_service"], row["service"]) for row in said.spread if row["is_origin"] or row["is_first"]]
    named = edges[:1] if is_first else edges
    # a slow-down that fails nothing is no finding: what changed names its service
    culprits = said.culprits[: len(mates)] + [row["service"] for row in said.changed[: 1 if not said.culprits else 0]]
    changed = [(row["dimension"], row["value"], row["service"]) for row in said.changed]
    own = (fault["dimension"], fault["value"], fault["culprit"])
    verdict = Verdict(fault["name"], onset_off=(said.trouble["onset_at"] - began).total_seconds())
    if None in ends or said.ended_at is None:
        verdict.recovery_off = None if None in ends and said.ended_at is None else float("inf")
    else:
        verdict.recovery_off = (said.ended_at - max(filter(None, ends))).total_seconds()
    verdict.edge = tuple(fault["first_edge"]) in named
    verdict.culprit = fault["culprit"] in culprits or (not said.has_baseline and verdict.edge)
    if said.has_baseline:
        verdict.dimension = own in (changed if len(mates) > 1 else changed[:1])
    return verdict


def _times(fault: Row) -> tuple[datetime, datetime | None]:
    ended = fault["ended_at"]
    return datetime.fromisoformat(fault["began_at"]), datetime.fromisoformat(ended) if ended else None


def lines(course: str, outcome: Outcome) -> Iterator[str]:
    """Say of each fault what was right, and what was invented."""
    for verdict in outcome.verdicts:
        off = ", ".join(
            f"{name} {'not seen' if value is None else f'{value:+.1f} s'}"
            for name, value in (("onset", verdict.onset_off), ("recovery", verdict.recovery_off))
        )
        named = ", ".join(
            f"{name} {'without a baseline' if right is None else 'right' if right else 'WRONG'}"
            for name, right in (("edge", verdict.edge), ("culprit", verdict.culprit), ("dimension", verdict.dimension))
        )
        yield f"{'right ' if verdict.is_right else 'MISSED'} {course}: {verdict.fault}: {off}; {named}"
    if outcome.invented:
        yield f"MISSED {course}: {outcome.invented} invented"
    elif not outcome.verdicts:
        yield f"right  {course}: nothing invented"


def main() -> None:
    """Record, judge, print, and exit 1 where something is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--course", action="append", choices=COURSES, metavar="NAME", help="only this (repeatable)")
    parser.add_argument("--times", type=int, default=1, help="how often each is recorded")
    parser.add_argument("--logs", type=Path, help="judge these logs instead of recording")
    arguments = parser.parse_args()
    outcomes = [_judged(arguments.logs)] if arguments.logs else list(_recorded(arguments.course, arguments.times))
    sys.exit(0 if all(outcome.is_right for outcome in outcomes) else 1)


def _recorded(courses: Iterable[str] | None, times: int) -> Iterator[Outcome]:
    for name in [*(courses or COURSES)] * times:
        with tempfile.TemporaryDirectory(prefix="meshlog-") as folder:
            record(COURSES[name], Path(folder) / "logs")
            yield _judged(Path(folder) / "logs", name)


def _judged(logs: Path, name: str = "logs") -> Outcome:
    with tempfile.TemporaryDirectory(prefix="meshlog-") as folder:
        outcome = judge(logs, Path(folder) / "lake")
    for line in lines(name, outcome):
        print(line, flush=True)  # noqa: T201 - a command
    return outcome


if __name__ == "__main__":
    main()
