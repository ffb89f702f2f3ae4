"""A task: examples over a collection, with C and h settled, and how far searches must reach."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.distance import checked_vectors
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import InputError
from tsds_qdrant.neighbors.deepening import start
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.solver.path import RegularizationPath
from tsds_qdrant.solver.sweep import Sweep
from tsds_qdrant.solver.tradeoff import scaled_weights
from tsds_qdrant.solver.transport import TransportProblem
from tsds_qdrant.strategies.tsds.expansion import (
    Target,
    alpha_target,
    effective_size_target,
    expand,
    support_target,
)

BANDWIDTH_SHARE = 0.45
"""Derived bandwidth over typical distance; the reason is in
tsds_qdrant/strategies/README.md, "Choosing alpha, C and h"."""


def searcher_for(
    collection: Collection, settings: SelectionSettings, progress: Progress
) -> Searcher:
    """A searcher over ``collection`` that works as ``settings`` say."""
    return Searcher(
        collection,
        where=settings.where,
        exact=settings.exact,
        scans=settings.scans,
        recall=settings.recall,
        seed=settings.seed,
        progress=progress,
    )


@dataclass(frozen=True)
class Task:
    """Task examples over a collection, their first neighbours fetched, C and h settled.

    Attributes:
        settings: as given.
        neighborhoods: lists to the first depth; they hold the bandwidth.
        cost_scale: C, given or derived.
        query_weights: (M,) sum 1.
    """

    settings: SelectionSettings
    neighborhoods: Neighborhoods
    cost_scale: float
    query_weights: FloatArray

    @classmethod
    def begin(
        cls,
        collection: Collection,
        queries: npt.ArrayLike,
        settings: SelectionSettings,
        query_weights: npt.ArrayLike | None = None,
        progress: Progress = silent,
    ) -> Task:
        """Check the input and fetch the first neighbours."""
        searcher = searcher_for(collection, settings, progress)
        vectors = checked_vectors(
            np.atleast_2d(np.asarray(queries)),
            searcher.info.dimension,
            searcher.info.metric,
            what="query example",
        )
        if not len(vectors):
            raise InputError("there is no query example; give at least one")
        given = np.asarray([] if query_weights is None else query_weights, dtype=np.float64)
        weights = scaled_weights(given, len(vectors))
        searcher.preflight(vectors[0])
        neighborhoods = Neighborhoods(searcher, vectors, density_limit=settings.density_limit)
        start(neighborhoods)
        return cls(settings, neighborhoods, 1.0, weights).scaled(neighborhoods.lists)

    def scaled(self, first: NeighborLists) -> Task:
        """The same task with C and h as set, or as they follow from the ``first`` lists."""
        settings, typical = self.settings, typical_distance(first)
        bandwidth = BANDWIDTH_SHARE * typical if settings.bandwidth is None else settings.bandwidth
        self.neighborhoods.set_bandwidth(bandwidth if settings.regularizer == "kde" else 0.0)
        return replace(self, cost_scale=settings.cost_scale or typical)

    def reach(self, target: Target) -> tuple[TransportProblem, RegularizationPath, int, float]:
        """Fetch what ``target`` needs.

        Returns:
            The problem (its alpha is that of the target), the path as far as it is known, the
            number of densities needed, and the threshold of the target (infinite if the pool
            does not reach it).
        """
        settings = self.settings
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
        alpha = settings.alpha or path.alpha_at(path.last_step(expansion.threshold))
        problem = TransportProblem(
            expansion.lists,
            expansion.densities,
            alpha,
            self.cost_scale,
            settings.regularizer,
            self.query_weights,
            total_weight=expansion.total_weight,
        )
        return problem, path, expansion.touched, expansion.threshold


def target_of(settings: SelectionSettings, size: int, cost_scale: float) -> Target:
    """What the threshold must reach: the given alpha or support, or the effective ``size``."""
    if settings.alpha is not None:
        return alpha_target(settings.alpha, cost_scale)
    if settings.support is not None:
        return support_target(settings.support)
    return effective_size_target(size)


def typical_distance(lists: NeighborLists) -> float:
    """The median distance at which the first lists end: a unit that the data sets by itself."""
    ends = lists.distances[lists.offsets[1:] - 1]
    typical = float(np.median(ends))
    return typical or float(ends.max()) or 1.0
