"""Points of an embedded collection whose vectors are in memory, or mapped into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tsds_qdrant.arrays import Float32Array, IntArray
from tsds_qdrant.collections.distance import normalized
from tsds_qdrant.collections.edge.compared import Compared
from tsds_qdrant.collections.edge.devices import device_for, products_on
from tsds_qdrant.collections.edge.products import Products
from tsds_qdrant.collections.edge.ranking import Ranked
from tsds_qdrant.collections.edge.scan import PAIRS, Scan
from tsds_qdrant.collections.hits import Hits, within
from tsds_qdrant.collections.ids import taken
from tsds_qdrant.collections.scanning import CPU
from tsds_qdrant.collections.values import Geometry, PointId


@dataclass(frozen=True)
class LoadedVectors:
    """Points that can be scanned.

    Attributes:
        ids: (n,) their ids.
        matrix: (m, D) vectors, of unit length under Cosine.
        metric: Cosine, Dot, Product (all of unit length, but for rounding) or Euclid.
        rows: (n,) where in ``matrix`` the vector of each is; None if it is (n, D) and in order.
        device: what computes products; see :class:`~..scanning.Scanning`.
        release: gives memory back that mapped rows take; None where they are to stay.
    """

    ids: Sequence[PointId]
    matrix: Float32Array
    metric: Geometry
    rows: IntArray | None = None
    device: str = CPU
    release: Callable[[], None] | None = None

    def search(
        self,
        queries: Float32Array,
        limit: int,
        max_distance: float | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Hits:
        """The ``limit`` nearest points of every row of ``queries`` (B, D); see Collection."""
        rows, limit = normalized(queries, self.metric), min(limit, len(self.ids))
        scan = Scan(self.compared, self._products(rows.size))
        step = max(1, len(rows) if max_distance is not None else PAIRS // max(1, 2 * limit))
        found: list[Ranked] = []
        for start in range(0, len(rows) if limit else 0, step):
            found += scan.nearest(rows[start : start + step], limit, max_distance, on_batch)
        found = found or [(np.empty(0, np.int64), np.empty(0))] * len(rows)
        places = np.concatenate([np.empty(0, np.int64), *(places for places, _ in found)])
        scores = np.concatenate([np.empty(0), *(scores for _, scores in found)])
        counts = np.array([len(places) for places, _ in found], dtype=np.int64)
        hits = Hits.of_scores(taken(self.ids, places), scores, counts, self.metric)
        return within(hits, max_distance)

    @cached_property
    def compared(self) -> Compared:
        """The points without their ids."""
        rows = np.arange(len(self.ids)) if self.rows is None else self.rows
        return Compared(self.matrix, self.metric, rows, self.release)

    def _products(self, numbers: int) -> Products:
        """What computes products with queries of that many ``numbers``."""
        device = device_for(self.device, len(self.ids) * numbers)
        if device not in self._known:
            self._known[device] = products_on(device)
        return self._known[device]

    @cached_property
    def _known(self) -> dict[str, Products]:
        return {}
