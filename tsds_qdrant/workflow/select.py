"""Select: from a collection and task examples to probabilities and a sample."""

from __future__ import annotations

import math
import time

import numpy as np
import numpy.typing as npt

from tsds_qdrant import accuracy
from tsds_qdrant.accuracy import Accuracy
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import SupportError, TsdsError
from tsds_qdrant.expansion import (
    expand_to_radius,
    support_target,
)
from tsds_qdrant.lists import FloatArray, IntArray
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.sampling import Sample, draw
from tsds_qdrant.selection import Selection
from tsds_qdrant.settings import SelectionSettings
from tsds_qdrant.tradeoff import slope_budget
from tsds_qdrant.transport import TransportProblem, TransportSolution, solve_transport
from tsds_qdrant.workflow.task import Task, target_of


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
    task = Task.begin(collection, queries, settings, query_weights, progress)
    return select_for(task, settings.wanted_sizes(task.neighborhoods.searcher.candidates))


def select_for(
    task: Task, sizes: tuple[int, ...], *, known_accuracy: Accuracy | None = None
) -> Selection:
    """Solve ``task`` and draw samples of ``sizes``, fetching only what is not known yet.

    Args:
        task: begun, or resumed after a repair.
        sizes: how many to draw, ascending.
        known_accuracy: what was measured before, if nothing has changed since.

    Raises:
        SupportError, DepthError, CollectionError: see :func:`select`.
    """
    settings, started = task.settings, time.perf_counter()
    neighborhoods, searcher = task.neighborhoods, task.neighborhoods.searcher
    if settings.regularizer == "tv":
        problem, path, needed = _within_radius(task), None, 0
    else:
        problem, path, needed, _ = task.reach(
            target_of(settings, max(sizes, default=0), task.cost_scale)
        )
    solution = solve_transport(problem)
    searched = time.perf_counter()
    samples = _drawn(task, solution, sizes)
    drawn = time.perf_counter()
    measured = known_accuracy or accuracy.measure(neighborhoods, solution, settings.seed)
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
        seconds={
            "search": searched - started,
            "sample": drawn - searched,
            "measure": time.perf_counter() - drawn,
        },
    )


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
    if sizes and sampler != "multinomial" and max(sizes) > solution.support:
        raise SupportError(_advice(task, solution, max(sizes)))
    return {
        size: draw(solution.probabilities, keys, size, sampler=sampler, seed=seed) for size in sizes
    }


def _advice(task: Task, solution: TransportSolution, size: int) -> str:
    """One sentence for a size beyond the support, with the alpha that would widen it."""
    alpha, pool = solution.problem.alpha, task.neighborhoods.searcher.candidates
    if size > pool:
        return (
            f"{size} candidates are wanted but the pool has only {pool}; ask for at most "
            f"{solution.support}"
        )
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
        return f"{fact}; {smaller}, or set so small an alpha (1e-6) that the whole pool is taken"
    return f"{fact}; {smaller}, or set alpha to {_cut(path.alpha_at(threshold)):.4g} or less"


def _cut(alpha: float) -> float:
    """``alpha`` with four digits, rounded down: rounded up it might not do."""
    scale = 10.0 ** (3 - math.floor(math.log10(alpha)))
    return math.floor(alpha * scale) / scale


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
