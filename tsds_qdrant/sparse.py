"""Sparse vectors: many rows of (index, value) pairs in three arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tsds_qdrant.arrays import Float32Array, IntArray
from tsds_qdrant.errors import InputError

HIGHEST_INDEX = 2**32 - 1


@dataclass(frozen=True)
class SparseRows:
    """Rows of a sparse matrix, as in Qdrant's documentation, "Vectors", "Sparse vectors".

    Attributes:
        offsets: (n + 1,) where each row begins in the other two; starts at 0 and ends at m.
        indices: (m,) from 0 to 2^32 - 1, each at most once in a row.
        values: (m,) float32 weights, of either sign.
    """

    offsets: IntArray
    indices: IntArray
    values: Float32Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """(n,) number of entries of each row."""
        return np.diff(self.offsets)

    @classmethod
    def of(cls, rows: Sequence[Mapping[int, float]]) -> SparseRows:
        """Rows from one mapping of index to value each."""
        lengths = [len(row) for row in rows]
        pairs = [pair for row in rows for pair in row.items()]
        return cls(
            np.cumsum([0, *lengths], dtype=np.int64),
            np.array([index for index, _ in pairs], dtype=np.int64),
            np.array([value for _, value in pairs], dtype=np.float32),
        )

    def part(self, start: int, stop: int) -> SparseRows:
        """The rows from ``start`` up to ``stop``, which is not one of them."""
        offsets = self.offsets[start : stop + 1]
        entries = slice(int(offsets[0]), int(offsets[-1]))
        return SparseRows(offsets - offsets[0], self.indices[entries], self.values[entries])

    def take(self, rows: Sequence[int]) -> SparseRows:
        """The ``rows`` of these numbers, in that order."""
        bounds = [(int(self.offsets[row]), int(self.offsets[row + 1])) for row in rows]
        entries = np.concatenate(
            [np.empty(0, np.int64), *(np.arange(start, stop) for start, stop in bounds)]
        )
        offsets = np.cumsum([0, *(stop - start for start, stop in bounds)], dtype=np.int64)
        return SparseRows(offsets, self.indices[entries], self.values[entries])

    def mean(self) -> SparseRows:
        """One row, the mean of all of them, with its indices in order; they are at least one."""
        indices, place = np.unique(self.indices, return_inverse=True)
        sums = np.bincount(place, weights=self.values, minlength=len(indices))
        values = (sums / len(self)).astype(np.float32)
        return SparseRows(np.array([0, len(indices)]), indices, values)

    def pairs(self) -> Iterator[tuple[list[int], list[float]]]:
        """Indices and values of each row as plain lists."""
        bounds = self.offsets.tolist()
        for start, stop in pairwise(bounds):
            yield self.indices[start:stop].tolist(), self.values[start:stop].tolist()


def checked_sparse(rows: SparseRows, *, what: str = "vector") -> SparseRows:
    """``rows`` as int64 and float32 arrays.

    Raises:
        InputError: arrays that do not belong together, an index out of range or twice in a row,
            or a value that is NaN, infinite or too large for float32.
    """
    offsets = np.asarray(rows.offsets, dtype=np.int64)
    indices = np.asarray(rows.indices, dtype=np.int64)
    with np.errstate(over="ignore"):
        values = np.asarray(rows.values, dtype=np.float32)
    if (
        not (offsets.ndim == indices.ndim == values.ndim == 1 and len(offsets))
        or (offsets[0], offsets[-1]) != (0, len(indices))
        or len(indices) != len(values)
        or (np.diff(offsets) < 0).any()
    ):
        raise InputError(
            f"{len(indices)} indices, {len(values)} values and offsets up to "
            f"{offsets[-1] if offsets.size else 'nothing'} make no sparse rows; give each row's "
            f"beginning, and one value for each index"
        )
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((indices, owner))
    again = np.zeros(len(indices), dtype=np.bool_)
    again[order[1:]] = (np.diff(indices[order]) == 0) & (np.diff(owner[order]) == 0)
    for bad, fault in (
        ((indices < 0) | (indices > HIGHEST_INDEX), "an index outside 0 to 2^32 - 1"),
        (again, "an index twice"),
        (~np.isfinite(values), "NaN, infinity or a number too large for float32"),
    ):
        if bad.any():
            entry = int(np.argmax(bad))
            raise InputError(
                f"{what} {int(owner[entry])} holds {fault} (index {int(indices[entry])}); "
                f"remove or repair that row"
            )
    return SparseRows(offsets, indices, values)
