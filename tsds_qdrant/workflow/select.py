"""Select: from a collection and task examples to probabilities and a sample."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsds_qdrant import accuracy
from tsds_qdrant.collections.distance import checked_vectors
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import SupportError, TsdsError
from tsds_qdrant.expansion import (
    Target,
    alpha_target,
    effective_size_target,
    expand,
    expand_to_radius,
    start,
    support_target,
)
from tsds_qdrant.lists import FloatArray, IntArray, NeighborLists
from tsds_qdrant.neighborhoods import Neighborhoods
from tsds_qdrant.path import RegularizationPath
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.sampling import Sample, draw
from tsds_qdrant.search import Searcher
from tsds_qdrant.selection import Selection
from tsds_qdrant.settings import SelectionSettings
from tsds_qdrant.sweep import Sweep
from tsds_qdrant.transport import (
    TransportProblem,
    TransportSolution,
    scaled_weights,
    slope_budget,
    solve_transport,
)

BANDWIDTH_SHARE = 0.45
"""Derived bandwidth over typical distance; the README says why under "Choosing alpha, C and h"."""


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
        searcher = Searcher(
            collection,
            where=settings.where,
            exact=settings.exact,
            recall=settings.recall,
            seed=settings.seed,
            progress=progress,
        )
        vectors = checked_vectors(
            np.atleast_2d(np.asarray(queries)),
            searcher.info.dimension,
            searcher.info.metric,
            what="query example",
        )
        given = np.asarray([] if query_weights is None else query_weights, dtype=np.float64)
        weights = scaled_weights(given, len(vectors))
        searcher.preflight(vectors[0])
        neighborhoods = Neighborhoods(searcher, vectors, density_limit=settings.density_limit)
        start(neighborhoods)
        typical = typical_distance(neighborhoods.lists)
        bandwidth = BANDWIDTH_SHARE * typical if settings.bandwidth is None else settings.bandwidth
        neighborhoods.set_bandwidth(bandwidth if settings.regularizer == "kde" else 0.0)
        return cls(settings, neighborhoods, settings.cost_scale or typical, weights)

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


def select(
    collection: Collection,
    queries: npt.ArrayLike,
    settings: SelectionSettings,
    *,
    query_weights: npt.ArrayLike | None = None,
    progress: Progress = silent,
) -> Selection:
    """Select candidates of ``collection`` for the task that ``queries`` show.

    Args:
        collection: an open collection; it is only read.
        queries: (M, D) vectors of the query examples.
        settings: how many, and how.
        query_weights: (M,) positive weights of the query examples; equal by default.
        progress: called as the searches go on.

    Raises:
        InputError: the vectors do not fit, or there is no candidate.
        SupportError: fewer candidates than wanted have p > 0; the message names the alpha that
            would do.
        DepthError: alpha is so small that the neighbour lists would not fit into memory.
        CollectionError: Qdrant fails.
    """
    started = time.perf_counter()
    task = Task.begin(collection, queries, settings, query_weights, progress)
    neighborhoods, searcher = task.neighborhoods, task.neighborhoods.searcher
    sizes = settings.wanted_sizes(searcher.candidates)
    if settings.regularizer == "tv":
        problem, path, needed = _within_radius(task), None, 0
    else:
        problem, path, needed, _ = task.reach(target_of(settings, max(sizes), task.cost_scale))
    solution = solve_transport(problem)
    searched = time.perf_counter()
    samples = _drawn(task, solution, sizes)
    measured = accuracy.measure(neighborhoods, solution, settings.seed)
    nearest_query, nearest_distance = _nearest(solution)
    seen = len(problem.densities)
    return Selection(
        settings=settings,
        collection=searcher.info,
        candidates=searcher.candidates,
        bandwidth=neighborhoods.bandwidth,
        ids=neighborhoods.index.ids(range(seen)),
        keys=neighborhoods.index.keys[:seen],
        nearest_query=nearest_query,
        nearest_distance=nearest_distance,
        solution=solution,
        path=path,
        samples=samples,
        accuracy=measured,
        counts=searcher.counts,
        ef=searcher.ef,
        scan_reason=searcher.scan_reason,
        densities_needed=needed,
        densities_capped=neighborhoods.capped,
        seconds={"search": searched - started, "rest": time.perf_counter() - searched},
    )


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


def _within_radius(task: Task) -> TransportProblem:
    """The problem of G_TV, its lists fetched to C (1 - alpha) / alpha behind the nearest."""
    alpha = task.settings.alpha or 0.5
    expand_to_radius(task.neighborhoods, slope_budget(alpha, task.cost_scale))
    return TransportProblem(
        task.neighborhoods.lists,
        np.ones(len(task.neighborhoods.index)),
        alpha,
        task.cost_scale,
        "tv",
        task.query_weights,
        candidates_total=task.neighborhoods.searcher.candidates,
    )


def _drawn(task: Task, solution: TransportSolution, sizes: tuple[int, ...]) -> dict[int, Sample]:
    keys = task.neighborhoods.index.keys[: len(solution.probabilities)]
    sampler, seed = task.settings.sampler, task.settings.seed
    if sampler != "multinomial" and max(sizes) > solution.support:
        raise SupportError(_advice(task, solution, max(sizes)))
    return {
        size: draw(solution.probabilities, keys, size, sampler=sampler, seed=seed) for size in sizes
    }


def _advice(task: Task, solution: TransportSolution, size: int) -> str:
    """One sentence for a size beyond the support, with the alpha that would widen it."""
    alpha = solution.problem.alpha
    fact = (
        f"{size} candidates are wanted but only {solution.support} of "
        f"{task.neighborhoods.searcher.candidates} have a positive probability at alpha {alpha:.4g}"
    )
    smaller = f"ask for at most {solution.support}"
    if task.settings.regularizer == "tv":
        return f"{fact}; {smaller}, or lower alpha"
    try:
        _, path, _, threshold = task.reach(support_target(size))
    except TsdsError:
        return f"{fact}; {smaller}, or lower alpha"
    if threshold > path.limit:
        return f"{fact}; {smaller}"
    return f"{fact}; {smaller}, or set alpha to {path.alpha_at(threshold):.4g} or less"


def _nearest(solution: TransportSolution) -> tuple[IntArray, FloatArray]:
    """(n,) nearest query example of each candidate in the support, and its distance."""
    lists = solution.problem.lists
    entries = np.flatnonzero(solution.probabilities[lists.candidates] > 0)
    candidates, owners = lists.candidates[entries], lists.query_of_entry[entries]
    order = np.lexsort((owners, lists.distances[entries], candidates))
    found, first = np.unique(candidates[order], return_index=True)
    query = np.full(len(solution.probabilities), -1, dtype=np.int64)
    distance = np.full(len(solution.probabilities), np.nan)
    query[found] = owners[order][first]
    distance[found] = lists.distances[entries][order][first]
    return query, distance
