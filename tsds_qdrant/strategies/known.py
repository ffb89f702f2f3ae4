"""What has been learned of a pool for a task, as every strategy keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array, IntArray
from tsds_qdrant.collections.ids import PointIndex
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.task.task import Task


class Knowledge(Protocol):
    """What has been learned of a pool for a task; it is stored with a run, and repaired."""

    @property
    def queries(self) -> Float32Array:
        """(M, D) vectors of the task examples."""

    @property
    def searcher(self) -> Searcher:
        """Runs the searches; it knows the pool."""

    @property
    def index(self) -> PointIndex:
        """Numbers of all candidates seen, and which of them count as deleted."""

    @property
    def pool(self) -> int:
        """How many candidates there are, without those that count as deleted."""

    @property
    def extent(self) -> tuple[int, ...]:
        """How much is known; it changes whenever something is learned or excluded."""

    def exclude(self, candidates: IntArray) -> None:
        """Count exactly ``candidates`` as deleted from now on.

        Raises:
            InputError: nothing is left.
        """

    def used(self) -> list[PointId]:
        """Points that it rests on."""

    def moved(self) -> tuple[list[PointId], int]:
        """Points whose stored vector is another one now, and of how many that can be said."""

    def update(self, came: Sequence[PointId], gone: Sequence[PointId]) -> RepairReport:
        """Bring it up to date; equal to learning everything from the pool as it is now."""

    def retarget(self, task: Task) -> None:
        """Take other task examples."""

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Facts and arrays for :meth:`~tsds_qdrant.strategies.base.Strategy.resume`."""
