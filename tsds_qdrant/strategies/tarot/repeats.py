"""How often rows count, by what the task sends to each."""

from __future__ import annotations

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.solver.entropic import END_SHARE
from tsds_qdrant.solver.relaxed import Pairs, relaxed_plan


def repeated(cost: FloatArray, weights: FloatArray, repeats: float) -> IntArray:
    """(n,) how often each row counts: ``repeats`` n in all, each at least once.

    A plan whose row sums are all the same gives no weights. In one where they are free but for a
    penalty as large as eps, rows receive what is sent to them; the largest remainders are rounded
    up.

    Args:
        cost: (n, M) distances of the rows to the task examples.
        weights: (M,) of the task examples, sum 1.
        repeats: at least 1.
    """
    eps = END_SHARE * (float(np.median(cost)) or 1.0)
    masses = relaxed_plan(Pairs.dense(cost.T), weights, epsilon=eps, relax=eps).masses
    more = round(repeats * len(cost)) - len(cost)
    shares = more * masses / masses.sum()
    counts = np.floor(shares).astype(np.int64)
    left = max(0, more - int(counts.sum()))
    counts[np.argsort(counts - shares, kind="stable")[:left]] += 1
    total: IntArray = counts + 1
    return total
