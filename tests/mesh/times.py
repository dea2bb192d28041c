"""How far the models' application times are from the applications' own clocks.

Some of what a proxy waits for its application no application's clock can see. One event loop serves all applications:
where it was busy, a request or an answer had waited for it, for as long as `late_ms` says at most, which is granted. A
busy machine lets the proxies wait, too: a scenario during which it woke up late whoever asked for it measures nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean

from tests.mesh.score import Judge
from tests.mesh.truth import Call, Served

_ON_TIME_MS = 1.5
"""Within this, on average, a timer of the event loop strikes on a machine that has time for it."""


@dataclass(frozen=True)
class Miss:
    """One served attempt: by how many ms its hop's time is off, and off beyond what its own clock cannot have seen."""

    scenario: str
    service: str
    off_ms: float
    late_off_ms: float
    is_measured: bool
    """The machine had time meanwhile."""


def judge_times(judge: Judge) -> list[Miss]:
    """Compare each served attempt's time of its own with its hop's, where the calls below can be known."""
    misses = [miss for span in judge.served for miss in _misses(judge, span)]
    for miss in misses:
        judge.scores[miss.scenario].off_ms.append(miss.off_ms)
    return misses


def _is_measured(judge: Judge, scenario: str) -> bool:
    late = judge.notebook.late_ms
    return mean(late.get(scenario) or [one for ones in late.values() for one in ones] or [0.0]) <= _ON_TIME_MS


def _misses(judge: Judge, span: str) -> Iterator[Miss]:
    notes, children = judge.served[span], judge.below[span]
    hops = [hop for hop in judge.hops_of.get(span, []) if hop["server_source"]]
    # a call cut off ends in its sidecar's line when that gave up, and for the application when its connection closes
    if len(hops) != len(notes) or not all(child.id_passed and child.status for child in children):
        return
    hops.sort(key=lambda hop: hop["server_started_at"])
    for hop, note in zip(hops, notes, strict=True):
        if hop["app_ms"] is not None and note.completed and note.app_ms is not None:
            own = note.app_ms - _covered(note, children)
            granted = note.late_ms + sum(child.late_ms for child in children)
            early, late = own - hop["app_ms"], hop["app_ms"] - own
            service, scenario = hop["service"] or "unknown", judge.scenario(span)
            measured = _is_measured(judge, scenario)
            yield Miss(scenario, service, abs(late), max(0.0, early, late - granted), measured)


def _covered(note: Served, children: list[Call]) -> float:
    """Give the milliseconds of an attempt during which a call below was open, side by side ones counted once."""
    ends = note.began + (note.app_ms or 0) / 1000
    spans = sorted(
        (max(child.sent or child.began, note.began), min(child.began + (child.client_ms or 0) / 1000, ends))
        for child in children
        if note.began <= child.began <= ends
    )
    covered, until = 0.0, note.began
    for began, ended in spans:
        covered += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return covered * 1000
