"""Select: from a collection and task examples to probabilities and a sample."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.selection.bounded import draw_samples
from tsds_qdrant.selection.quotas import Traits
from tsds_qdrant.selection.sampling import Sample
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.selection.traits import CountTokens, TraitReader
from tsds_qdrant.solver.transport import TransportSolution
from tsds_qdrant.strategies.tsds import accuracy
from tsds_qdrant.strategies.tsds.accuracy import Accuracy
from tsds_qdrant.strategies.tsds.problem import Task
from tsds_qdrant.strategies.tsds.solving import solved_for


def select(
    collection: Collection,
    queries: npt.ArrayLike,
    settings: SelectionSettings,
    *,
    query_weights: npt.ArrayLike | None = None,
    guard: Guard | None = None,
    count_tokens: CountTokens | None = None,
    progress: Progress = silent,
) -> Selection:
    """Select candidates of ``collection`` for the task that ``queries`` show.

    Args:
        collection: an open collection; it is only read.
        queries: (M, D) vectors of the query examples.
        settings: how many, and how.
        query_weights: (M,) positive weights of the query examples; equal by default.
        guard: keeps copies of test items out.
        count_tokens: counts the tokens of texts; the collection's own model by default.
        progress: called as the searches go on.

    Raises:
        InputError: the vectors do not fit, or there is no candidate.
        SupportError: fewer candidates than wanted have p > 0 (the message names the alpha that
            would do), or quotas, budget and groups leave fewer (of the whole pool, where
            neither alpha nor the support is set).
        ContaminationError: copies of test items were met, and the guard is strict.
        DepthError: alpha is so small that the neighbour lists would not fit into memory.
        CollectionError: Qdrant fails.
    """
    task = begin_task(collection, queries, settings, query_weights, guard, progress)
    sizes = settings.wanted_sizes(task.neighborhoods.searcher.candidates)
    return select_for(task, sizes, guard=guard, count_tokens=count_tokens)


def begin_task(
    collection: Collection,
    queries: npt.ArrayLike,
    settings: SelectionSettings,
    query_weights: npt.ArrayLike | None,
    guard: Guard | None,
    progress: Progress,
) -> Task:
    """The task, with C and h derived from first neighbours that ``guard`` has cleaned."""
    task = Task.begin(collection, queries, settings, query_weights, progress)
    return task if guard is None else task.scaled(guard.begin(task.neighborhoods))


def select_for(
    task: Task,
    sizes: tuple[int, ...],
    *,
    known_accuracy: Accuracy | None = None,
    known_traits: Mapping[PointId, Traits] | None = None,
    guard: Guard | None = None,
    count_tokens: CountTokens | None = None,
) -> Selection:
    """Solve ``task`` and draw samples of ``sizes``, fetching only what is not known yet.

    Args:
        task: begun, or resumed after a repair.
        sizes: how many to draw, ascending; of no account where a token budget alone tells.
        known_accuracy: what was measured before a repair.
        known_traits: what was read before, if nothing has changed since.
        guard: keeps copies of test items out; without one, what is excluded stays so.
        count_tokens: see :func:`select`.

    Raises:
        SupportError, ContaminationError, DepthError, CollectionError: see :func:`select`.
    """
    settings, started = task.settings, time.perf_counter()
    neighborhoods, searcher = task.neighborhoods, task.neighborhoods.searcher
    reader = TraitReader(
        searcher.collection,
        settings,
        known=known_traits,
        count_tokens=count_tokens,
        progress=searcher.progress,
    )
    sizes = () if settings.by_budget else sizes
    if guard is not None:
        guard.begin(neighborhoods)
    solved = solved_for(task, sizes, guard, reader)
    solution = solved.solution
    found = None if guard is None else guard.found(neighborhoods)
    searched = time.perf_counter()
    samples = draw_samples(task, solution, sizes, reader)
    drawn = time.perf_counter()
    measured = accuracy.measured_anew(neighborhoods, solution, settings.seed, known_accuracy)
    nearest_query, nearest_distance = _nearest(solution)
    seen = len(solution.probabilities)
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
        path=solved.path,
        samples=samples,
        accuracy=measured,
        counts=searcher.counts,
        ef=searcher.ef,
        scan_reason=searcher.scan_reason,
        densities_needed=solved.needed,
        densities_capped=neighborhoods.capped,
        seconds={
            "search": searched - started,
            "sample": drawn - searched,
            "measure": time.perf_counter() - drawn,
        },
        contamination=found,
        traits=_traits_of(solution, samples, task, reader),
    )


def _traits_of(
    solution: TransportSolution, samples: Mapping[int, Sample], task: Task, reader: TraitReader
) -> dict[PointId, Traits]:
    """What bounds looked at, of every candidate with p > 0; empty where there are none."""
    if not (samples and task.settings.bounded):
        return {}
    support = np.flatnonzero(solution.probabilities).tolist()
    ids = task.neighborhoods.index.ids(support)
    return dict(zip(ids, reader.of(ids), strict=True))


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
