"""Simpler ways to choose candidates, to compare with.

``random``           every candidate has the same chance.
``similarity-max``   the candidates nearest to any task example.
``similarity-mean``  those of the largest mean similarity to all task examples (under Euclid: of
                     the smallest mean squared distance): the ones nearest to the mean example.
``round-robin``      each task example in turn takes the nearest candidate that is left.
``dsir``             chances by hashed words (:mod:`tsds_qdrant.representations.ngrams`).

All of them are rankings, so budgets are nested. Ties go by id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tsds_qdrant.arrays import BoolArray, Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.ids import KeyArray
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import InputError, UnsupportedCollectionError
from tsds_qdrant.selection.sampling import uniform_noise
from tsds_qdrant.solver.lists import NeighborLists

Baseline = Literal["random", "similarity-max", "similarity-mean", "round-robin", "dsir"]
BASELINES: tuple[Baseline, ...] = (
    "random",
    "similarity-max",
    "similarity-mean",
    "round-robin",
    "dsir",
)

NOISE_STREAM = 0x5EED << 32
"""Added to the seed, so that chance here has nothing to do with that of a TSDS sample."""
FIRST_LOOK = 16
SHORTEST_MEAN = 1e-6
"""A mean of unit vectors shorter than this has no direction in float32."""


@dataclass(frozen=True)
class Ranked:
    """A ranking, as far as the lists tell it.

    Attributes:
        candidates: (k,) candidate numbers, best first.
        short: (r,) lists that end too early for the ranking to be final; once there are none, it
            is, and holds as many candidates as were wanted or all there are.
    """

    candidates: IntArray
    short: IntArray


def nearest_to_any(lists: NeighborLists, keys: KeyArray, size: int) -> Ranked:
    """The ``size`` candidates with the smallest distance to any query example.

    Args:
        lists: each holds every candidate up to its last distance.
        keys: (N, 3) id keys of the candidates.
        size: how many.
    """
    best = np.full(len(keys), np.inf)
    np.minimum.at(best, lists.candidates, lists.distances)
    listed = np.flatnonzero(best < np.inf)
    reach = np.inf
    if len(listed) >= size:
        reach = float(np.partition(best[listed], size - 1)[size - 1])
        listed = listed[best[listed] <= reach]
    k = keys[listed]
    order = np.lexsort((k[:, 2], k[:, 1], k[:, 0], best[listed]))[:size]
    ends = lists.distances[lists.offsets[1:] - 1]
    return Ranked(listed[order], np.flatnonzero(~lists.complete & (ends < reach)))


def round_robin(lists: NeighborLists, size: int) -> Ranked:
    """The ``size`` candidates that the query examples take, each in turn its nearest one left."""
    starts, ends = lists.offsets[:-1].tolist(), lists.offsets[1:].tolist()
    position = list(starts)
    taken = np.zeros(int(lists.candidates.max()) + 1, dtype=np.bool_)
    order: list[int] = []
    short = np.empty(0, dtype=np.int64)
    going = list(range(lists.queries))
    while going and len(order) < size and not len(short):
        for row in going[: size - len(order)]:
            at = _next_left(lists.candidates, taken, position[row], ends[row])
            position[row] = at
            if at < ends[row]:
                candidate = int(lists.candidates[at])
                taken[candidate] = True
                order.append(candidate)
            elif not lists.complete[row]:
                used = (np.array(position) - starts) * 2 >= lists.depths
                return Ranked(
                    np.array(order, dtype=np.int64), np.flatnonzero(used & ~lists.complete)
                )
        going = [row for row in going if position[row] < ends[row]]
    return Ranked(np.array(order, dtype=np.int64), np.empty(0, dtype=np.int64))


def _next_left(candidates: IntArray, taken: BoolArray, at: int, end: int) -> int:
    """The first entry from ``at`` on whose candidate is not taken, or ``end``."""
    look = FIRST_LOOK
    while at < end:
        ahead = taken[candidates[at : min(at + look, end)]]
        first = int(ahead.argmin())
        if not ahead[first]:
            return at + first
        at += len(ahead)
        look *= 2
    return end


def weighted_order(log_weights: FloatArray, keys: KeyArray, size: int, seed: int) -> IntArray:
    """(size,) candidates drawn one after the other, without repeats, by their weights.

    Gumbel top-k: the largest log weights after noise that hangs on the seed and the id alone.

    Args:
        log_weights: (N,) logarithms of the weights, up to a constant.
        keys: (N, 3) id keys.
        size: how many.
        seed: the same seed gives the same order.
    """
    noise = uniform_noise(keys, seed + NOISE_STREAM)
    rank = np.log(-np.log(noise)) - log_weights
    order: IntArray = np.lexsort((keys[:, 2], keys[:, 1], keys[:, 0], rank))[:size]
    return order


def shares(log_weights: FloatArray) -> FloatArray:
    """(N,) the weights scaled to sum 1: the chances of the first draw."""
    weights = np.exp(log_weights - log_weights.max())
    scaled: FloatArray = weights / weights.sum()
    return scaled


def mean_example(queries: Float32Array, weights: FloatArray, metric: Metric) -> Float32Array:
    """(1, D) the one query example whose nearest candidates rank as the mean over all does.

    The mean of cosines with unit vectors is the product with their mean; the mean of squared
    Euclidean distances differs by a constant from the squared distance to the mean.

    Args:
        queries: (M, D).
        weights: (M,) sum 1.
        metric: of the collection.

    Raises:
        UnsupportedCollectionError: Manhattan, whose mean distance is none to a single vector.
        InputError: the task examples cancel each other out.
    """
    if metric == "Manhattan":
        raise UnsupportedCollectionError(
            "the method 'similarity-mean' cannot rank by the metric Manhattan, whose mean distance "
            "is that to no single vector; use similarity-max or round-robin"
        )
    rows = queries.astype(np.float64)
    if metric != "Euclid":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    mean = weights @ rows
    if metric != "Euclid":
        length = float(np.linalg.norm(mean))
        if length < SHORTEST_MEAN:
            raise InputError(
                f"the mean of {len(rows)} task examples has length {length:.1g}, so the method "
                f"'similarity-mean' has no direction to look in; use similarity-max"
            )
        mean /= length
    single: Float32Array = mean[None, :].astype(np.float32)
    return single
