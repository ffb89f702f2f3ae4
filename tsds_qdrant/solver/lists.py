"""Neighbour lists: for every query example its nearest candidates, nearest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import BoolArray, FloatArray, IntArray
from tsds_qdrant.errors import InputError


@dataclass(frozen=True)
class NeighborLists:
    """M lists, one after the other (compressed sparse rows).

    Attributes:
        offsets: (M + 1,) list i is ``offsets[i]:offsets[i + 1]``.
        candidates: (n,) candidate numbers 0, 1, ..; no candidate twice in one list.
        distances: (n,) ascending inside each list.
        complete: (M,) whether the list holds every candidate there is.
    """

    offsets: IntArray
    candidates: IntArray
    distances: FloatArray
    complete: BoolArray

    def __post_init__(self) -> None:
        if len(self.offsets) < 2:
            raise InputError("there is no query example; give at least one")
        lengths = np.diff(self.offsets)
        if (lengths < 1).any():
            raise InputError(
                f"query example {int(np.argmin(lengths))} has no candidate; "
                f"is the collection empty, or the filter too narrow?"
            )
        bad = ~(np.isfinite(self.distances) & (self.distances >= 0))
        if bad.any():
            raise InputError(
                f"a distance is {self.distances[bad][0]:g}; distances are finite and not "
                f"negative, so repair the vectors"
            )
        falls = np.diff(self.distances) < 0
        falls[self.offsets[1:-1] - 1] = False
        if falls.any():
            row = int(np.searchsorted(self.offsets, np.argmax(falls), side="right")) - 1
            raise InputError(f"the list of query example {row} is not sorted by distance")

    @classmethod
    def from_rows(
        cls,
        candidates: Sequence[npt.ArrayLike],
        distances: Sequence[npt.ArrayLike],
        complete: bool | npt.ArrayLike = False,
    ) -> NeighborLists:
        """Lists given row by row: M arrays of candidate numbers and M arrays of distances.

        Raises:
            InputError: no row, an empty row, rows that differ in length, or distances that are
                not ascending.
        """
        rows = [np.asarray(row, dtype=np.int64) for row in candidates]
        if not rows:
            raise InputError("there is no query example; give at least one")
        lengths = [len(row) for row in rows]
        if lengths != [len(np.asarray(row)) for row in distances]:
            raise InputError(
                f"{sum(lengths)} candidates in {len(rows)} rows do not fit the distances; "
                f"give one distance for each candidate of each row"
            )
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(
            offsets,
            np.concatenate(rows),
            np.concatenate([np.asarray(row, dtype=np.float64) for row in distances]),
            np.broadcast_to(np.asarray(complete, dtype=np.bool_), (len(rows),)).copy(),
        )

    @property
    def queries(self) -> int:
        """M, the number of query examples."""
        return len(self.offsets) - 1

    @property
    def depths(self) -> IntArray:
        """(M,) how many candidates each list holds."""
        return np.diff(self.offsets)

    @property
    def level(self) -> bool:
        """Whether all candidates of each list are equally far."""
        first, last = self.distances[self.offsets[:-1]], self.distances[self.offsets[1:] - 1]
        return bool((first == last).all())

    @property
    def query_of_entry(self) -> IntArray:
        """(n,) which list each entry stands in."""
        return np.repeat(np.arange(self.queries), self.depths)
