"""The regularisation path: what every alpha would select, from one sweep."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.solver.spread import PLAIN, Spread, effective_sample_size
from tsds_qdrant.solver.sweep import Sweep, column_sums
from tsds_qdrant.solver.tradeoff import alpha_of_slope, slope_budget

ROUNDING = 1e-9
"""What rounding may take from a size, relatively."""
LARGEST_ALPHA = float(np.nextafter(1.0, 0.0))


@dataclass(frozen=True)
class PathPoint:
    """The solution at one alpha, in figures.

    Attributes:
        alpha: alignment against diversity.
        threshold: s.
        neighbors: mean number of candidates that a task example uses.
        support: number of candidates with p > 0.
        effective_size: 1 / sum p^2.
        transport_cost: mean distance from a task example to what it chose.
    """

    alpha: float
    threshold: float
    neighbors: float
    support: int
    effective_size: float
    transport_cost: float


@dataclass(frozen=True)
class RegularizationPath:
    """All solutions of a sweep: the optimum at alpha is the plan at one of its thresholds.

    Attributes:
        sweep: the sorted breakpoints.
        cost_scale: C.
        candidates: how many candidate numbers there are.
        limit: thresholds beyond it are not known to be optimal: the lists end (the sweep's
            horizon), or half the pool's weight is reached.
    """

    sweep: Sweep
    cost_scale: float
    candidates: int
    limit: float

    def reaches(self, alpha: float) -> bool:
        """Whether the solution at ``alpha`` is known."""
        return self.sweep.threshold(slope_budget(alpha, self.cost_scale)) <= self.limit

    @cached_property
    def entered(self) -> FloatArray:
        """(candidates,) the threshold above which each has p > 0; infinite where none is known."""
        first = np.full(self.candidates, np.inf)
        np.minimum.at(first, self.sweep.lists.candidates, self.sweep.before)
        return first

    @cached_property
    def densities(self) -> FloatArray:
        """(candidates,) density of each; 1 where it is in no list."""
        found = np.ones(self.candidates)
        found[self.sweep.lists.candidates] = 1.0 / self.sweep.weights
        return found

    @cached_property
    def entrances(self) -> FloatArray:
        """(support,) thresholds above which one more candidate has p > 0, ascending."""
        entered: FloatArray = np.sort(self.entered[np.isfinite(self.entered)])
        return entered

    def at(self, alpha: float) -> PathPoint:
        """The solution at ``alpha``; the path must reach it."""
        return self._point(alpha, self.sweep.threshold(slope_budget(alpha, self.cost_scale)))

    def _point(self, alpha: float, threshold: float) -> PathPoint:
        plan = self.sweep.plan(threshold)
        probabilities = column_sums(self.sweep.lists, plan, self.candidates)
        return PathPoint(
            alpha=alpha,
            threshold=threshold,
            neighbors=float(np.count_nonzero(plan)) / self.sweep.lists.queries,
            support=int(np.count_nonzero(probabilities)),
            effective_size=effective_sample_size(probabilities),
            transport_cost=float(plan @ self.sweep.lists.distances),
        )

    def alpha_at(self, threshold: float) -> float:
        """An alpha whose solution is the plan at the breakpoint ``threshold``.

        It lies in the middle of those that do, so that rounding cannot move it to a neighbour.
        """
        middle = (self.sweep.slope_below(threshold) + self.sweep.slope(threshold)) / 2
        return alpha_of_slope(middle, self.cost_scale)

    def last_step(self, threshold: float) -> float:
        """``threshold``, or the last breakpoint that is known to be optimal if it lies beyond."""
        steps = self._rising_steps
        if threshold <= self.limit or not len(steps):
            return threshold
        return float(steps[-1])

    def threshold_for_support(self, size: int) -> float:
        """The first threshold at which at least ``size`` candidates have p > 0, or infinity."""
        if size > len(self.entrances):
            return float("inf")
        return self._step_above(float(self.entrances[size - 1]))

    def threshold_for_effective_size(self, size: float, spread: Spread = PLAIN) -> float:
        """The first threshold found at which p spreads far enough for ``size``, or infinity.

        By default its effective sample size is then at least ``size``. That grows with s but for
        small dents where lists overlap, so the threshold is one that qualifies, not always the
        very first. Doubling steps before the bisection make it depend on the near breakpoints
        alone, however far the lists go on.
        """
        steps = self._rising_steps
        size *= 1 - ROUNDING
        low, high = -1, 0
        while high < len(steps) and self.effective_size(steps[high], spread) < size:
            low, high = high, 2 * high + 1
        if high >= len(steps):
            high = len(steps) - 1
            if high <= low or self.effective_size(steps[high], spread) < size:
                return float("inf")
        while high - low > 1:
            middle = (low + high) // 2
            if self.effective_size(steps[middle], spread) >= size:
                high = middle
            else:
                low = middle
        return self._attained(high)

    @cached_property
    def _rising_steps(self) -> FloatArray:
        """Breakpoints at which T rises: only those are optimal for some alpha."""
        steps = self.sweep.thresholds  # ascending
        steps = steps[: int(np.searchsorted(steps, self.limit, side="right"))]
        return steps[np.diff(steps, prepend=-np.inf) > 0]

    def _step_above(self, threshold: float) -> float:
        steps = self._rising_steps
        return self._attained(int(np.searchsorted(steps, threshold, side="right")))

    def _attained(self, step: int) -> float:
        """The rising step of that number, or the next one that some alpha leads to, or infinity.

        *subtle*: steps of next to no slope, as those of a task example of next to no weight, lie
        closer together than the floating-point numbers just below 1.
        """
        steps, scale = self._rising_steps, self.cost_scale
        least = self.sweep.threshold(slope_budget(LARGEST_ALPHA, scale))
        for threshold in steps[max(step, int(np.searchsorted(steps, least))) :]:
            alpha = self.alpha_at(threshold)
            if alpha < 1.0 and self.sweep.threshold(slope_budget(alpha, scale)) == threshold:
                return float(threshold)
        return float("inf")

    def effective_size(self, threshold: float, spread: Spread = PLAIN) -> float:
        """The size for which the plan at ``threshold`` spreads far enough."""
        p = self.sweep.probabilities(threshold, self.candidates)
        return spread.enough_for(p, self.densities)
