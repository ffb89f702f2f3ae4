"""Which sources are chosen: one by one, or by the random subsets that they are part of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.strategies.gradex.first_order import Margins, trained

KEPT = 0.7
"""Share of the sources that an ensemble keeps: the least that the authors' code tries."""
NOISE = 1e-12
"""Relative: a loss that is lower by no more counts as equal."""


@dataclass
class Estimates:
    """Estimated target losses of models that are trained on subsets of S sources.

    Attributes:
        examples: of all sources.
        owners: (n,) the source of each.
        target: the target examples; weights sum to 1.
        strength: what the loss of the examples counts beside |w|^2 / 2.
        on_solve: called after each estimate.
    """

    examples: Margins
    owners: IntArray
    target: Margins
    strength: float
    on_solve: Callable[[int], None] = lambda done: None
    _known: dict[frozenset[int], float] = field(default_factory=dict)

    def loss(self, sources: frozenset[int]) -> float:
        """The target loss after training on ``sources``; on none: as it is."""
        if sources not in self._known:
            step = np.zeros(self.target.gradients.shape[1])
            if sources:
                step = trained(self._of(sources), self.strength)
            self._known[sources] = self.target.loss(step)
            self.on_solve(len(self._known))
        return self._known[sources]

    @property
    def solved(self) -> int:
        """How many subsets were estimated."""
        return len(self._known)

    def _of(self, sources: frozenset[int]) -> Margins:
        mine = np.isin(self.owners, list(sources))
        every = self.examples
        return Margins(every.gradients[mine], every.offsets[mine], every.weights[mine])


@dataclass(frozen=True)
class Choice:
    """The sources in the order of preference.

    Attributes:
        order: all sources; those that were chosen come first.
        chosen: how many were.
        scores: (S,) by source: the estimated loss with it alone (greedy), or the mean over the
            subsets that it was part of (ensemble); lower is better.
        curve: estimated losses as the chosen ones were added, with that of none first.
        facts: what else is to be said.
    """

    order: tuple[int, ...]
    chosen: int
    scores: FloatArray
    curve: tuple[float, ...]
    facts: dict[str, Any]


def greedy(estimates: Estimates, count: int, most: int | None = None) -> Choice:
    """The source that lowers the loss most, then the one that does so beside it, and so on.

    It ends where none does, or at ``most``; the first is taken in any case. Equal ones are taken in
    the order of their numbers.

    Args:
        estimates: of the losses.
        count: S.
        most: how many are chosen at most.
    """
    alone = np.array([estimates.loss(frozenset({one})) for one in range(count)])
    taken: list[int] = []
    curve = [estimates.loss(frozenset())]
    while len(taken) < min(count, count if most is None else most):
        left = [one for one in range(count) if one not in taken]
        losses = [estimates.loss(frozenset({*taken, one})) for one in left]
        best = _first_of_least(losses)
        improves = losses[best] < curve[-1] * (1 - NOISE)
        if taken and not improves:
            break
        taken.append(left[best])
        curve.append(losses[best])
        if not improves:
            break
    rest = [one for one in _by_score(alone) if one not in taken]
    helps = len(curve) == 1 or curve[1] < curve[0] * (1 - NOISE)
    return Choice((*taken, *rest), len(taken), alone, tuple(curve), {"improves": helps})


def ensemble(
    estimates: Estimates,
    count: int,
    *,
    share: float,
    subsets: int,
    seed: int,
    most: int | None = None,
) -> Choice:
    """The sources of the lowest mean loss over the random subsets that they are part of.

    All subsets of that size are taken where there are no more than ``subsets``.

    Args:
        estimates: of the losses.
        count: S.
        share: size of a subset, as a share of S.
        subsets: how many are drawn.
        seed: of their chance.
        most: how many sources are chosen; 0.7 S by default.
    """
    size = min(count, max(1, round(share * count)))
    totals, times = np.zeros(count), np.zeros(count)
    drawn = 0
    for subset in _subsets(count, size, subsets, seed):
        totals[list(subset)] += estimates.loss(frozenset(subset))
        times[list(subset)] += 1
        drawn += 1
    scores = np.where(times > 0, totals / np.maximum(times, 1), np.inf)
    order = _by_score(scores)
    chosen = min(count, max(1, math.floor(KEPT * count)) if most is None else most)
    curve = (estimates.loss(frozenset()), estimates.loss(frozenset(order[:chosen])))
    return Choice(tuple(order), chosen, scores, curve, {"subsets": drawn, "subset_size": size})


def _subsets(count: int, size: int, most: int, seed: int) -> Iterator[Sequence[int]]:
    if math.comb(count, size) <= most:
        yield from combinations(range(count), size)
        return
    rng = np.random.default_rng(seed)
    for _ in range(most):
        yield rng.choice(count, size=size, replace=False).tolist()


def _by_score(scores: FloatArray) -> list[int]:
    order: list[int] = np.argsort(scores, kind="stable").tolist()
    return order


def _first_of_least(losses: Sequence[float]) -> int:
    least = min(losses)
    return next(k for k, loss in enumerate(losses) if loss <= least + NOISE * abs(least))
