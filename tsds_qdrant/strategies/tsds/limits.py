"""What a sample of searches says of all: one-sided limits of Clopper and Pearson.

A search is the unit, as the hits of one search are right or wrong together. One that is wrong in
part counts in part: for numbers in [0, 1] the limit of the binomial case is never too low in all
distributions tried (tests/strategies/tsds/test_limits.py), as that is the one that spreads most.
"""

from __future__ import annotations

import numpy as np

from tsds_qdrant.arrays import FloatArray

CHANCE = 0.05
"""Chance that a limit at 95 % is too low."""
STEPS = 20_000


def mean_limit(found: FloatArray, of: int | None = None, chance: float = CHANCE) -> float:
    """An upper limit on the mean of numbers in [0, 1], of which ``found`` (n,) is a sample.

    Where the sample is all ``of`` them, their mean. None found above 0 gives 1 - chance^(1/n).
    """
    if len(found) == of or not len(found):
        return float(found.mean()) if len(found) else 0.0
    count, total = len(found), float(found.sum())
    if total > count - 1:
        return 1.0
    if total == 0:
        return float(1.0 - chance ** (1.0 / count))
    share = (np.arange(STEPS) + 0.5) / STEPS
    logs = total * np.log(share) + (count - total - 1) * np.log1p(-share)
    cumulated = np.cumsum(np.exp(logs - logs.max()))
    return float(share[np.searchsorted(cumulated, (1 - chance) * cumulated[-1])])
