"""What most strategies know: neighbour lists of the task examples, and how to repair them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.ids import PointIndex, point_ids
from tsds_qdrant.collections.values import FLOAT32, PointId
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.repair import RepairReport, repair
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.stored import from_arrays, to_arrays
from tsds_qdrant.task.task import Task


@dataclass
class NeighborKnowledge:
    """Neighbourhoods of a task's examples, and the weights of these.

    Attributes:
        neighborhoods: lists and densities, as far as they are fetched.
        query_weights: (M,) sum 1.
    """

    neighborhoods: Neighborhoods
    query_weights: FloatArray

    @property
    def queries(self) -> Float32Array:
        """(M, D) vectors of the task examples."""
        return self.neighborhoods.queries

    @property
    def searcher(self) -> Searcher:
        """Runs the searches."""
        return self.neighborhoods.searcher

    @property
    def index(self) -> PointIndex:
        """Numbers of all candidates seen."""
        return self.neighborhoods.index

    @property
    def pool(self) -> int:
        """How many candidates there are, without the excluded."""
        return self.neighborhoods.pool

    @property
    def extent(self) -> tuple[int, ...]:
        """How many list entries, densities and excluded candidates are known."""
        near = self.neighborhoods
        densities = np.count_nonzero(~np.isnan(near.densities))
        return int(near.depths.sum()), int(densities), int(near.excluded.sum())

    def exclude(self, candidates: IntArray) -> None:
        """Count exactly ``candidates`` as deleted from now on.

        Raises:
            InputError: nothing is left.
        """
        self.neighborhoods.set_excluded(candidates)

    def used(self) -> list[PointId]:
        """Points in lists and vicinities."""
        return self.index.ids(range(len(self.index)))

    def moved(self) -> tuple[list[PointId], int]:
        """Points of known density whose stored vector is another one now, and how many are."""
        return self.neighborhoods.moved()

    def update(self, came: Sequence[PointId], gone: Sequence[PointId]) -> RepairReport:
        """Repair lists and densities."""
        return repair(self.neighborhoods, came, gone)

    def retarget(self, task: Task) -> None:
        """Take other task examples; those that are known already keep their lists."""
        self.neighborhoods.replace_queries(task.vectors)
        self.query_weights = task.weights

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Facts and arrays for :meth:`resumed`."""
        facts = {**self.searcher.walked(), "scanner": _scanner(self.searcher)}
        excluded = self.index.keys[self.neighborhoods.excluded]
        arrays = {"query_weights": self.query_weights, "excluded_keys": excluded}
        return facts, {**arrays, **to_arrays(self.neighborhoods)}

    @staticmethod
    def resumed(
        searcher: Searcher,
        facts: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],
        *,
        density_limit: int = 100_000,
    ) -> tuple[Neighborhoods, FloatArray]:
        """Neighbourhoods and weights from what :meth:`stored` gave.

        Raises:
            KeyError: a part is missing.
        """
        searcher.walk_as(facts, int(arrays["list_fetched"].max(initial=0)) + 1)
        near = from_arrays(searcher, arrays, density_limit=density_limit)
        if _scanner(searcher) != facts.get("scanner", "qdrant"):
            near.forget()  # distances of two scanners must not be mixed
        excluded = point_ids(arrays.get("excluded_keys", np.empty((0, 3), dtype=np.uint64)))
        if excluded:
            near.set_excluded(near.index.numbers(excluded))
        return near, arrays["query_weights"]


def _scanner(searcher: Searcher) -> str:
    """What computed the distances, and from numbers of which kind where they are not float32."""
    info = searcher.info
    return info.scanner if info.datatype == FLOAT32 else f"{info.scanner} {info.datatype}"
