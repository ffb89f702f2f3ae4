"""Points of a selection, read by their candidate numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Record
from tsds_qdrant.pool.pool import VECTOR_PAGE, as_directions
from tsds_qdrant.pool.texts import text_of
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.report.shares import Weighed
from tsds_qdrant.selection.selection import Selection

WEIGHED_POINTS = 10_000
"""Payloads of at most this many candidates are read for the shares; of more, a seeded sample."""


@dataclass(frozen=True)
class PointReader:
    """Reads points of ``selection`` that are still stored in ``collection``."""

    collection: Collection
    selection: Selection
    template: TextTemplate

    def records(
        self, rows: Sequence[int], *, payloads: bool = True, vectors: bool = False
    ) -> dict[int, Record]:
        """The points of ``rows``."""
        rows_of = {self.selection.ids[row]: row for row in rows}
        stored = self.collection.retrieve(list(rows_of), payloads=payloads, vectors=vectors)
        unit = as_directions(stored, self.selection.collection)
        return {rows_of[record.id]: record for record in unit}

    def texts(self, rows: Iterable[int]) -> dict[int, str]:
        """Their texts."""
        found = self.records(sorted(rows))
        return {row: self.text(record) for row, record in found.items()}

    def text(self, record: Record) -> str:
        """The text of a point."""
        return text_of(record.content, self.template)

    def vectors(self, rows: IntArray) -> tuple[IntArray, Float32Array]:
        """Which of ``rows`` have a vector, and (n, D) these vectors."""
        pages = [np.empty((0, self.selection.collection.dimension), dtype=np.float32)]
        kept: list[int] = []
        for start in range(0, len(rows), VECTOR_PAGE):
            page = rows[start : start + VECTOR_PAGE].tolist()
            for row, record in self.records(page, payloads=False, vectors=True).items():
                if record.vector is not None:
                    kept.append(row)
                    pages.append(record.vector[None, :])
        return np.array(kept, dtype=np.int64), np.concatenate(pages)

    def weighed(self, rows: IntArray, shares: FloatArray) -> Weighed:
        """Payloads of ``rows`` with their ``shares``, or of a seeded sample of many rows."""
        if len(rows) > WEIGHED_POINTS:
            rng = np.random.default_rng(self.selection.settings.wanted.seed)
            drawn = rng.choice(len(rows), size=WEIGHED_POINTS, p=shares)
            places, times = np.unique(drawn, return_counts=True)
            rows, shares = rows[places], times / WEIGHED_POINTS
        records = self.records(rows.tolist())
        return [
            (records[row].content, share)
            for row, share in zip(rows.tolist(), shares.tolist(), strict=True)
            if row in records
        ]
