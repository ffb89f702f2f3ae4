"""What every selection of a comparison is measured with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.neighbors.deepening import start
from tsds_qdrant.neighbors.geometry import nearest
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.units import BANDWIDTH_SHARE, typical_distance
from tsds_qdrant.neighbors.yardstick import Yardstick
from tsds_qdrant.planning.contestants import Contestant
from tsds_qdrant.planning.quality import Quality, measure
from tsds_qdrant.pool.pool import vectors_of
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.strategies.evidence import TransportEvidence
from tsds_qdrant.task.task import Task


@dataclass(frozen=True)
class Scales:
    """What every selection is measured with.

    Attributes:
        searcher: knows the pool.
        task: what the selections are for.
        names: M names of tasks; empty where there is one.
        typical: the distance within which a task example counts as covered.
        bandwidth: h, within which candidates count as near-duplicates.
    """

    searcher: Searcher
    task: Task
    typical: float
    bandwidth: float
    names: tuple[str, ...] = ()

    @cached_property
    def yardstick(self) -> Yardstick:
        """How near the task examples lie to each other."""
        return Yardstick.of(self.task.vectors, self.searcher.info.geometry)

    def quality(self, ids: list[PointId]) -> tuple[Quality, FloatArray, dict[str, float]]:
        """The measures of the selection of ``ids``, and (n,) their distances to the task.

        And of several tasks the coverage of each: the mean distance from its examples to the
        nearest selected candidate.
        """
        info = self.searcher.info
        rows = vectors_of(self.searcher.collection, ids, info)
        found, distances = measure(
            rows,
            self.task.vectors,
            self.task.weights,
            info.geometry,
            typical=self.typical,
            bandwidth=self.bandwidth,
            yardstick=self.yardstick,
        )
        if not self.names:
            return found, distances, {}
        _, to_selected = nearest(self.task.vectors, rows, info.geometry)
        coverage = {}
        for name in dict.fromkeys(self.names):
            own = np.array(self.names) == name
            coverage[name] = float(np.average(to_selected[own], weights=self.task.weights[own]))
        return found, distances, coverage


def scales_of(
    contestants: Iterable[Contestant], searcher: Searcher, task: Task, settings: SelectionSettings
) -> Scales:
    """Typical distance and bandwidth of a contestant that has them, else as they are derived.

    Those of a contestant that searches other vectors mean nothing here.
    """
    for contestant in contestants:
        evidence = contestant.preference.evidence
        if contestant.known.searcher.info.vector != searcher.info.vector:
            continue
        if isinstance(evidence, TransportEvidence) and evidence.bandwidth:
            return Scales(searcher, task, evidence.cost_scale, evidence.bandwidth)
    searcher.preflight(task.vectors[0])
    near = Neighborhoods(searcher, task.vectors)
    start(near)
    typical, given = typical_distance(near.lists), settings.flat()
    bandwidth = given.get("bandwidth")
    return Scales(
        searcher,
        task,
        typical=given.get("cost_scale") or typical,
        bandwidth=BANDWIDTH_SHARE * typical if bandwidth is None else bandwidth,
    )
