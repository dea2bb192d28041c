"""The mesh that knows the truth: record it afresh, ingest the logs, and hold the models against the notes.

Run it as `python -m tests.mesh.verify [--requests N] [--scenario NAME ...]`; it prints one table and exits 1 where a
target is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pipeline.ingest.load import load
from pipeline.query.session import open_session
from tests.mesh.recording import Setting, record
from tests.mesh.scenarios import SCENARIOS
from tests.mesh.scenarios.losses import KILLED, UNLOGGED
from tests.mesh.scene import Scenario
from tests.mesh.score import Judge, Score

IN_TOWN = Setting("town")
APART = Setting(
    "apart",
    clocks_ms={"frontend": 1_700, "payments": -3_300, "cart-2": 6_100, "ledger": 450},
    unlogged=frozenset(UNLOGGED),
)

_HEADINGS = ("pairs", "found", "wrong", "trees", "right", "off ms", "blamed", "cause", "culprit", "healthy", "alarms")


@dataclass(frozen=True)
class Target:
    """One figure that shall be reached."""

    name: str
    value: float
    limit: float
    is_most: bool = False

    @property
    def is_reached(self) -> bool:
        return self.value <= self.limit if self.is_most else self.value >= self.limit


Scores = dict[tuple[str, str], Score]
"""By recording and scenario."""


def main() -> None:
    """Record, compare, print, and exit 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=12, help="how many requests a scenario sends")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, metavar="NAME", help="only this (repeatable)")
    parser.add_argument("--mistakes", action="store_true", help="print what was wrong, too")
    parser.add_argument("--keep", type=Path, help="folder for the logs, which otherwise are thrown away")
    arguments = parser.parse_args()
    scores = verify(arguments.requests, [SCENARIOS[name] for name in arguments.scenario or SCENARIOS], arguments.keep)
    goals = targets(scores)
    print_lines(table(scores))
    print_lines(goal_lines(goals))
    if arguments.mistakes:
        print_lines(mistake_lines(scores))
    sys.exit(0 if all(goal.is_reached for goal in goals) else 1)


def verify(requests: int, scenarios: Sequence[Scenario], keep: Path | None = None) -> Scores:
    """Make both recordings and judge them."""
    scores: Scores = {}
    parts = (
        (IN_TOWN, [one for one in scenarios if one.in_town]),
        (APART, [one for one in scenarios if one.apart]),
    )
    for setting, played in parts:
        if played:
            for name, score in _judged(setting, played, requests, keep).items():
                scores[setting.name, name] = score
    return scores


def _judged(setting: Setting, played: Sequence[Scenario], requests: int, keep: Path | None) -> dict[str, Score]:
    with tempfile.TemporaryDirectory(prefix="meshlog-") as folder:
        logs = (keep or Path(folder)) / setting.name
        began = time.monotonic()
        recording = record(setting, played, requests, logs)
        print_lines([f"{setting.name}: {len(recording.notebook.visits)} requests in {time.monotonic() - began:.0f} s"])
        load([str(logs)], Path(folder) / "lake")
        with open_session(Path(folder) / "lake") as session:
            return Judge(recording, session).judge()


def targets(scores: Scores) -> list[Target]:
    """Hold the counts against what shall be reached."""
    whole, per_scenario = Score(), []
    pairing, off = Score(), []
    for (_, name), score in scores.items():
        whole.add(score)
        if name != KILLED:
            pairing.add(score)
        if score.blamed:
            per_scenario.append(min(score.cause_right, score.culprit_right) / score.blamed)
        off += score.off_ms
    return [
        Target("pairing precision", _rate(pairing.found, pairing.found + pairing.wrong), 0.999),
        Target("pairing recall", _rate(pairing.found, pairing.pairs), 0.999),
        Target("trees exactly right", _rate(whole.trees_right, whole.trees), 0.995),
        Target("breaks shown", _rate(whole.breaks_shown, whole.breaks), 1.0),
        Target("application time off at the median, ms", median(off) if off else 0.0, 2.0, is_most=True),
        Target("cause right", _rate(whole.cause_right, whole.blamed), 0.97),
        Target("culprit right", _rate(whole.culprit_right, whole.blamed), 0.97),
        Target("worst scenario's verdicts", min(per_scenario, default=1.0), 0.8),
        Target("false alarms", _rate(whole.false_alarms, whole.healthy, 0.0), 0.002, is_most=True),
    ]


def table(scores: Scores) -> Iterator[str]:
    """Draw one line a scenario, and one for all."""
    width = max(len(f"{where} {name}") for where, name in scores)
    yield f"{'':{width}}" + "".join(f"{heading:>9}" for heading in _HEADINGS)
    whole = Score()
    for (where, name), score in scores.items():
        whole.add(score)
        yield f"{where + ' ' + name:{width}}" + _cells(score)
    yield f"{'all':{width}}" + _cells(whole)


def _cells(score: Score) -> str:
    off = f"{median(score.off_ms):.1f}" if score.off_ms else "-"
    counts = (score.pairs, score.found, score.wrong, score.trees, score.trees_right, off, score.blamed)
    verdicts = (score.cause_right, score.culprit_right, score.healthy, score.false_alarms)
    return "".join(f"{value:>9}" for value in (*counts, *verdicts))


def goal_lines(goals: Iterable[Target]) -> Iterator[str]:
    """Say of each target what was reached."""
    for goal in goals:
        sign = "at most" if goal.is_most else "at least"
        yield f"{'reached' if goal.is_reached else 'MISSED ':8} {goal.name}: {goal.value:.4f} ({sign} {goal.limit})"


def mistake_lines(scores: Scores) -> Iterator[str]:
    """List what was wrong, the same mistakes counted together."""
    for (where, name), score in scores.items():
        for mistake, times in Counter(score.mistakes).most_common(6):
            yield f"{where} {name}: {times} x {mistake}"


def print_lines(lines: Iterable[str]) -> None:
    """Print line by line."""
    for line in lines:
        print(line, flush=True)  # noqa: T201 - a command


def _rate(part: int, whole: int, of_none: float = 1.0) -> float:
    return part / whole if whole else of_none


if __name__ == "__main__":
    main()
