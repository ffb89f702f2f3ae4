"""Places where candidates lie, and densities summed over the neighbours of a place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import BoolArray, Float32Array, FloatArray, IntArray
from tsds_qdrant.solver.density import densities_of, kernel


@dataclass
class Vicinity:
    """The neighbours of one place.

    Attributes:
        vector: (D,) the place, as stored.
        members: (n,) candidate numbers within the bandwidth, nearest first.
        distances: (n,) their distances.
        whole: whether all of them are here; otherwise the limit was met.
    """

    vector: Float32Array
    members: IntArray
    distances: FloatArray
    whole: bool


def densities_at(
    places: Sequence[Vicinity], candidates: IntArray, bandwidth: float, excluded: BoolArray
) -> FloatArray:
    """(n,) densities of ``candidates`` (n,), each lying at its place.

    Members that are ``excluded`` (by candidate number) do not count.

    *subtle*: values are summed nearest first, without the first of those as near as the candidate
    itself: so copies, and the same place after a repair, have the same density to the last bit.
    """
    members, distances, owner = _side_by_side(places)
    if excluded.any():
        kept = ~excluded[members]
        members, distances, owner = members[kept], distances[kept], owner[kept]
    first_tied = np.flatnonzero(
        np.r_[True, (owner[1:] != owner[:-1]) | (distances[1:] != distances[:-1])][: len(owner)]
    )
    own = np.flatnonzero(members == candidates[owner])
    is_self = np.zeros(len(owner), dtype=np.bool_)
    is_self[first_tied[np.searchsorted(first_tied, own, side="right") - 1]] = True
    counts = np.bincount(owner, minlength=len(places))
    return densities_of(distances, counts, is_self, bandwidth)


def foresee(
    guesses: FloatArray, places: Sequence[Vicinity], densities: FloatArray, bandwidth: float
) -> None:
    """Raise the ``guesses`` (candidates,) of densities around ``places`` of known ``densities``.

    A guess is the density of a neighbour times the kernel's value between them: where copies come
    by the hundred, those that were not asked about yet will have about as many neighbours.
    """
    members, distances, owner = _side_by_side(places)
    np.fmax.at(guesses, members, densities[owner] * kernel(distances, bandwidth))


def _side_by_side(places: Sequence[Vicinity]) -> tuple[IntArray, FloatArray, IntArray]:
    """(n,) members, distances and numbers of the ``places``, one place after the other."""
    members = np.concatenate([np.empty(0, np.int64), *(place.members for place in places)])
    distances = np.concatenate([np.empty(0), *(place.distances for place in places)])
    counts = [len(place.members) for place in places]
    return members, distances, np.repeat(np.arange(len(places)), counts)
