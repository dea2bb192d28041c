"""Finds where a share changes over time: change-point detection by PELT (library ruptures) on counts of good and bad.

The cost of a segment is twice the negative log-likelihood of one binomial share, so that a step with two calls weighs
as little as it tells. The only module that knows ruptures.
"""

import math
from collections.abc import Sequence
from typing import Any

PENALTY = 3.0
"""What a change has to be worth, in units of the logarithm of the number of steps: the modified BIC's. Where several
edges are searched it is worth more by twice the logarithm of their number, or one of many would change by chance."""


def changes(series: Sequence[dict[str, Any]]) -> list[dict[str, int]]:
    """Return every edge's positions at which a new segment begins, in the shape that the question `phases` takes.

    A row of `series` has `edge`, 0 for the requests, and two lists over the same steps: `k`, the bad calls, out of `n`.
    """
    edges = sum(row["edge"] > 0 for row in series)
    return [
        {"edge": row["edge"], "position": position}
        for row in series
        for position in breakpoints(row["k"], row["n"], edges if row["edge"] else 1)
    ]


def breakpoints(bad: Sequence[float], calls: Sequence[float], searched: int = 1) -> list[int]:
    """Return the steps, but for the first, with which a segment of another share begins.

    `searched` is how many series like this one are searched.
    """
    import numpy as np
    from ruptures import Pelt

    steps = len(calls)
    if steps < 2:
        return []
    signal = np.column_stack([np.asarray(bad, dtype=float), np.asarray(calls, dtype=float)])
    search = Pelt(custom_cost=_binomial_cost(), min_size=1, jump=1).fit(signal)
    found: list[int] = search.predict(pen=PENALTY * math.log(steps) + 2 * math.log(searched))
    return found[:-1]


def _binomial_cost() -> Any:
    """Make ruptures' cost of one share over a segment."""
    import numpy as np
    from ruptures.base import BaseCost

    class BinomialCost(BaseCost):  # type: ignore[misc]  # ruptures ships no types
        model = "binomial"
        min_size = 1

        def fit(self, signal: Any) -> "BinomialCost":
            sums = np.vstack([np.zeros(2), np.cumsum(signal, axis=0)])
            self.bad, self.calls = sums[:, 0].tolist(), sums[:, 1].tolist()
            self.signal = signal
            return self

        def error(self, start: int, end: int) -> float:
            calls = self.calls[end] - self.calls[start]
            bad = self.bad[end] - self.bad[start]
            good = calls - bad
            # 0 log 0 is 0
            return -2 * (
                (bad * math.log(bad / calls) if bad > 0 else 0.0) + (good * math.log(good / calls) if good > 0 else 0.0)
            )

    return BinomialCost()
