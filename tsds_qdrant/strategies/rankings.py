"""Rankings of neighbour lists, in plain numpy.

All of them can say which lists end too early for the ranking to be final. Ties go by id.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from tsds_qdrant.arrays import BoolArray, Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.ids import KeyArray, id_order
from tsds_qdrant.collections.values import Geometry
from tsds_qdrant.errors import InputError, UnsupportedCollectionError
from tsds_qdrant.solver.lists import NeighborLists

FIRST_LOOK = 16
UNIT_SLACK = 1e-4
"""A stored float16 vector may be this much longer than one, beside the rounding of float32."""
SHORTEST_MEAN = 1e-6
"""A mean of unit vectors shorter than this has no direction in float32."""


@dataclass(frozen=True)
class Ranked:
    """A ranking, as far as the lists give it.

    Attributes:
        candidates: (k,) candidate numbers, best first.
        short: (r,) lists that end too early for the ranking to be final; once there are none, it
            is, and holds as many candidates as were wanted or all there are.
        takers: (k,) which query example took each of the candidates; empty where none takes.
    """

    candidates: IntArray
    short: IntArray
    takers: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))


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
    order = id_order(keys[listed], best[listed])[:size]
    ends = lists.distances[lists.offsets[1:] - 1]
    return Ranked(listed[order], np.flatnonzero(~lists.complete & (ends < reach)))


def scores_of(lists: NeighborLists, seen: int, scales: FloatArray) -> FloatArray:
    """(seen,) the largest score of each candidate in any list; -inf where none has it.

    Args:
        lists: by chords sqrt(2 - 2 s) of cosines s.
        seen: how many candidates are numbered.
        scales: (M,) what a cosine is multiplied with to be a score.
    """
    best = np.full(seen, -np.inf)
    np.maximum.at(best, lists.candidates, _scores(lists, scales))
    return best


def _scores(lists: NeighborLists, scales: FloatArray) -> FloatArray:
    scores: FloatArray = scales[lists.query_of_entry] * (1.0 - np.square(lists.distances) / 2.0)
    return scores


def highest_of_any(lists: NeighborLists, keys: KeyArray, size: int, scales: FloatArray) -> Ranked:
    """The ``size`` candidates with the largest score in any list; see :func:`scores_of`."""
    below = float(scales.max()) - _scores(lists, scales)
    return nearest_to_any(replace(lists, distances=below), keys, size)


def round_robin(lists: NeighborLists, size: int) -> Ranked:
    """The ``size`` candidates that the query examples take, each in turn its nearest one left."""
    starts, ends = lists.offsets[:-1].tolist(), lists.offsets[1:].tolist()
    position = list(starts)
    taken = np.zeros(int(lists.candidates.max()) + 1, dtype=np.bool_)
    order: list[int] = []
    takers: list[int] = []
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
                takers.append(row)
            elif not lists.complete[row]:
                used = (np.array(position) - starts) * 2 >= lists.depths
                short = np.flatnonzero(used & ~lists.complete)
                break
        going = [row for row in going if position[row] < ends[row]]
    return Ranked(np.array(order, dtype=np.int64), short, np.array(takers, dtype=np.int64))


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


def nearest_to_exact(
    lists: NeighborLists,
    keys: KeyArray,
    size: int,
    *,
    exact: Callable[[IntArray], FloatArray],
    off: float,
    chords: bool,
) -> Ranked:
    """The ``size`` candidates nearest to a query example that was searched for in rounded form.

    Args:
        lists: one list, that of the rounded example.
        keys: (N, 3) id keys of the candidates.
        size: how many.
        exact: (c,) distances of candidates (c,) to the example itself.
        off: length of what rounding changed; two distances of a candidate differ by no more.
        chords: distances follow from products p, as sqrt(2 - 2 p); then these differ by no more.
    """
    listed, ends = lists.candidates, lists.distances
    distances = exact(listed)
    order = id_order(keys[listed], distances)[:size]
    reach = np.inf
    if len(order) == size:
        farthest = float(distances[order[-1]])
        off += UNIT_SLACK
        reach = math.sqrt(farthest**2 + 2 * off) if chords else farthest * (1 + UNIT_SLACK) + off
    short = ~lists.complete & (ends[-1] <= reach)
    return Ranked(listed[order], np.flatnonzero(short))


def mean_example(queries: Float32Array, weights: FloatArray, metric: Geometry) -> Float32Array:
    """(1, D) the one query example whose nearest candidates rank as the mean over all does.

    The mean of cosines with unit vectors is the product with their mean; the mean of squared
    Euclidean distances differs by a constant from the squared distance to the mean.

    Args:
        queries: (M, D).
        weights: (M,) sum 1.
        metric: the collection's geometry.

    Raises:
        UnsupportedCollectionError: Manhattan, whose mean distance is none to a single vector.
        InputError: the task examples cancel each other out.
    """
    if metric == "Manhattan":
        raise UnsupportedCollectionError(
            "the strategy 'similarity-mean' cannot rank by the metric Manhattan, whose mean "
            "distance is that to no single vector; use similarity-max or round-robin"
        )
    rows = queries.astype(np.float64)
    if metric in ("Cosine", "Dot"):
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    mean = weights @ rows
    if metric != "Euclid":
        length = float(np.linalg.norm(mean))
        if length < SHORTEST_MEAN:
            raise InputError(
                f"the mean of {len(rows)} task examples has length {length:.1g}, so the strategy "
                f"'similarity-mean' has no direction to look in; use similarity-max"
            )
        mean /= length
    single: Float32Array = mean[None, :].astype(np.float32)
    return single
