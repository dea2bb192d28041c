"""How sure a difference between incident and baseline is: tests and false-discovery control by the library SciPy.

What is counted, compared and ranked comes from SQL. Here every row gets two figures, `p` and `q`, and nothing else; the
only module that knows SciPy.
"""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

SURE = 0.01
"""The share of the rows called significant that may be there by chance: a row is, where its q is at most this."""

_FEWEST_TIMES = 5


def tested(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with `p`, `q` and `is_significant`, without their samples of times.

    A row of the measure 'latency' is tested by its samples `times` and `baseline_times` (Mann-Whitney, slower than
    before), any other by its counts `bad` of `calls` and their `baseline_` (Fisher's exact test, more than before). The
    q values control the false-discovery rate over all the rows together (Benjamini-Yekutieli: dimensions overlap).
    """
    if not rows:
        return []
    from scipy.stats import false_discovery_control

    counted = iter(_fisher([row for row in rows if row["measure"] != "latency"]))
    chances = [
        _slower(row["times"], row["baseline_times"]) if row["measure"] == "latency" else next(counted) for row in rows
    ]
    corrected = false_discovery_control(chances, method="by").tolist()
    return [
        {name: value for name, value in row.items() if name not in ("times", "baseline_times")}
        | {"p": p, "q": q, "is_significant": q <= SURE}
        for row, p, q in zip(rows, chances, corrected, strict=True)
    ]


def _fisher(rows: Sequence[Row]) -> list[float]:
    """Return for each row the chance of as many bad calls or more, were nothing different: Fisher's test, one-sided."""
    import numpy as np
    from scipy.stats import hypergeom

    names = ("bad", "calls", "baseline_bad", "baseline_calls")
    bad, calls, baseline_bad, baseline_calls = (np.array([row[name] for row in rows], dtype=float) for name in names)
    chances: list[float] = hypergeom.sf(bad - 1, calls + baseline_calls, bad + baseline_bad, calls).clip(0, 1).tolist()
    return chances


def _slower(times: Sequence[float] | None, before: Sequence[float] | None) -> float:
    """Return the chance of times as long or longer, were they as before; 1 where there are too few to tell."""
    from scipy.stats import mannwhitneyu

    if not times or not before or min(len(times), len(before)) < _FEWEST_TIMES:
        return 1.0
    return float(mannwhitneyu(times, before, alternative="greater").pvalue)
