"""Ids of hits, each kept once: near-copies are found by the hundred, by each of them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np

from tsds_qdrant.arrays import BoolArray, IntArray
from tsds_qdrant.collections.values import PointId


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
        """(n,) what ``numbered`` gives for the ids; asked once for each, in the order of hits."""
        count = len(self._places)
        first = np.full(len(self._own), count)
        first[self._places[::-1]] = np.arange(count)[::-1]  # the last to be written is the first
        some = np.argsort(first, kind="stable")[: np.count_nonzero(first < count)]
        found = np.empty(len(self._own), dtype=np.int64)
        found[some] = numbered([self._own[k] for k in some.tolist()])
        return found[self._places]
