"""The models held against the applications' notes: pairs and trees, counted by scenario; times and verdicts beside.

A hop is known by the span of its lines, which the recorder kept apart from the logs; what the models say is read by
plain queries, and judged here, in `times` and in `verdicts`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.query.session import Session
from tests.mesh.recording import Recording
from tests.mesh.truth import GATEWAY, Call, Served

Line = tuple[str, int]
Row = dict[str, Any]

_HOPS = """
    select
        hops.hop_id, hops.call_id, hops.kind, hops.link, hops.client_source, hops.client_line_number,
        hops.server_source, hops.server_line_number, hops.parent_hop_id, hops.service, hops.app_ms, hops.cause,
        hops.candidates, hops.culprit_service, hops.server_started_at, trace_spans.trace_id,
    from hops
    left join trace_spans using (hop_id)
"""

_UNSURE = "select format('{:016x}', hop_number) as hop_id from nesting where is_unsure"


@dataclass
class Score:
    """One scenario's counts."""

    pairs: int = 0
    found: int = 0
    wrong: int = 0
    trees: int = 0
    trees_right: int = 0
    guessed: int = 0
    """Trees that the models themselves say are not certain, as one id was in use for several requests at once."""
    guessed_right: int = 0
    breaks: int = 0
    breaks_shown: int = 0
    links: int = 0
    """Traces that nothing but the time ties to the request they were made for."""
    links_right: int = 0
    links_promised: float = 0.0
    """How many of them are right by their own confidence."""
    off_ms: list[float] = field(default_factory=list)
    blamed: int = 0
    cause_right: int = 0
    culprit_right: int = 0
    healthy: int = 0
    false_alarms: int = 0
    mistakes: list[str] = field(default_factory=list)

    def add(self, other: Score) -> None:
        """Add another's counts."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class Judge:
    """What is known of one recording, and what the models of its lake say."""

    def __init__(self, recording: Recording, session: Session) -> None:
        notebook = recording.notebook
        self.recording, self.notebook = recording, notebook
        self.scores: dict[str, Score] = defaultdict(Score)
        self.calls = {call.span: call for call in [*notebook.calls, *notebook.tcp_calls, *notebook.mirrored]}
        self.visits = {visit.call.span: visit for visit in notebook.visits}
        self.calls |= {span: visit.call for span, visit in self.visits.items()}
        self.hops = session.rows(_HOPS)
        self.unsure = {row["hop_id"] for row in session.rows(_UNSURE)}
        self.traces = {row["trace_id"]: row for row in session.rows("from traces")}
        pods = {workload: proxy.pod for workload, proxy in recording.town.proxies.items()}
        names = {workload: f"{pod.service}.{pod.namespace}" for workload, pod in pods.items()}
        self.unlogged = {*names.values()} - {names[one] for one in names if one not in recording.setting.unlogged}

    def judge(self) -> dict[str, Score]:
        """Count pairs and trees, by scenario."""
        self._pairs()
        self._trees()
        return self.scores

    # what lines and hops are, by the notes

    def _span(self, source: str | None, number: int | None) -> str | None:
        return self.recording.spans.get((Path(source).name, number)) if source and number else None

    def span_of(self, hop: Row) -> str | None:
        """Tell of which call a hop is an attempt."""
        return self._span(hop["client_source"], hop["client_line_number"]) or self._span(
            hop["server_source"], hop["server_line_number"]
        )

    def scenario(self, span: str | None) -> str:
        """Tell in which scenario a call was made."""
        while span in self.calls and span not in self.visits:
            span = self.calls[span].parent
        return self.visits[span].scenario if span in self.visits else "unknown"

    @cached_property
    def _lines(self) -> dict[str, tuple[list[Line], list[Line]]]:
        """The lines of each span: the caller's, and the called side's."""
        sides: dict[str, tuple[list[Line], list[Line]]] = defaultdict(lambda: ([], []))
        for line, span in self.recording.spans.items():
            caller = self.calls[span].caller
            is_client = self.recording.services[line[0]] == (GATEWAY if caller == "outside" else caller)
            sides[span][0 if is_client else 1].append(line)
        return sides

    @cached_property
    def hops_of(self) -> dict[str, list[Row]]:
        """The hops that the models made of each call's lines."""
        found: dict[str, list[Row]] = defaultdict(list)
        for hop in self.hops:
            span = self.span_of(hop)
            if span:
                found[span].append(hop)
        return found

    @cached_property
    def below(self) -> dict[str, list[Call]]:
        """The calls made for each call."""
        children: dict[str, list[Call]] = defaultdict(list)
        for call in self.notebook.calls:
            if call.parent:
                children[call.parent].append(call)
        return children

    def broken_below(self, call: Call) -> list[Call]:
        """The calls that were made for a call further down, by services that did not pass its id on."""
        found = []
        for child in self.below[call.span]:
            found += [*([] if child.id_passed else [child]), *self.broken_below(child)]
        return found

    @cached_property
    def served(self) -> dict[str, list[Served]]:
        """The attempts that applications served of each call."""
        served: dict[str, list[Served]] = defaultdict(list)
        for note in self.notebook.served:
            served[note.span].append(note)
        return served

    # pairs

    def _pairs(self) -> None:
        true = {
            (client, server): span
            for span, (clients, servers) in self._lines.items()
            for client in clients
            for server in servers
        }
        for span in true.values():
            self.scores[self.scenario(span)].pairs += 1
        for hop in self.hops:
            if hop["client_source"] and hop["server_source"]:
                self._judge_pair(hop, true)

    def _judge_pair(self, hop: Row, true: dict[tuple[Line, Line], str]) -> None:
        client = (Path(hop["client_source"]).name, hop["client_line_number"])
        server = (Path(hop["server_source"]).name, hop["server_line_number"])
        spans = self.recording.spans
        if client not in spans or server not in spans:
            return  # an attempt whose sockets nobody noted
        score = self.scores[self.scenario(spans[client])]
        if (client, server) in true:
            score.found += 1
        else:
            score.wrong += 1
            score.mistakes.append(f"wrong pair {client} {server} {hop['link']}")

    # trees

    def _trees(self) -> None:
        for visit in self.notebook.visits:
            self._judge_tree(visit.call, self.scores[visit.scenario])

    def _judge_tree(self, root: Call, score: Score) -> None:
        """Judge the tree that goes on under one id, and those that begin where the id was dropped."""
        expected: dict[str, str | None] = {root.span: None}
        broken: list[Call] = []
        queue = [root]
        while queue:
            call = queue.pop()
            for child in self.below[call.span]:
                (queue if child.id_passed else broken).append(child)
                if child.id_passed:
                    expected[child.span] = call.span
        logged = {span: parent for span, parent in expected.items() if span in self.hops_of}
        if root.span in logged:
            problem = self._tree_problem(logged)
            if self._is_guessed(logged):
                score.guessed += 1
                score.guessed_right += problem is None
            else:
                score.trees += 1
                score.trees_right += problem is None
            if problem:
                score.mistakes.append(f"tree of {root.caller} {root.path}: {problem}")
            if broken:
                score.breaks += 1
                score.breaks_shown += not self.trace(root.span)["is_complete"]
        for call in broken:
            self._judge_tree(call, score)

    def _is_guessed(self, expected: dict[str, str | None]) -> bool:
        """Tell whether an id in use elsewhere at the time makes a tree a guess, and the models say so."""
        hops = [hop for span in expected for hop in self.hops_of[span]]
        is_said = not any(self.traces[hop["trace_id"]]["is_complete"] for hop in hops)
        return is_said and any(hop["hop_id"] in self.unsure for hop in hops)

    def _tree_problem(self, expected: dict[str, str | None]) -> str | None:
        hops = [hop for span in expected for hop in self.hops_of[span]]
        traces = {hop["trace_id"] for hop in hops}
        if len(traces) > 1:
            return f"{len(traces)} traces"
        foreign = [hop for hop in self._hops_of_trace[next(iter(traces))] if self.span_of(hop) not in expected]
        if foreign:
            return f"{len(foreign)} hops of other requests"
        for span, parent in expected.items():
            for hop in self.hops_of[span]:
                above = self.by_id.get(hop["parent_hop_id"])
                if (self.span_of(above) if above else None) != parent:
                    return f"{self.calls[span].callee} under another call"
        return None

    @cached_property
    def by_id(self) -> dict[str, Row]:
        """The hops by their id."""
        return {hop["hop_id"]: hop for hop in self.hops}

    @cached_property
    def _hops_of_trace(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = defaultdict(list)
        for hop in self.hops:
            found[hop["trace_id"]].append(hop)
        return found

    def trace(self, span: str) -> Row:
        """Give the trace that a call is part of; it has to have left a line."""
        return self.traces[self.hops_of[span][0]["trace_id"]]
