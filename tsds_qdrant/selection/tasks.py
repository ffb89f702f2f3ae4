"""What is known of a selection's task examples beside their vectors: whose they are, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.values import Geometry, PointId
from tsds_qdrant.errors import SupportError
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.task_points import TaskPoints
from tsds_qdrant.neighbors.yardstick import Yardstick
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.strategies.known import Knowledge
from tsds_qdrant.task.examples import TaskExamples
from tsds_qdrant.task.task import Task


@dataclass(frozen=True)
class Tasks:
    """The tasks of a selection.

    Attributes:
        names: M names of the tasks that the examples show; empty where there is one.
        points: the examples that are in the pool; None where nobody looked for them.
        template: how the texts of the examples are made, where that is known.
    """

    names: tuple[str, ...] = ()
    points: TaskPoints | None = None
    template: TextTemplate = field(default_factory=TextTemplate)

    @classmethod
    def of(cls, queries: npt.ArrayLike | TaskExamples, known: Knowledge) -> Tasks:
        """The tasks that ``queries`` show, looked for in the pool that is ``known``."""
        if not isinstance(queries, TaskExamples):
            return cls()
        names, points = tuple(queries.tasks), None
        if queries.in_pool:
            points = TaskPoints.of(
                known.searcher, known.queries, queries.ids, left_out=queries.in_pool == "out"
            )
        return cls(names, points, queries.template)

    def after(self, known: Knowledge, came: Sequence[PointId], gone: Sequence[PointId]) -> Tasks:
        """The same after points came and went."""
        if self.points is None or not (came or gone):
            return self
        found = self.points.after(known.searcher, known.queries, came, gone)
        return replace(self, points=found)

    def check_enough(self, sizes: Sequence[int], candidates: int) -> None:
        """Check that ``sizes`` can be drawn of ``candidates`` without the task examples there.

        Raises:
            SupportError: they cannot.
        """
        points, largest = self.points, max(sizes, default=1)
        if points is None or not points.left_out or not points.ids or largest > candidates:
            return
        left = candidates - len(points.ids)
        if left < largest:
            less = f"give --size {left} or less, or keep" if left > 0 else "ingest others, or keep"
            raise SupportError(
                f"{len(points.ids)} of {candidates} candidates are task examples themselves and "
                f"left out, and {largest} {'are' if largest > 1 else 'is'} to be selected; {less} "
                f"them with --keep-task-examples"
            )

    @property
    def distinct(self) -> tuple[str, ...]:
        """Each name once, in the order of their first examples."""
        return tuple(dict.fromkeys(self.names))

    def yardsticks(self, queries: Float32Array, metric: Geometry) -> dict[str, Yardstick]:
        """Name of a task -> how near its examples, of ``queries`` (M, D), lie to each other."""
        owner = np.array(self.names)
        return {name: Yardstick.of(queries[owner == name], metric) for name in self.distinct}

    def stored(self) -> dict[str, Any]:
        """Plain values for a run's state, among those of its task examples."""
        found: dict[str, Any] = {}
        if self.names:
            found["tasks"] = list(self.names)
        if self.points is not None:
            found["task_points"] = self.points.stored()
        return found

    @classmethod
    def restored(cls, stored: Mapping[str, Any]) -> Tasks:
        """What :meth:`stored` said; states of versions that knew one task say nothing."""
        points = TaskPoints.restored(stored.get("task_points"))
        way = TextTemplate.from_dict(stored)
        return cls(tuple(stored.get("tasks") or ()), points, way)


def task_of(
    queries: npt.ArrayLike | TaskExamples,
    searcher: Searcher,
    query_weights: npt.ArrayLike | None = None,
) -> Task:
    """The task that ``queries`` show, checked against the searched collection."""
    if not isinstance(queries, TaskExamples):
        return Task.of(queries, searcher.info, weights=query_weights)
    weights = queries.weights if query_weights is None else query_weights
    task = Task.of(
        queries.vectors,
        searcher.info,
        weights=weights,
        texts=queries.texts,
        template=queries.template,
        groups=queries.groups or queries.tasks,
    )
    return replace(
        task,
        norms=queries.norms,
        way=queries.way,
        margins=queries.margins,
        weighted_groups=bool(queries.tasks) and not queries.groups,
    )
