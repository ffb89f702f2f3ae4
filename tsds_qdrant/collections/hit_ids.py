"""Ids of hits, each kept once: near-copies are found by the hundred, by each of them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np

from tsds_qdrant.arrays import BoolArray, IntArray
from tsds_qdrant.collections.values import PointId

DENSE = 8
"""From one place in that many on, all that there are get a mark each: cheaper than sorting."""


class HitIds(Sequence[PointId]):
    """The ids of n hits.

    Args:
        own: (m,) ids, each once; some may belong to no hit.
        places: (n,) which of them each hit has.
    """

    def __init__(self, own: list[PointId], places: IntArray) -> None:
        self._own = own
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[PointId]:
        return map(self._own.__getitem__, self._places.tolist())

    @overload
    def __getitem__(self, place: int) -> PointId: ...
    @overload
    def __getitem__(self, place: slice) -> list[PointId]: ...
    def __getitem__(self, place: int | slice) -> PointId | list[PointId]:
        if isinstance(place, slice):
            return [self._own[k] for k in self._places[place].tolist()]
        return self._own[int(self._places[place])]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def only(self, kept: BoolArray) -> HitIds:
        """The ids of the hits whose entry of ``kept`` (n,) is true."""
        return HitIds(self._own, self._places[kept])

    def numbers(self, numbered: Callable[[list[PointId]], IntArray]) -> IntArray:
        """(n,) what ``numbered`` gives for the ids; it is asked for each that is there once."""
        some, back = used(self._places, len(self._own))
        return numbered([self._own[k] for k in some.tolist()])[back]


def used(places: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """Which of ``size`` are among the ``places`` (n,), ascending, and (n,) where in these."""
    if len(places) <= size // DENSE:
        some, back = np.unique(places, return_inverse=True)
        return some, back
    there = np.zeros(size, dtype=np.bool_)
    there[places] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[places]
