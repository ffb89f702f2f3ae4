"""Scores by entropy, strata of a score, and clusters that take turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.ids import KeyArray, id_order, uniform_noise

STRATA = 50
CUT = 0.05
EDGES = np.linspace(-4.0, 4.0, 50)
"""Of the bins for standard scores; what lies beyond counts into the outermost ones."""
NOISE_STREAM = 0xADA9 << 32
"""Added to the seed, so that chance here has nothing to do with that of other strategies."""
OUTSIDE = -1
"""Stratum of what is cut off, or has no score."""


def entropy(scores: FloatArray) -> float:
    """Bits of the histogram of ``scores`` (n,), brought to mean 0 and standard deviation 1.

    So it does not depend on their unit. 0 where all are equal, or there is none.
    """
    spread = float(scores.std()) if len(scores) else 0.0
    if not spread > 1e-12 * float(np.abs(scores).max(initial=0.0)):
        return 0.0
    standard = np.clip((scores - scores.mean()) / spread, EDGES[0], EDGES[-1])
    counts = np.histogram(standard, EDGES)[0]
    share = counts[counts > 0] / len(scores)
    return float(-(share * np.log2(share)).sum())


def water_filled(sizes: IntArray, budget: int) -> IntArray:
    """(K,) parts of ``budget`` for clusters of ``sizes`` (K,): even, and small ones give all.

    Their sum is the budget, or all there are; what does not divide goes to the first ones.
    """
    budget = min(budget, int(sizes.sum()))
    order = np.argsort(sizes, kind="stable")
    level, left = 0, budget
    for done, place in enumerate(order.tolist()):
        level = left // (len(sizes) - done)
        if sizes[place] > level:
            break
        left -= int(sizes[place])
    filled: IntArray = np.minimum(sizes, level).astype(np.int64)
    rest = budget - int(filled.sum())
    filled[np.flatnonzero(sizes > level)[:rest]] += 1
    return filled


def strata_of(scores: FloatArray, count: int = STRATA, cut: float = CUT) -> IntArray:
    """(n,) the stratum of each of ``scores`` (n,), 0 for the highest.

    Strata are of equal width between the quantiles ``cut`` and 1 - ``cut``; what lies beyond these,
    or is NaN, is ``OUTSIDE``. Where there is no score, all are one stratum.
    """
    known = np.flatnonzero(~np.isnan(scores))
    if not len(known):
        return np.zeros(len(scores), dtype=np.int64)
    ascending = np.sort(scores[known])
    low = ascending[int(len(known) * cut + 1e-9)]
    high = ascending[min(len(known) - 1, int(len(known) * (1 - cut) + 1e-9))]
    found = np.full(len(scores), OUTSIDE, dtype=np.int64)
    inside = known[(scores[known] >= low) & (scores[known] <= high)]
    found[inside] = 0
    if high > low:
        place = np.floor((high - scores[inside]) / (high - low) * count + 1e-9)
        found[inside] = np.minimum(place.astype(np.int64), count - 1)
    return found


@dataclass(frozen=True)
class Cluster:
    """One cluster, and how its candidates are drawn.

    Attributes:
        name: its label.
        members: (c,) places of its candidates, in the order in which they are drawn.
        strata: (c,) the stratum of each.
        scorer: number of the score that they go by.
        entropy: of that score.
        weight: how many turns it has beside others.
    """

    name: str
    members: IntArray
    strata: IntArray
    scorer: int
    entropy: float
    weight: float = 1.0

    @property
    def chances(self) -> FloatArray:
        """(c,) of each to be drawn first, where all strata have the same; sum 1."""
        inside = self.strata != OUTSIDE
        counts = np.bincount(self.strata[inside])
        filled = int(np.count_nonzero(counts))
        found = np.zeros(len(self.members))
        found[inside] = 1.0 / (filled * counts[self.strata[inside]])
        return found


@dataclass(frozen=True)
class Drawing:
    """How candidates are drawn within clusters.

    Attributes:
        strata: how many.
        cut: share at each end that comes last.
        by_spread: clusters have turns by the standard deviation of the last score.
        seed: of all chance.
    """

    strata: int = STRATA
    cut: float = CUT
    by_spread: bool = False
    seed: int = 0


def clusters_of(
    labels: Sequence[str] | np.ndarray[tuple[int], np.dtype[np.str_]],
    scores: FloatArray,
    keys: KeyArray,
    drawing: Drawing,
) -> list[Cluster]:
    """The clusters of c candidates, by their ``labels`` (c,), in the order of these.

    Args:
        labels: (c,).
        scores: (c, S), NaN where there is none.
        keys: (c, 3) id keys.
        drawing: how candidates are drawn.
    """
    names, codes = np.unique(np.asarray(labels), return_inverse=True)
    codes = codes.reshape(-1)
    noise = uniform_noise(keys, drawing.seed + NOISE_STREAM)
    order = id_order(keys, codes, noise)
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    found = []
    for name, members in zip(names.tolist(), np.split(order, ends[:-1]), strict=True):
        own = scores[members]
        # *subtle*: summed by size, so that nothing depends on how candidates are numbered.
        sorted_ = [np.sort(one[~np.isnan(one)]) for one in own.T]
        bits = [round(entropy(one), 9) for one in sorted_]
        scorer = int(np.argmax(bits))
        strata = strata_of(own[:, scorer], drawing.strata, drawing.cut)
        spread = float(sorted_[-1].std()) if len(sorted_[-1]) else 0.0
        turns = _in_turns(strata)
        weight = spread if drawing.by_spread else 1.0
        found.append(Cluster(name, members[turns], strata[turns], scorer, bits[scorer], weight))
    return found


def _in_turns(strata: IntArray) -> IntArray:
    """(c,) places in which strata take turns, each in the order given; those outside come last.

    *subtle*: within a turn strata come in bit-reversed order, so that any beginning of it is spread
    over the whole range. From the highest to the lowest, a cluster with fewer candidates to give
    than strata would give its highest alone.
    """
    by_stratum = np.argsort(strata, kind="stable")
    ordered = strata[by_stratum]
    turn = np.arange(len(strata)) - np.searchsorted(ordered, ordered)
    key = _bits_reversed(ordered)
    order: IntArray = by_stratum[np.lexsort((key, turn, ordered == OUTSIDE))]
    return order


def _bits_reversed(numbers: IntArray) -> FloatArray:
    """(n,) whole numbers as digits behind a binary point, the last one first."""
    left, found = np.maximum(numbers, 0), np.zeros(len(numbers))
    place = 0.5
    while left.any():
        found += place * (left & 1)
        left, place = left >> 1, place / 2
    return found


def drawn(clusters: Sequence[Cluster]) -> tuple[IntArray, FloatArray]:
    """(c,) places of all candidates as clusters take turns, and (c,) the chances of each place.

    Any beginning of the order is what water-filling gives each cluster: who has no more leaves its
    turns to the others. What a cluster cuts off comes after what it does not.
    """
    total = sum(one.weight for one in clusters)
    weights = [one.weight if total else 1.0 for one in clusters]
    total = total or float(len(clusters))
    members = np.concatenate([one.members for one in clusters])
    turn = np.concatenate(
        [
            (np.arange(len(one.members)) + 1.0) / weight
            if weight
            else np.full(len(one.members), np.inf)
            for one, weight in zip(clusters, weights, strict=True)
        ]
    )
    which = np.repeat(np.arange(len(clusters)), [len(one.members) for one in clusters])
    order = np.lexsort((which, turn))
    chances = np.zeros(len(members))
    chances[members] = np.concatenate(
        [one.chances * (weight / total) for one, weight in zip(clusters, weights, strict=True)]
    )
    return members[order], chances
