"""Trace: the regularisation path of a task, as a table of alphas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.neighbors.task_points import without_task_points
from tsds_qdrant.neighbors.yardstick import Yardstick
from tsds_qdrant.progress import Progress, notice, silent
from tsds_qdrant.solver.path import PathPoint
from tsds_qdrant.solver.tradeoff import checked_alpha
from tsds_qdrant.strategies.tsds.expansion import alpha_target
from tsds_qdrant.strategies.tsds.problem import TaskProblem
from tsds_qdrant.strategies.tsds.strategy import Tsds
from tsds_qdrant.task.examples import TaskExamples
from tsds_qdrant.task.task import Task

DEFAULT_ALPHAS = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True)
class TracedPath:
    """The path at some alphas.

    Attributes:
        points: one for each alpha at which the task matters, in the order asked for.
        pool_alphas: alphas so small that the whole pool is taken evenly.
        cost_scale: C, given or derived.
        bandwidth: h, given or derived.
        candidates: size of the pool.
        yardstick: how near the task examples lie to each other.
        nearer: how many candidates lie nearer to the task than that; None without a yardstick.
        counted: whether these are all; otherwise lists end before, and there may be more.
        ids, distances: those candidates, nearest first; without a yardstick, all that were found.
    """

    points: tuple[PathPoint, ...]
    pool_alphas: tuple[float, ...]
    cost_scale: float
    bandwidth: float
    candidates: int
    yardstick: Yardstick
    nearer: int | None
    counted: bool
    ids: tuple[PointId, ...]
    distances: FloatArray

    def as_dict(self) -> dict[str, Any]:
        """The path for a machine to read; without the ids."""
        return {
            "points": [vars(point) for point in self.points],
            "pool_alphas": list(self.pool_alphas),
            "cost_scale": self.cost_scale,
            "bandwidth": self.bandwidth,
            "candidates": self.candidates,
            "yardstick": {
                **self.yardstick.facts(),
                "nearer": self.nearer,
                "counted": self.counted,
            },
        }


def trace_path(
    collection: Collection,
    queries: npt.ArrayLike | TaskExamples,
    strategy: Tsds,
    search: SearchSettings | None = None,
    *,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
    query_weights: npt.ArrayLike | None = None,
    progress: Progress = silent,
) -> TracedPath:
    """What each of ``alphas`` would select; one lazy search serves them all.

    Task examples that are in the pool are left out where they say so.

    Raises:
        SettingsError: an alpha outside (0, 1), or the regularizer ``tv``, which has no such path.
        DepthError: the smallest alpha would fetch more than memory allows.
    """
    _check(strategy, alphas)
    searcher = Searcher(collection, search, progress=progress)
    given = queries.vectors if isinstance(queries, TaskExamples) else queries
    if isinstance(queries, TaskExamples) and query_weights is None:
        query_weights = queries.weights
    task = Task.of(given, searcher.info, weights=query_weights)
    if isinstance(queries, TaskExamples) and queries.in_pool == "out":
        search = search or SearchSettings()
        search, points = without_task_points(searcher, search, task.vectors, queries.ids)
        if points.ids:
            notice("left out", points.in_words(len(task.vectors)))
        searcher = Searcher(collection, search, progress=progress)
    known = strategy.begin(searcher, task)
    strategy.settle(known, None)
    return _traced(known, alphas)


def trace_known(known: Any, *, alphas: Sequence[float] = DEFAULT_ALPHAS) -> TracedPath:
    """The same of what a run has learned, with its C and h; only what it lacks is searched.

    Args:
        known: the knowledge of a run.
        alphas: as above.

    Raises:
        SettingsError: as :func:`trace_path`, or the knowledge is that of a strategy without alpha.
        DepthError: as :func:`trace_path`.
    """
    if not isinstance(known, TaskProblem):
        raise SettingsError(
            "the run is of a strategy that has no alpha, and so no path; select with --strategy "
            "tsds --state"
        )
    _check(known.settings, alphas)
    return _traced(known, alphas)


def _check(strategy: Tsds, alphas: Sequence[float]) -> None:
    if strategy.regularizer == "tv":
        raise SettingsError("the regularizer 'tv' has no path; choose kde or uniform")
    for alpha in alphas:
        checked_alpha(alpha)


def _traced(known: TaskProblem, alphas: Sequence[float]) -> TracedPath:
    searcher = known.searcher
    path = known.reach(alpha_target(min(alphas), known.cost_scale)).path
    near = known.neighborhoods
    yardstick = Yardstick.of(near.queries, searcher.info.geometry)
    found, distances = _by_distance(near)
    nearer = yardstick.nearer(distances)
    return TracedPath(
        tuple(path.at(alpha) for alpha in alphas if path.reaches(alpha)),
        tuple(alpha for alpha in alphas if not path.reaches(alpha)),
        known.cost_scale,
        near.bandwidth,
        searcher.candidates,
        yardstick,
        nearer,
        bool((near.ends > (yardstick.distance or 0.0)).all()),
        tuple(near.index.ids(found[:nearer].tolist())),
        distances[:nearer],
    )


def _by_distance(near: Neighborhoods) -> tuple[IntArray, FloatArray]:
    """The candidates of all lists, nearest to the task first, and how far they are from it."""
    lists = near.lists
    distances = np.full(len(near.index), np.inf)
    np.minimum.at(distances, lists.candidates, lists.distances)
    order = np.argsort(distances, kind="stable")
    found = order[: np.count_nonzero(np.isfinite(distances))]
    return found, distances[found]
