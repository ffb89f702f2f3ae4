"""Pairs of candidates that are each other's neighbours, or that one search alone has found."""

from __future__ import annotations

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.neighbors.vicinities import Vicinities
from tsds_qdrant.solver.density import kernel

WELL_WITHIN = 0.99
"""Pairs up to this part of the bandwidth: nearer to it, rounding may decide who finds whom."""


def near_pairs(vicinities: Vicinities, count: int, candidates: IntArray) -> IntArray:
    """(e, 2) pairs of places among ``candidates`` (c,), of known density, within the bandwidth.

    Each pair stands there in both orders; ``count`` is the number of candidates seen.
    """
    one, other, _ = _found_near(vicinities, count, candidates)
    # An approximate search may have found only one of two that are near each other.
    pairs: IntArray = np.unique(np.stack([np.r_[one, other], np.r_[other, one]], axis=1), axis=0)
    return pairs


def around(
    vicinities: Vicinities, count: int, candidates: IntArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """Which of ``candidates`` (c,), of known density, lie around each of them, and how near.

    Returns:
        (c + 1,) offsets, (e,) places among the candidates, and (e,) values of the kernel.
    """
    one, other, distances = _found_near(vicinities, count, candidates)
    near = kernel(distances, vicinities.bandwidth)
    kept = near > 0
    offsets = np.r_[0, np.cumsum(np.bincount(one[kept], minlength=len(candidates)))]
    return offsets, other[kept], near[kept]


def _found_near(
    vicinities: Vicinities, count: int, candidates: IntArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """(e,) places among ``candidates`` (c,), (e,) those of others found near, and distances."""
    row_of = np.full(count, -1, dtype=np.int64)
    row_of[candidates] = np.arange(len(candidates))
    places = [vicinities.places[k] for k in vicinities.place_of[candidates].tolist()]
    one = np.repeat(np.arange(len(candidates)), [len(place.members) for place in places])
    other = row_of[np.concatenate([place.members for place in places])]
    distances = np.concatenate([place.distances for place in places])
    kept = (other >= 0) & (other != one)
    return one[kept], other[kept], distances[kept]


def one_sided(vicinities: Vicinities) -> list[int]:
    """Places that lack a candidate whose own neighbours they are: a walk has missed it."""
    at, count = vicinities.place_of, len(vicinities.densities)
    owners = np.flatnonzero(at >= 0)
    if not len(owners):
        return []
    around = [vicinities.places[place] for place in at[owners].tolist()]
    one = np.repeat(owners, [len(place.members) for place in around])
    other = np.concatenate([place.members for place in around])
    distances = np.concatenate([place.distances for place in around])
    kept = (at[other] >= 0) & (distances <= WELL_WITHIN * vicinities.bandwidth)
    one, other = one[kept], other[kept]
    lost = ~np.isin(other * count + one, one * count + other)
    places = np.unique(at[other[lost]]).tolist()
    return [place for place in places if vicinities.places[place].whole]
