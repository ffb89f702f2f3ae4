"""Lazy search: fetch neighbours and densities until the solution needs no more.

The optimum at threshold s depends only on the candidates in front of s in some list, on their
densities and on one distance more. The loop guesses s from what is known, fetches what that
guess touches, and ends when nothing is missing: then the solution is that of the full problem,
whatever the guesses were.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import BoolArray, FloatArray, IntArray
from tsds_qdrant.neighbors.deepening import start
from tsds_qdrant.neighbors.neighborhoods import ENTRIES_LIMIT, Neighborhoods
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.solver.path import RegularizationPath
from tsds_qdrant.solver.spread import Spread
from tsds_qdrant.solver.sweep import Sweep
from tsds_qdrant.solver.tradeoff import slope_budget

FIRST_REACH = 0.5
"""Share of the first guess of s whose densities are fetched before guessing again."""
AHEAD = 1.02
"""Densities are fetched this much further than s, to save rounds."""

MOST_GROWTH = 16.0
"""Lists are deepened to at most that many times the weight that they hold, however far s seems."""
EXPONENTS = 0.25, 2.0
"""Between these grows what is aimed at with s, as far as its last doubling may be believed."""


@dataclass(frozen=True)
class Target:
    """Which threshold is wanted.

    Attributes:
        threshold: s on a path; infinite if the path does not reach it.
        come_to: what has been reached at a threshold, growing up to ``wanted``; None where nothing
            is known of that.
        wanted: what is aimed at.
    """

    threshold: Callable[[RegularizationPath], float]
    come_to: Callable[[RegularizationPath, float], float] | None = None
    wanted: float = math.inf

    def foreseen(self, path: RegularizationPath, horizon: float) -> float:
        """About where s lies beyond the ``horizon``, from the growth up to there; a guess only."""
        if self.come_to is None or not math.isfinite(horizon):
            return 2 * horizon
        half, whole = self.come_to(path, horizon / 2), self.come_to(path, horizon)
        if not 0 < half < whole < self.wanted:
            return 2 * horizon
        exponent = float(np.clip(math.log2(whole / half), *EXPONENTS))
        growth = (self.wanted / whole) ** (1 / exponent) if math.isfinite(self.wanted) else 2.0
        return horizon * min(max(1.1 * growth, 1.2), MOST_GROWTH)


def alpha_target(alpha: float, cost_scale: float) -> Target:
    """The threshold of ``alpha``."""
    budget = slope_budget(alpha, cost_scale)
    return Target(
        lambda path: path.sweep.threshold(budget),
        lambda path, threshold: path.sweep.slope_below(threshold),
        budget,
    )


def support_target(size: int) -> Target:
    """The first threshold with ``size`` candidates of positive probability."""
    return Target(
        lambda path: path.threshold_for_support(size),
        lambda path, threshold: float(np.searchsorted(path.entrances, threshold)),
        size,
    )


def effective_size_target(size: float, spread: Spread) -> Target:
    """A threshold at which p spreads far enough for ``size``."""
    return Target(
        lambda path: path.threshold_for_effective_size(size, spread),
        lambda path, threshold: path.effective_size(threshold, spread),
        size,
    )


def whole_target() -> Target:
    """All there is."""
    return Target(lambda _: math.inf)


@dataclass(frozen=True)
class Expansion:
    """Everything the solution needs.

    Attributes:
        lists: neighbour lists that reach past the threshold (or hold the whole pool).
        densities: (candidates,) densities, 1 where unknown; those are not touched.
        total_weight: a lower bound on Z, at least twice the threshold unless all is fetched.
        threshold: s, infinite if the target cannot be reached.
        touched: number of candidates whose densities the solution needs.
    """

    lists: NeighborLists
    densities: FloatArray
    total_weight: float
    threshold: float
    touched: int


def expand(
    neighborhoods: Neighborhoods,
    query_weights: FloatArray,
    cost_scale: float,
    target: Target,
) -> Expansion:
    """Fetch into ``neighborhoods`` what the solution at ``target`` needs.

    Args:
        neighborhoods: what is known already; it is kept and added to.
        query_weights: (M,) weights m_i, sum 1.
        cost_scale: C.
        target: which threshold is wanted.

    Raises:
        DepthError: the lists would not fit into memory.
    """
    start(neighborhoods)
    begun = False
    while True:
        lists = neighborhoods.lists
        densities = neighborhoods.densities
        known = ~np.isnan(densities)
        guessed = _guessed(densities, neighborhoods.foreseen, lists)
        sweep = Sweep.over(lists, guessed, query_weights)
        path = RegularizationPath(sweep, cost_scale, len(densities), sweep.horizon)
        threshold = target.threshold(path)
        # T is exact below the horizon: if the target lies beyond, s does so too.
        reach = min(threshold, sweep.horizon)
        first = not (begun or known[lists.candidates].any())
        begun = True
        ahead = reach * (FIRST_REACH if first else AHEAD)
        unknown = _unknown_in_front(sweep, known, ahead)
        if len(unknown):
            neighborhoods.learn(unknown)
            continue
        if threshold > sweep.horizon:
            aim = min(threshold, target.foreseen(path, sweep.horizon))
            _deepen(neighborhoods, sweep, np.flatnonzero(~lists.complete), aim)
            continue
        wanted_weight = 2 * min(threshold, float(sweep.totals.max()))
        if neighborhoods.known_weight < wanted_weight and not known[lists.candidates].all():
            neighborhoods.learn(_next_unknown(sweep, known, wanted_weight, neighborhoods))
            continue
        if neighborhoods.known_weight < wanted_weight and not lists.complete.all():
            rows = np.flatnonzero(~lists.complete)
            if len(rows) == lists.queries:  # one of them finds more of the pool as well as all
                rows = rows[[int(sweep.totals.argmax())]]
            _deepen(neighborhoods, sweep, rows, wanted_weight)
            continue
        needed = known & np.isin(
            np.arange(len(known)), lists.candidates[sweep.before < min(threshold, reach)]
        )
        return Expansion(
            lists,
            np.where(known, densities, 1.0),
            neighborhoods.known_weight,
            threshold,
            int(np.count_nonzero(needed)),
        )


def _guessed(densities: FloatArray, foreseen: FloatArray, lists: NeighborLists) -> FloatArray:
    """``densities`` with the unknown ones guessed: as ``foreseen``, else like the known, or 1.

    The known are averaged so that near-duplicates count once: what none of them has foreseen lies
    near none of them.
    """
    known = ~np.isnan(densities)
    if known.all():
        return densities
    weights = 1.0 / densities[lists.candidates[known[lists.candidates]]]
    guess = float(weights.sum() / np.square(weights).sum()) if len(weights) else 1.0
    return np.where(known, densities, np.where(foreseen > 0, np.fmax(foreseen, 1.0), guess))


def _unknown_in_front(sweep: Sweep, known: BoolArray, threshold: float) -> IntArray:
    """Candidates of unknown density that some row uses below ``threshold``."""
    used = sweep.lists.candidates[sweep.before < threshold]
    return np.unique(used[~known[used]])


def _next_unknown(
    sweep: Sweep, known: BoolArray, wanted_weight: float, neighborhoods: Neighborhoods
) -> IntArray:
    """The nearest candidates of unknown density, as many as should make up ``wanted_weight``."""
    lists = sweep.lists
    open_entries = np.flatnonzero(~known[lists.candidates])
    nearest_first = open_entries[np.argsort(sweep.before[open_entries], kind="stable")]
    candidates, first = np.unique(lists.candidates[nearest_first], return_index=True)
    order = np.argsort(first)
    weights = np.cumsum(sweep.weights[nearest_first][first[order]])
    missing = 1.1 * (wanted_weight - neighborhoods.known_weight)
    return candidates[order][: int(np.searchsorted(weights, missing)) + 8]


def _deepen(neighborhoods: Neighborhoods, sweep: Sweep, rows: IntArray, weight: float) -> None:
    """Deepen those lists of ``rows`` that end before ``weight``, as far as their ends predict."""
    lists = sweep.lists
    rows = rows[sweep.totals[rows] < weight]
    depths = lists.depths[rows]
    ends = lists.offsets[rows + 1] - 1
    tail = np.maximum(depths // 2, 1)
    tail_weight = sweep.cumulated[ends] - np.where(
        tail < depths, sweep.cumulated[np.maximum(ends - tail, 0)], 0.0
    )
    missing = (weight - sweep.totals[rows]) / (tail_weight / tail)
    predicted = depths + np.minimum(1.1 * missing, (MOST_GROWTH - 1) * depths)
    if lists.depths.sum() + (predicted - depths).sum() > ENTRIES_LIMIT / 4:  # step by step then
        predicted = np.minimum(predicted, 2 * depths)
    limits = 2 ** np.ceil(np.log2(np.maximum(predicted, depths + 1))).astype(np.int64)
    neighborhoods.deepen(rows, limits)
