"""Change points and chances: what the libraries are asked for is what an incident needs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from pipeline.report import changepoints, significance
from pipeline.report.changepoints import breakpoints


@pytest.mark.parametrize("bad", [0, 3, 10])
def test_a_steady_share_does_not_change(bad):
    """None, some or all calls bad at all times: no change."""
    assert breakpoints([bad] * 60, [10] * 60) == []


@given(st.integers(5, 30), st.integers(5, 30), st.integers(5, 30))
@settings(max_examples=25, deadline=None)
def test_a_step_is_found_to_the_step(calm, trouble, after):
    """Where half the calls are bad for a while, the while's first and last step are found."""
    bad = [0.0] * calm + [5.0] * trouble + [0.0] * after

    assert breakpoints(bad, [10.0] * len(bad)) == [calm, calm + trouble]


def test_a_single_bad_call_is_no_change():
    """One bad call of many is chance."""
    assert breakpoints([0.0] * 30 + [1.0] + [0.0] * 30, [10.0] * 61) == []


def test_a_change_of_one_edge_of_many_has_to_be_larger():
    """What would be a change of the requests, or of one edge, is chance where many edges are searched."""
    series = {"k": [0.0] * 30 + [1.0] * 8 + [0.0] * 30, "n": [10.0] * 68}
    alone = changepoints.changes([{"edge": 1, **series}])
    among = changepoints.changes([{"edge": edge, **series} for edge in range(40)])

    assert [row["position"] for row in alone] == [30, 38]
    assert {row["edge"] for row in among} == {0}


@pytest.mark.parametrize("calls", [[], [10.0], [0.0, 0.0, 0.0]])
def test_a_series_without_calls_has_no_change(calls):
    """Nothing, one step, and steps without calls."""
    assert breakpoints([0.0] * len(calls), calls) == []


def _row(bad: int, calls: int, baseline_bad: int, baseline_calls: int) -> dict:
    counts = {"bad": bad, "calls": calls, "baseline_bad": baseline_bad, "baseline_calls": baseline_calls}
    return {"measure": "errors", **counts, "times": None, "baseline_times": None}


def _timed(times: list[float] | None, before: list[float] | None) -> dict:
    return {"measure": "latency", "times": times, "baseline_times": before}


@pytest.mark.parametrize("counts", [(5, 20, 1, 30), (0, 10, 0, 10), (10, 10, 0, 12), (1, 10, 9, 10)])
def test_a_share_is_tested_by_fishers_exact_test(counts):
    """The chance is that of the library's own one-sided test."""
    bad, calls, baseline_bad, baseline_calls = counts
    table = [[bad, calls - bad], [baseline_bad, baseline_calls - baseline_bad]]

    assert significance.tested([_row(*counts)])[0]["p"] == pytest.approx(
        fisher_exact(table, alternative="greater").pvalue
    )


def test_times_are_tested_for_being_longer():
    """Longer ones are significant, shorter ones and too few are not; the samples are not kept."""
    short, long = [float(value) for value in range(10, 30)], [float(value) for value in range(300, 320)]
    slower, faster, few, none = significance.tested(
        [_timed(long, short), _timed(short, long), _timed([900.0], short), _timed(None, None)]
    )

    assert slower["is_significant"]
    assert not faster["is_significant"]
    assert (few["p"], none["p"]) == (1.0, 1.0)
    assert "times" not in slower


def test_many_comparisons_make_a_chance_less_telling():
    """What is significant alone is not among a thousand comparisons."""
    telling = _row(5, 20, 0, 30)
    alone, among = significance.tested([telling])[0], significance.tested([telling, *[_row(1, 20, 1, 20)] * 999])[0]

    assert alone["is_significant"]
    assert among["p"] == alone["p"]
    assert not among["is_significant"]
