"""Rows of a gradient store as a representation: they were computed elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.representations.base import Encoded, Examples, Kind, OnBatch, Plain
from tsds_qdrant.representations.stores.bergson import BergsonStore


class StoreRows(Plain):
    """Rows of a store, by their numbers.

    Args:
        store: the directory of a gradient store of bergson.
        unit: rows are scaled to length 1.
        name: of the space.

    Raises:
        InputError: there is no such store.
    """

    kind: Kind = "dense"
    metric = "Dot"

    def __init__(self, store: str, *, unit: bool = True, name: str = "bergson") -> None:
        self.name = name
        self._store = BergsonStore.open(store, unit=unit)

    def __len__(self) -> int:
        return len(self._store)

    @property
    def dimension(self) -> int:
        """D, the values of a row."""
        return self._store.dimension

    def manifest(self) -> dict[str, Any]:
        """What the store says of its values."""
        return {"kind": "bergson", "store": self._store.manifest()}

    def candidates(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        """The rows of these numbers.

        Raises:
            InputError: the store cannot be read.
        """
        numbers = np.asarray(examples, dtype=np.int64)
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        rows = np.empty((len(numbers), self.dimension), dtype=np.float32)
        status: list[str] = [""] * len(numbers)
        bounds = [0, *(np.flatnonzero(np.diff(ordered) != 1) + 1).tolist(), len(ordered)]
        for start, stop in pairwise(bounds):
            if start < stop:
                found = self._store.encoded(int(ordered[start]), int(ordered[stop - 1]) + 1)
                _put(rows, status, order[start:stop].tolist(), found)
        if on_batch:
            on_batch(len(numbers))
        return Encoded(rows, status)

    def targets(self, examples: Examples, on_batch: OnBatch | None = None) -> NoReturn:
        """Not possible: the store's projection is not ours.

        Raises:
            SettingsError: always.
        """
        raise SettingsError(
            f"task examples cannot become vectors '{self.name}', which were computed elsewhere; "
            f"compute theirs there too, and give them as .npy"
        )


def _put(rows: Any, status: list[str], places: Sequence[int], found: Encoded) -> None:
    rows[places] = found.rows
    for place, word in zip(places, found.status, strict=True):
        status[place] = word
