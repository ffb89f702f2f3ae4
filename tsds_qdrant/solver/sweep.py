"""The sorted sweep that solves the transport problem for every alpha at once.

A threshold s > 0 caps the mass of candidate j in row i at m_i w_j / s, with w = 1 / density and
m_i the weight of the query example; each row fills its nearest candidates to the cap. Let
cum_i(k) be the weight of the k nearest. Each time s passes some cum_i(k), the transport cost
gains slope m_i (d_i(k+1) - d_i(k)) cum_i(k); their running sum T(s) is a step function, and
alpha chooses the step: the optimum is the first s with T(s) >= (1 - alpha) C / alpha
(problem RT with G_KDE of arXiv 2410.11303, Section 3, written with the threshold as variable).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.solver.lists import NeighborLists


@dataclass(frozen=True)
class Sweep:
    """Cumulated weights of all lists, and the breakpoints of T in order.

    Attributes:
        lists: the neighbour lists, n entries.
        weights: (n,) w = 1 / density of each entry's candidate.
        cumulated: (n,) cum_i(k), summed list by list.
        query_weights: (M,) m_i, sum 1.
        thresholds: (b,) breakpoints s at which T rises, ascending.
        slopes: (b,) T at each breakpoint, non-decreasing.
    """

    lists: NeighborLists
    weights: FloatArray
    cumulated: FloatArray
    query_weights: FloatArray
    thresholds: FloatArray
    slopes: FloatArray

    @classmethod
    def over(
        cls,
        lists: NeighborLists,
        densities: FloatArray,
        query_weights: FloatArray,
        *,
        budget: float = float("inf"),
    ) -> Sweep:
        """Sweep ``lists`` with ``densities`` (candidates,) and ``query_weights`` (M,).

        Breakpoints that the slope ``budget`` does not need may be left out, which saves sorting.
        """
        weights = (1.0 / densities)[lists.candidates]
        cumulated = np.empty_like(weights)
        # Row by row, so that the sums of one list never depend on the others.
        for start, stop in pairwise(lists.offsets.tolist()):
            np.cumsum(weights[start:stop], out=cumulated[start:stop])
        gains = np.zeros_like(cumulated)
        np.subtract(lists.distances[1:], lists.distances[:-1], out=gains[:-1])
        gains[lists.offsets[1:] - 1] = 0.0
        gains *= cumulated
        gains *= np.repeat(query_weights, lists.depths)
        kept = np.flatnonzero((gains > 0) & (cumulated <= _cutoff(cumulated, gains, budget)))
        # Subtle: a stable order makes T the same bit for bit however far the lists go on.
        kept = kept[np.argsort(cumulated[kept], kind="stable")]
        return cls(
            lists,
            weights,
            cumulated,
            query_weights,
            thresholds=cumulated[kept],
            slopes=np.cumsum(gains[kept]),
        )

    @cached_property
    def totals(self) -> FloatArray:
        """(M,) weight of each whole list."""
        return self.cumulated[self.lists.offsets[1:] - 1]

    @cached_property
    def horizon(self) -> float:
        """T is known for every s below it: the least weight of a list that goes on unseen."""
        open_ends = self.totals[~self.lists.complete]
        return float(open_ends.min()) if len(open_ends) else float("inf")

    @cached_property
    def before(self) -> FloatArray:
        """(n,) cum_i(k - 1): the weight in front of each entry."""
        in_front = np.empty_like(self.cumulated)
        in_front[0] = 0.0
        in_front[1:] = self.cumulated[:-1]
        in_front[self.lists.offsets[:-1]] = 0.0
        return in_front

    def threshold(self, budget: float) -> float:
        """The first breakpoint s with T(s) >= ``budget``; infinite if T never gets there."""
        step = int(np.searchsorted(self.slopes, budget, side="left"))
        return float(self.thresholds[step]) if step < len(self.thresholds) else float("inf")

    def slope(self, threshold: float) -> float:
        """T(``threshold``)."""
        step = int(np.searchsorted(self.thresholds, threshold, side="right"))
        return float(self.slopes[step - 1]) if step else 0.0

    def slope_below(self, threshold: float) -> float:
        """T just below ``threshold``."""
        step = int(np.searchsorted(self.thresholds, threshold, side="left"))
        return float(self.slopes[step - 1]) if step else 0.0

    def plan(self, threshold: float) -> FloatArray:
        """(n,) mass of each entry: every row filled, nearest first, to the cap m_i w / s."""
        return self._mass(threshold, slice(None))

    def _mass(self, threshold: float, entries: slice | IntArray) -> FloatArray:
        """The mass of some ``entries``."""
        room = np.minimum(self.weights[entries], threshold - self.before[entries])
        np.maximum(room, 0.0, out=room)
        room *= self._shares[entries] / threshold
        return room

    def even_plan(self, total: float) -> FloatArray:
        """(n,) mass of each entry if every row spreads evenly over a pool of weight ``total``."""
        even: FloatArray = self.weights * np.repeat(self.query_weights / total, self.lists.depths)
        return even

    def even_slope(self, total: float) -> float:
        """S: the slope at which spreading from the nearer half to the whole pool pays."""
        moved = self.even_plan(total) - self.plan(total / 2)
        return total * float(moved @ self.lists.distances)

    def probabilities(self, threshold: float, candidates: int) -> FloatArray:
        """(candidates,) p_j, the column sums of :meth:`plan`; entries without mass are left out."""
        near = np.flatnonzero(self.before < threshold)
        return _sums(self.lists.candidates[near], self._mass(threshold, near), candidates)

    @cached_property
    def _shares(self) -> FloatArray:
        """(n,) m_i of the list of each entry."""
        return np.repeat(self.query_weights, self.lists.depths)


def column_sums(lists: NeighborLists, plan: FloatArray, candidates: int) -> FloatArray:
    """(candidates,) p_j: what each candidate receives of ``plan`` (n,)."""
    return _sums(lists.candidates, plan, candidates)


def _sums(receivers: IntArray, mass: FloatArray, candidates: int) -> FloatArray:
    sums = np.bincount(receivers, weights=mass, minlength=candidates)
    return sums.astype(np.float64, copy=False)


def _cutoff(cumulated: FloatArray, gains: FloatArray, budget: float) -> float:
    """A threshold whose slope is at least ``budget``, from a histogram instead of a sort."""
    if budget == float("inf"):
        return budget
    bins = 4096
    width = float(cumulated.max()) / bins
    numbers = np.minimum((cumulated / width).astype(np.int32), bins - 1)
    slopes = np.cumsum(np.bincount(numbers, weights=gains, minlength=bins))
    # One bin more, and a margin on the budget, outweigh the rounding of sums and bin numbers.
    step = int(np.searchsorted(slopes, budget * (1 + 1e-9))) + 2
    return step * width if step < bins else float("inf")
