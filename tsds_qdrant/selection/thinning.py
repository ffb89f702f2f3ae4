"""Best first, and near-duplicates thinned out: the order of the sampler ``thinned``.

A candidate is worth the mass of its neighbourhood, p_j density_j, as far as nobody stands for that
yet. The most valuable is taken; to each candidate k within the bandwidth of it then goes the less,
by the kernel of the densities:

    gain_k = p_k density_k max(0, 1 - sum over the taken j of K(dist(x_j, x_k)))

Of m exact copies, which share their mass, one comes where a single candidate of that mass would,
and the others come last. Candidates of equal gain are ordered by the weight in front of them in
the list of a task example, so that the r-th nearest ones of all examples come before the next.
"""

from __future__ import annotations

import heapq

import numpy as np

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.collections.ids import KeyArray, id_order
from tsds_qdrant.strategies.likeness import Likeness

DIGITS = 3
"""Of logarithms and weights. What differs less is equal and keeps its order by the rest, so that
neither rounding nor a small change of the pool decides."""
LEAST = 1e-9
"""What part of itself a candidate keeps for whom others stand wholly."""


def thinned(likeness: Likeness, keys: KeyArray) -> IntArray:
    """(c,) places of all candidates, best first; the first n are the selection of n.

    Args:
        likeness: of c candidates, all of positive mass.
        keys: (c, 3) their id keys, which decide where all else is equal.
    """
    base = np.round(np.log(likeness.masses), DIGITS)
    entered = np.round(likeness.entered, DIGITS)
    order = id_order(keys, -base, entered)
    if not len(likeness.members):
        return order
    # Gains only fall, so one that is up to date at the top of the heap is the largest.
    second = np.empty(len(order), dtype=np.int64)
    second[id_order(keys, entered)] = np.arange(len(order))
    worth, left = -base, np.ones(len(order))
    heap = list(zip(worth[order].tolist(), second[order].tolist(), order.tolist(), strict=True))
    offsets = likeness.offsets.tolist()
    taken = []
    while heap:
        known, turn, place = heap[0]
        now = float(worth[place])
        if now > known:
            heapq.heapreplace(heap, (now, turn, place))
            continue
        heapq.heappop(heap)
        taken.append(place)
        part = slice(offsets[place], offsets[place + 1])
        if part.start < part.stop:
            near = likeness.members[part]
            left[near] -= likeness.shares[part]
            loss = np.round(np.log(np.maximum(left[near], LEAST)), DIGITS)
            worth[near] = -(base[near] + loss)
    return np.array(taken, dtype=np.int64)
