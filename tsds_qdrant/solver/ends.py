"""The end of the path: what alphas select that use half of the pool or more.

Behind the last breakpoint up to Z / 2 two more solutions follow as alpha falls: every query
example fills the nearer half of the pool's weight, and at last it takes the pool evenly,
p_j = w_j / Z.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.solver.path import ROUNDING, RegularizationPath
from tsds_qdrant.solver.spread import PLAIN, Spread
from tsds_qdrant.solver.sweep import column_sums
from tsds_qdrant.solver.tradeoff import alpha_of_slope, slope_budget


def end_solutions(path: RegularizationPath) -> Iterator[tuple[float, FloatArray]]:
    """Alpha and (candidates,) p of the solutions behind the breakpoints, by falling alpha.

    The first is left out where no alpha has it, as with candidates that are all equally far.

    Args:
        path: over lists that all hold the whole pool.
    """
    sweep, scale = path.sweep, path.cost_scale
    total = float(sweep.totals[0])
    low, high = sweep.slope(total / 2), sweep.even_slope(total)
    alpha = alpha_of_slope((low + high) / 2, scale)
    noise = 1e-12 * total * float(sweep.even_plan(total) @ sweep.lists.distances)
    if high - low > noise and low < slope_budget(alpha, scale) <= high:
        yield alpha, sweep.probabilities(total / 2, path.candidates)
    even = column_sums(sweep.lists, sweep.even_plan(total), path.candidates)
    yield alpha_of_slope(max(low, high), scale) / 2, even


def pool_alpha(path: RegularizationPath) -> float:
    """An alpha at which the pool is taken evenly, and at every smaller one."""
    *_, (alpha, _) = end_solutions(path)
    return alpha


def alpha_of_support(path: RegularizationPath, size: int) -> float:
    """The largest alpha at which ``size`` candidates have p > 0; that of the pool if none has.

    Args:
        path: over lists that all hold the whole pool.
        size: how many.
    """
    threshold = path.threshold_for_support(size)
    if threshold <= path.limit:
        return path.alpha_at(threshold)
    for alpha, p in end_solutions(path):
        # Rounding may leave next to nothing of a weight that is used up.
        if np.count_nonzero(p > ROUNDING * p.max()) >= size:
            return alpha
    return pool_alpha(path)


def alpha_of_effective_size(path: RegularizationPath, size: int, spread: Spread = PLAIN) -> float:
    """The largest alpha at which p spreads far enough for ``size``.

    Densities may keep the whole pool from that: then the effective sample size decides alone, and
    where even that stays below ``size``, it is the alpha of :func:`alpha_of_support`.

    Args:
        path: over lists that all hold the whole pool.
        size: how many.
        spread: how far is far enough.
    """
    threshold = path.threshold_for_effective_size(size, spread)
    if threshold <= path.limit:
        return path.alpha_at(threshold)
    for alpha, p in end_solutions(path):
        if spread.enough_for(p, path.densities) >= size * (1 - ROUNDING):
            return alpha
    return alpha_of_support(path, size) if spread == PLAIN else alpha_of_effective_size(path, size)
