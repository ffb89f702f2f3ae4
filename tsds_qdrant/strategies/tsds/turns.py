"""Turns: the alphas at which candidates of a run enter, and what must be fetched to know them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsds_qdrant.arrays import BoolArray
from tsds_qdrant.errors import DepthError
from tsds_qdrant.solver.path import RegularizationPath
from tsds_qdrant.solver.sweep import Sweep
from tsds_qdrant.solver.turning import Turn, turn_of, weight_in_front
from tsds_qdrant.strategies.tsds.expansion import Target
from tsds_qdrant.strategies.tsds.problem import TaskProblem


class Turns:
    """Where the p of candidates turns positive, as far as a task's lists and densities say.

    Args:
        task: the problem; its densities are added to.
    """

    def __init__(self, task: TaskProblem) -> None:
        self._task = task
        self._known = task.neighborhoods
        self._look()

    def turn(self, candidate: int) -> Turn:
        """Where the p of ``candidate`` turns positive."""
        total, cost_scale = self._known.known_weight, self._task.cost_scale
        return turn_of(self._sweep, self._measured, cost_scale, total, candidate)

    def follow(self, candidates: Sequence[int], searches: int) -> None:
        """Find the densities in front of ``candidates``, so that their turns are exact.

        Those with least weight in front come first; the others are left when more than about
        ``searches`` densities would have to be found, and so are those that are in no list.
        """
        searcher = self._known.searcher
        allowed = searcher.counts.density_searches + searches
        for candidate in sorted(candidates, key=self._front):
            front = self._front(candidate)
            if self.turn(candidate).exact:
                continue
            if searcher.counts.density_searches + self._searches_to(front) > allowed:
                return
            try:
                self._task.reach(_just_beyond(candidate))
            except DepthError:
                return
            self._look()

    def _look(self) -> None:
        """Sweep over all that is known now; unknown densities count as the mean of the others."""
        densities = self._known.densities
        self._measured: BoolArray = ~np.isnan(densities)
        mean = float(densities[self._measured].mean()) if self._measured.any() else 1.0
        filled = np.where(self._measured, densities, mean)
        self._sweep = Sweep.over(self._known.lists, filled, self._task.query_weights)

    def _front(self, candidate: int) -> float:
        return weight_in_front(self._sweep, candidate)

    def _searches_to(self, front: float) -> float:
        """About how many densities must be found for T to be known up to ``front``."""
        sweep = self._sweep
        near = sweep.lists.candidates[sweep.before <= front]
        listed = np.count_nonzero(~self._measured[np.unique(near)])
        ends = sweep.totals[~sweep.lists.complete]
        unseen = max(np.maximum(0.0, front - ends).sum(), 2 * front - self._known.known_weight)
        return float(listed + unseen / sweep.weights.mean())


def _just_beyond(candidate: int) -> Target:
    """The least threshold at which ``candidate`` has mass; 0 where it has left the lists."""

    def target(path: RegularizationPath) -> float:
        front = weight_in_front(path.sweep, candidate)
        return float(np.nextafter(front, np.inf)) if front < np.inf else 0.0

    return Target(target)
