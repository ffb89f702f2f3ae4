"""The alpha at which a candidate enters the support, or leaves it.

A row of the plan fills its nearest candidates until the weight s is used up, so a candidate has
p > 0 where s exceeds the weight in front of it in some list. T(s) turns that into an alpha: p > 0
below C / (C + T(weight in front)), and p = 0 from there on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import BoolArray, FloatArray
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.solver.sweep import Sweep
from tsds_qdrant.solver.tradeoff import alpha_of_slope


@dataclass(frozen=True)
class Turn:
    """The alpha at which a candidate enters the support, or leaves it.

    Attributes:
        alpha: p > 0 for every alpha below (``tv``: also at it); 1 means for every alpha.
        exact: otherwise it is a bound: p > 0 only below some alpha that is no larger.
    """

    alpha: float
    exact: bool


def weight_in_front(sweep: Sweep, candidate: int) -> float:
    """The least weight before ``candidate`` in any list; infinite where it is in none."""
    return float(sweep.before[sweep.lists.candidates == candidate].min(initial=np.inf))


def exact_weight(sweep: Sweep, known: BoolArray) -> float:
    """The weight up to which all lists are exact: in front of it every density is ``known``.

    Args:
        sweep: of lists with any densities in place of the unknown ones.
        known: (candidates,) whether the density is known.
    """
    return float(sweep.before[~known[sweep.lists.candidates]].min(initial=np.inf))


def turn_of(
    sweep: Sweep, known: BoolArray, cost_scale: float, total: float, candidate: int
) -> Turn:
    """Where the p of ``candidate`` turns positive (``kde`` and ``uniform``).

    Args:
        sweep: of lists with any densities in place of the unknown ones, without a budget.
        known: (candidates,) whether the density is known.
        cost_scale: C.
        total: a lower bound on Z.
        candidate: its number; one that is in no list is taken to lie behind them all.
    """
    front, exact_to = weight_in_front(sweep, candidate), exact_weight(sweep, known)
    whole = exact_to == np.inf and bool(sweep.lists.complete.all())
    half = float(sweep.totals[0]) / 2 if whole else total / 2
    if front <= exact_to and front < min(sweep.horizon, half):
        slope = sweep.slope(front)
    elif whole:  # it gets mass only where the pool is taken evenly
        slope = max(sweep.slope(half), sweep.even_slope(2 * half))
    else:
        slope = sweep.slope_below(min(exact_to, sweep.horizon, half))
        return Turn(alpha_of_slope(slope, cost_scale), exact=False)
    return Turn(alpha_of_slope(slope, cost_scale), exact=True)


def turn_within_radius(lists: NeighborLists, distances: FloatArray, cost_scale: float) -> Turn:
    """Where the p of a candidate ``distances`` (M,) away from the task examples turns (``tv``)."""
    margin = float((distances - lists.distances[lists.offsets[:-1]]).min())
    return Turn(alpha_of_slope(max(0.0, margin), cost_scale), exact=True)
