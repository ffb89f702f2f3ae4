"""A task's problem over a collection: C and h settled, and how far searches must reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tsds_qdrant.neighbors.deepening import FIRST_DEPTH, first_lists, start
from tsds_qdrant.neighbors.expected import SEARCHES_PER_SELECTED
from tsds_qdrant.neighbors.knowledge import NeighborKnowledge
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.units import BANDWIDTH_SHARE, typical_distance
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.solver.path import RegularizationPath
from tsds_qdrant.solver.sweep import Sweep
from tsds_qdrant.solver.transport import TransportProblem, TransportSolution
from tsds_qdrant.strategies.base import Clean
from tsds_qdrant.strategies.evidence import Accuracy
from tsds_qdrant.strategies.tsds.expansion import Expansion, Target, expand
from tsds_qdrant.task.task import Task

if TYPE_CHECKING:
    from tsds_qdrant.strategies.tsds.strategy import Tsds


@dataclass(frozen=True)
class Reached:
    """What a target came to.

    Attributes:
        expansion: all that it needs.
        path: as far as it is known.
    """

    expansion: Expansion
    path: RegularizationPath

    @property
    def beyond(self) -> bool:
        """Whether no breakpoint of the path has the target, and the whole pool is known."""
        return self.expansion.threshold > self.path.limit and self.whole

    @property
    def whole(self) -> bool:
        """Whether the lists hold the whole pool."""
        return bool(self.expansion.lists.complete.all())


@dataclass
class TaskProblem(NeighborKnowledge):
    """Task examples over a collection, their first neighbours fetched, C and h settled.

    Attributes:
        settings: as given.
        cost_scale: C, given or derived; not settled where it is 0.
        measured: the last solution whose accuracy was measured, and that.
        compared: how many densities there were when they were compared with each other; 0 once all
            were found again.
    """

    settings: Tsds = field(kw_only=True)
    cost_scale: float = 0.0
    measured: tuple[TransportSolution, Accuracy] | None = None
    compared: int = 0

    def __post_init__(self) -> None:
        has_densities = self.settings.regularizer == "kde" and self.settings.bandwidth != 0
        selected = SEARCHES_PER_SELECTED * self.searcher.wanted
        self.searcher.densities = max(selected, len(self.queries)) if has_densities else 0.0

    @classmethod
    def begin(cls, searcher: Searcher, task: Task, settings: Tsds) -> TaskProblem:
        """Fetch the first neighbours of the task examples."""
        searcher.preflight(task.vectors[0])
        near = Neighborhoods(searcher, task.vectors, density_limit=settings.density_limit)
        known = cls(near, task.weights, settings=settings)
        start(near)
        return known

    def settle(self, clean: Clean | None) -> None:
        """Settle C and h, unless they are; by first neighbours that ``clean`` has cleaned."""
        near = self.neighborhoods
        start(near)
        if clean is not None:
            while clean(first_lists(near)[1]):
                pass
        if not self.cost_scale:
            deeper = clean is not None or int(near.fetched.max()) > FIRST_DEPTH
            self.scale(first_lists(near)[0] if deeper else near.lists)

    def scale(self, first: NeighborLists) -> None:
        """Set C and h as given, or as they follow from the ``first`` lists."""
        settings, typical = self.settings, typical_distance(first)
        bandwidth = BANDWIDTH_SHARE * typical if settings.bandwidth is None else settings.bandwidth
        self.neighborhoods.set_bandwidth(bandwidth if settings.regularizer == "kde" else 0.0)
        self.cost_scale = settings.cost_scale or typical

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Facts and arrays of the neighbourhoods, and C."""
        facts, arrays = super().stored()
        return {**facts, "cost_scale": self.cost_scale}, arrays

    def reach(self, target: Target) -> Reached:
        """Fetch what ``target`` needs."""
        expansion = expand(self.neighborhoods, self.query_weights, self.cost_scale, target)
        sweep = Sweep.over(expansion.lists, expansion.densities, self.query_weights)
        whole = expansion.lists.complete
        total = float(sweep.totals[whole][0]) if whole.any() else expansion.total_weight
        path = RegularizationPath(
            sweep,
            self.cost_scale,
            len(expansion.densities),
            limit=min(sweep.horizon, total / 2),
        )
        return Reached(expansion, path)

    def at(self, alpha: float, reached: Reached) -> TransportProblem:
        """The problem at ``alpha``, which is that of the target of ``reached``."""
        expansion = reached.expansion
        return TransportProblem(
            expansion.lists,
            expansion.densities,
            alpha,
            self.cost_scale,
            self.settings.regularizer,
            self.query_weights,
            total_weight=expansion.total_weight,
        )
