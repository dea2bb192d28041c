"""The mesh that knows the truth: record it afresh, ingest the logs, and hold the models against the notes.

Run it as `python -m tests.mesh.verify [--requests N] [--scenario NAME ...]`; it prints one table and exits 1 where a
target is missed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import yaml

from pipeline.ingest.load import load
from pipeline.mesh.snapshot import read_snapshot
from pipeline.query.session import Session, open_session
from tests.mesh import istio, istioctl
from tests.mesh.citations import blamed, cited, judge_citations, judge_citations_in_proxies
from tests.mesh.laws import offenders
from tests.mesh.recording import Recording, Setting, record
from tests.mesh.scenarios import SCENARIOS
from tests.mesh.scenarios.losses import KILLED, UNLOGGED
from tests.mesh.scene import Scenario
from tests.mesh.score import Judge, Score
from tests.mesh.times import Miss, judge_times
from tests.mesh.verdicts import Verdict, judge_links, judge_verdicts, truths

IN_TOWN = Setting("town")
APART = Setting(
    "apart",
    clocks_ms={"frontend": 1_700, "payments": -3_300, "cart-2": 6_100, "ledger": 450},
    unlogged=frozenset(UNLOGGED),
)

SLOW_POD = "cart-v1-5d8f7c9b4-b7wsn"

_SKEWS = "select client_address, server_address, skew_ms, within_ms from clock_skews"

_FINDINGS = "select cause, candidates, culprit_service from diagnoses"

_SLOWEST = "select pod from endpoints where service = 'cart.shop' order by p95_ms desc limit 1"

_WORTH_SAYING_MS = 5
_ENOUGH = 10

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


@dataclass
class Outcome:
    """What came of both recordings: counts by recording and scenario, and what the models say of the pods."""

    scores: dict[tuple[str, str], Score] = field(default_factory=dict)
    clocks: dict[str, dict[str, int]] = field(default_factory=dict)
    """By recording, how far clocks are ahead in ms by workload, but for those that are right within a few."""
    late_ms: list[float] = field(default_factory=list)
    """How late the machine woke a process up that asked for it."""
    misses: list[Miss] = field(default_factory=list)
    """Each served attempt's application time against the application's own clock."""
    skews_off_ms: list[float] = field(default_factory=list)
    """By how much what is said of two pods' clocks is off beyond what it says itself that it may be."""
    truths: set[Verdict] = field(default_factory=set)
    """All that is true of some request."""
    findings: int = 0
    untrue: list[str] = field(default_factory=list)
    """Findings that are true of no request."""
    citations: int = 0
    miscited: list[str] = field(default_factory=list)
    """What the configuration is said to have and has not, or should have been cited and was not."""
    offenders: Counter[str] = field(default_factory=Counter)
    """Rows that break a law, by law."""
    slowest: str | None = None
    """The pod of cart that endpoints shows as slower than its siblings."""

    @property
    def measured(self) -> list[Miss]:
        """What was measured while the machine had time."""
        return [miss for miss in self.misses if miss.is_measured]

    def targets(self) -> list[Target]:
        """Hold the counts against what shall be reached."""
        whole, pairing = Score(), Score()
        for (_, name), score in self.scores.items():
            whole.add(score)
            if name != KILLED:
                pairing.add(score)
        worst = [min(one.cause_right, one.culprit_right) / one.blamed for one in self.scores.values() if one.blamed]
        return [
            Target("pairing precision", _rate(pairing.found, pairing.found + pairing.wrong), 0.999),
            Target("pairing recall", _rate(pairing.found, pairing.pairs), 0.999),
            Target("trees exactly right", _rate(whole.trees_right, whole.trees), 0.995),
            Target("breaks shown", _rate(whole.breaks_shown, whole.breaks), 1.0),
            Target("links by time, off from their confidence", _off(whole), 0.1, is_most=True),
            Target("application time off at the median, ms", _worst_median(self.measured, ""), 2.0, is_most=True),
            Target("the same, worst service, ms", _worst_median(self.measured, "service"), 2.0, is_most=True),
            Target("the same, worst scenario, ms", _worst_median(self.measured, "scenario"), 2.0, is_most=True),
            Target("clocks off at most, ms", self._clocks_off(), 2.0, is_most=True),
            Target("pairs' clocks off beyond what is said, ms", max(self.skews_off_ms, default=0), 0.0, is_most=True),
            Target("rows that break a law", self.offenders.total(), 0, is_most=True),
            Target("slow pod found", float(self.slowest in (None, SLOW_POD)), 1.0),
            Target("cause right", _rate(whole.cause_right, whole.blamed), 0.97),
            Target("culprit right", _rate(whole.culprit_right, whole.blamed), 0.97),
            Target("worst scenario's verdicts", min(worst, default=1.0), 0.8),
            Target("findings that are true", _rate(self.findings - len(self.untrue), self.findings), 1.0),
            Target("citations missing or wrong", len(self.miscited), 0, is_most=True),
            Target("false alarms", _rate(whole.false_alarms, whole.healthy, 0.0), 0.002, is_most=True),
        ]

    def _clocks_off(self) -> float:
        true = {setting.name: setting.clocks_ms for setting in (IN_TOWN, APART)}
        return max(
            (
                abs(said.get(workload, 0) - true[where].get(workload, 0))
                for where, said in self.clocks.items()
                for workload in {*said, *true[where]}
            ),
            default=0,
        )


def main() -> None:
    """Record, compare, print, and exit 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=12, help="how many requests a scenario sends")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, metavar="NAME", help="only this (repeatable)")
    parser.add_argument("--mistakes", action="store_true", help="print what was wrong, too")
    parser.add_argument("--keep", type=Path, help="folder for the logs, which otherwise are thrown away")
    arguments = parser.parse_args()
    outcome = verify(arguments.requests, [SCENARIOS[name] for name in arguments.scenario or SCENARIOS], arguments.keep)
    print_lines(table(outcome))
    print_lines(goal_lines(outcome.targets()))
    guessed = sum(score.guessed for score in outcome.scores.values())
    right = sum(score.guessed_right for score in outcome.scores.values())
    print_lines(
        [f"trees that are said to be a guess, one id being in use several times at once: {guessed}, right {right}"]
    )
    links = sum(score.links for score in outcome.scores.values())
    right = sum(score.links_right for score in outcome.scores.values())
    promised = sum(score.links_promised for score in outcome.scores.values())
    print_lines(
        [f"traces that nothing but the time ties to a request: {links}, right {right}, promised {promised:.1f}"]
    )
    raw = median([0.0, *(miss.off_ms for miss in outcome.misses)])
    busy = len(outcome.misses) - len(outcome.measured)
    print_lines([f"times not measured, the machine being busy: {busy} of {len(outcome.misses)}"])
    print_lines([f"without what is granted, application time is off by {raw:.1f} ms at the median"])
    print_lines([f"the machine woke a process up {median(outcome.late_ms):.1f} ms late at the median"])
    if arguments.mistakes:
        print_lines(mistake_lines(outcome))
    sys.exit(0 if all(goal.is_reached for goal in outcome.targets()) else 1)


def verify(requests: int, scenarios: Sequence[Scenario], keep: Path | None = None) -> Outcome:
    """Make both recordings and judge them."""
    outcome = Outcome()
    parts = (
        (IN_TOWN, [one for one in scenarios if one.in_town]),
        (APART, [one for one in scenarios if one.apart]),
    )
    for setting, played in parts:
        if played:
            with tempfile.TemporaryDirectory(prefix="meshlog-") as folder:
                _judge(outcome, setting, played, requests, keep or Path(folder) / "logs", Path(folder) / "lake")
    return outcome


def _judge(
    outcome: Outcome, setting: Setting, played: Sequence[Scenario], requests: int, logs: Path, lake: Path
) -> None:
    began = time.monotonic()
    recording = record(setting, played, requests, logs / setting.name)
    print_lines([f"{setting.name}: {len(recording.notebook.visits)} requests in {time.monotonic() - began:.0f} s"])
    load([str(logs / setting.name)], lake)
    with open_session(lake) as session:
        judge = Judge(recording, session)
        judge.judge()
        judge_verdicts(judge)
        judge_links(judge)
        outcome.misses += judge_times(judge)
        for name, score in judge.scores.items():
            outcome.scores[setting.name, name] = score
        outcome.offenders.update(offenders(session))
        outcome.truths |= truths(judge)
        _judge_findings(outcome, truths(judge), session)
        outcome.skews_off_ms += _skews_off(recording, session)
        outcome.late_ms += [late for ones in recording.notebook.late_ms.values() for late in ones]
        outcome.clocks[setting.name] = _clocks(recording, session)
        if "slow_endpoint" in {one.name for one in played} and setting is IN_TOWN:
            outcome.slowest = session.rows(_SLOWEST)[0]["pod"]
    if setting is IN_TOWN:
        _judge_citations_in_proxies(outcome, judge, lake)
    _judge_citations(outcome, judge, lake)


def _judge_citations_in_proxies(outcome: Outcome, judge: Judge, lake: Path) -> None:
    """Read what istioctl shows at two proxies into copies of the lake: its JSON alone, and its printed tables alone."""
    mesh = judge.recording.town.mesh
    for form, write in (("json", istioctl.write_json), ("txt", istioctl.printed)):
        copy = lake.parent / form
        shutil.copytree(lake, copy)
        for pod in (mesh.pods["frontend"], mesh.gateway):
            shown = lake.parent / f"{pod.workload}.{form}"
            shown.write_text(write(mesh, pod))
            read_snapshot([str(shown)], copy, proxy=f"{pod.name}.{pod.namespace}")
        with open_session(copy) as session:
            citations = cited(session)
        outcome.citations += len(citations)
        outcome.miscited += judge_citations_in_proxies(
            blamed(judge), istio.objects(mesh), citations, is_printed=form == "txt"
        )


def _judge_citations(outcome: Outcome, judge: Judge, lake: Path) -> None:
    """Read the town's own configuration, which nothing before had, and hold what is cited against it."""
    objects = istio.objects(judge.recording.town.mesh)
    described = lake.parent / "objects.yaml"
    described.write_text(yaml.safe_dump_all(objects))
    read_snapshot([str(described)], lake)
    with open_session(lake) as session:
        citations = cited(session)
    outcome.citations += len(citations)
    outcome.miscited += judge_citations(judge, objects, citations)


def _judge_findings(outcome: Outcome, true: set[Verdict], session: Session) -> None:
    """Hold each finding against all that is true: nobody shall be sent to a service that did nothing wrong."""
    for row in session.rows(_FINDINGS):
        outcome.findings += 1
        said = {(cause, row["culprit_service"]) for cause in row["candidates"] or [row["cause"]]}
        if not said & true:
            outcome.untrue.append(f"{row['cause']} at {row['culprit_service']}")


def _skews_off(recording: Recording, session: Session) -> list[float]:
    """Compare what is said of each pair of pods with how their logs were shifted."""
    ahead = {
        proxy.pod.ip: recording.setting.clocks_ms.get(workload, 0) for workload, proxy in recording.town.proxies.items()
    }
    return [
        max(0.0, abs(row["skew_ms"] - (ahead[row["server_address"]] - ahead[row["client_address"]])) - row["within_ms"])
        for row in session.rows(_SKEWS)
    ]


def _clocks(recording: Recording, session: Session) -> dict[str, int]:
    """Say by workload whose clock the models find ahead or behind."""
    workloads = {proxy.pod.ip: workload for workload, proxy in recording.town.proxies.items()}
    rows = session.rows(f"select address, ahead_ms from pod_clocks where abs(ahead_ms) >= {_WORTH_SAYING_MS}")
    return {workloads[row["address"]]: row["ahead_ms"] for row in rows}


def table(outcome: Outcome) -> Iterator[str]:
    """Draw one line a scenario, and one for all."""
    width = max(len(f"{where} {name}") for where, name in outcome.scores)
    yield f"{'':{width}}" + "".join(f"{heading:>9}" for heading in _HEADINGS)
    whole = Score()
    for (where, name), score in outcome.scores.items():
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


def mistake_lines(outcome: Outcome) -> Iterator[str]:
    """List what was wrong, the same mistakes counted together."""
    yield from (f"{times} x broken: {law}" for law, times in outcome.offenders.items() if times)
    yield from (f"a finding that is true of no request: {finding}" for finding in outcome.untrue)
    yield from outcome.miscited
    for (where, name), score in outcome.scores.items():
        for mistake, times in Counter(score.mistakes).most_common(6):
            yield f"{where} {name}: {times} x {mistake}"


def print_lines(lines: Iterable[str]) -> None:
    """Print line by line."""
    for line in lines:
        print(line, flush=True)  # noqa: T201 - a command


def _off(score: Score) -> float:
    return abs(score.links_right - score.links_promised) / max(1, score.links)


def _worst_median(misses: Iterable[Miss], by: str) -> float:
    """Give the largest of the medians of what counts ten attempts or more; without any, nothing is reached."""
    groups: dict[str, list[float]] = defaultdict(list)
    for miss in misses:
        groups[getattr(miss, by, "")].append(miss.late_off_ms)
    return max((median(group) for group in groups.values() if len(group) >= _ENOUGH), default=float("inf"))


def _rate(part: int, whole: int, of_none: float = 1.0) -> float:
    return part / whole if whole else of_none


if __name__ == "__main__":
    main()
