"""What TAROT knows: neighbour lists, and how far some candidates are from every task example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.ids import id_order, point_ids, point_keys
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.neighbors.knowledge import NeighborKnowledge
from tsds_qdrant.neighbors.measure import distances_to
from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.pool.pool import vectors_of
from tsds_qdrant.task.task import Task

GRID = 2.0**22
"""Distances are rounded to multiples of 1 / this, so that the other rows of a matrix product, which
move the last bits, make no difference; under metrics with a size, of that of the task examples."""


@dataclass
class CostKnowledge(NeighborKnowledge):
    """Lists, and distances that these lack: of members of a set to every task example.

    Attributes:
        costs: id -> (M,) distances.
        orders: what followed from a set of candidates, by its keys; not stored.
    """

    costs: dict[PointId, Float32Array] = field(default_factory=dict)
    orders: dict[bytes, FloatArray] = field(default_factory=dict)

    def by_id(self, candidates: IntArray) -> IntArray:
        """``candidates`` in the order of their ids."""
        ordered: IntArray = candidates[id_order(self.index.keys[candidates])]
        return ordered

    @property
    def grid(self) -> float:
        """Distances are multiples of this power of 2."""
        if self.searcher.info.metric in ("Cosine", "Dot"):
            return 1.0 / GRID
        longest = float(np.linalg.norm(self.queries, axis=1).max())
        return float(2.0 ** np.floor(np.log2(longest or 1.0))) / GRID

    def learn(self, candidates: IntArray) -> None:
        """Find the distances of ``candidates`` (c,) to all task examples.

        Raises:
            UnsupportedCollectionError: one of them has no vector any more.
        """
        ids = self.index.ids(candidates.tolist())
        missing = [point_id for point_id in ids if point_id not in self.costs]
        if not missing:
            return
        searcher = self.searcher
        rows = vectors_of(searcher.collection, missing, searcher.info)
        found = distances_to(searcher, self.queries, missing, rows)
        found[~np.isfinite(found)] = found[np.isfinite(found)].max(initial=0.0)  # gone meanwhile
        found = np.rint(found / self.grid) * self.grid
        self.costs.update(zip(missing, found.T.astype(np.float32), strict=True))

    def cost(self, candidates: IntArray) -> FloatArray:
        """(c, M) distances of ``candidates``, found where they are not known."""
        self.learn(candidates)
        rows = [self.costs[one] for one in self.index.ids(candidates.tolist())]
        cost: FloatArray = np.array(rows, dtype=np.float64).reshape(-1, len(self.queries))
        return cost

    @property
    def extent(self) -> tuple[int, ...]:
        """As of lists, and how many distances are known beside them."""
        return (*super().extent, len(self.costs))

    def update(self, came: Sequence[PointId], gone: Sequence[PointId]) -> RepairReport:
        """Repair lists, and forget the distances of what changed."""
        for point_id in (*came, *gone):
            self.costs.pop(point_id, None)
        if came or gone:
            self.orders.clear()
        return super().update(came, gone)

    def retarget(self, task: Task) -> None:
        """Take other task examples; distances to them are found again."""
        self.costs.clear()
        self.orders.clear()
        super().retarget(task)

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """As of lists, and the distances."""
        facts, arrays = super().stored()
        rows = list(self.costs.values())
        return facts, {
            **arrays,
            "cost_keys": point_keys(list(self.costs)),
            "cost_rows": np.array(rows, dtype=np.float32).reshape(-1, len(self.queries)),
        }

    @classmethod
    def taken_up(cls, known: NeighborKnowledge, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
        """``known`` with the distances that :meth:`stored` gave.

        Raises:
            KeyError: they are missing.
        """
        costs = dict(zip(point_ids(arrays["cost_keys"]), arrays["cost_rows"], strict=True))
        return cls(known.neighborhoods, known.query_weights, costs=costs)
