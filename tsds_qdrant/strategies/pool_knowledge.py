"""What strategies know that look at every candidate: the ids of the whole pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import BoolArray, Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.ids import PointIndex, point_ids
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import InputError
from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.task.task import Task


class PoolKnowledge:
    """All candidates of a pool, by number.

    Args:
        searcher: knows the pool; it need not search.
        queries: (M, D) vectors of the task examples.
        query_weights: (M,) sum 1.

    Attributes:
        searcher, queries, query_weights: as given.
        index: numbers of all candidates seen.
    """

    def __init__(
        self, searcher: Searcher, queries: Float32Array, query_weights: FloatArray
    ) -> None:
        self.searcher = searcher
        self.queries = queries
        self.query_weights = query_weights
        self.index = PointIndex()
        self._left: set[int] = set()

    @classmethod
    def begin(cls, searcher: Searcher, task: Task) -> Any:
        """Read the ids of the pool."""
        known = cls(searcher, task.vectors, task.weights)
        known.read()
        return known

    @classmethod
    def resume(
        cls, searcher: Searcher, facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> Any:
        """What :meth:`stored` gave.

        Raises:
            KeyError: a part is missing.
        """
        known = cls(searcher, arrays["queries"], arrays["query_weights"])
        known.index.numbers(point_ids(arrays["pool_keys"]))
        excluded = point_ids(arrays["excluded_keys"])
        known.index.excluded[known.index.numbers(excluded)] = True
        return known

    def read(self) -> None:
        """Number the pool from scratch, in the order of its ids."""
        self.index, self._left = PointIndex(), set()
        for page in self.searcher.members.pages():
            self.index.numbers(page)

    @property
    def present(self) -> BoolArray:
        """(n,) which of the candidates seen are stored."""
        stored = np.ones(len(self.index), dtype=np.bool_)
        stored[list(self._left)] = False
        return stored

    @property
    def candidates(self) -> IntArray:
        """(c,) numbers of the candidates there are, without the excluded."""
        return np.flatnonzero(self.present & ~self.index.excluded)

    @property
    def pool(self) -> int:
        """How many candidates there are, without the excluded."""
        return len(self.candidates)

    @property
    def extent(self) -> tuple[int, ...]:
        """How many candidates are known and excluded."""
        return len(self.index), int(self.index.excluded.sum())

    def exclude(self, candidates: IntArray) -> None:
        """Count exactly ``candidates`` as deleted from now on.

        Raises:
            InputError: nothing is left.
        """
        self.index.excluded[:] = False
        self.index.excluded[candidates] = True
        if len(candidates) and not self.pool:
            raise InputError(
                f"all {len(candidates)} candidates are excluded; ingest others, or exclude less"
            )

    def used(self) -> list[PointId]:
        """All candidates."""
        return self.index.ids(np.flatnonzero(self.present).tolist())

    def moved(self) -> tuple[list[PointId], int]:
        """None: vectors play no part."""
        return [], 0

    def update(self, came: Sequence[PointId], gone: Sequence[PointId]) -> RepairReport:
        """Take points out and in."""
        left, back = self.index.numbers(gone), self.index.numbers(came)
        self.index.excluded[left] = self.index.excluded[back] = False
        self._left = (self._left | set(left.tolist())) - set(back.tolist())
        return RepairReport(len(came), len(gone), lists=0, places=0)

    def retarget(self, task: Task) -> None:
        """Take other task examples."""
        self.queries, self.query_weights = task.vectors, task.weights

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Keys of the pool, and which candidates are excluded."""
        keys = self.index.keys
        return {}, {
            "queries": self.queries,
            "query_weights": self.query_weights,
            "pool_keys": keys[self.present],
            "excluded_keys": keys[self.index.excluded],
        }
