"""Trace: the regularisation path of a task, as a table of alphas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy.typing as npt

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.solver.path import PathPoint
from tsds_qdrant.solver.tradeoff import checked_alpha
from tsds_qdrant.strategies.tsds.expansion import alpha_target
from tsds_qdrant.strategies.tsds.strategy import Tsds
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
    """

    points: tuple[PathPoint, ...]
    pool_alphas: tuple[float, ...]
    cost_scale: float
    bandwidth: float
    candidates: int


def trace_path(
    collection: Collection,
    queries: npt.ArrayLike,
    strategy: Tsds,
    search: SearchSettings | None = None,
    *,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
    query_weights: npt.ArrayLike | None = None,
    progress: Progress = silent,
) -> TracedPath:
    """What each of ``alphas`` would select; one lazy search serves them all.

    Raises:
        SettingsError: an alpha outside (0, 1), or the regularizer ``tv``, which has no such path.
        DepthError: the smallest alpha would fetch more than memory allows.
    """
    if strategy.regularizer == "tv":
        raise SettingsError("the regularizer 'tv' has no path; choose kde or uniform")
    for alpha in alphas:
        checked_alpha(alpha)
    searcher = Searcher(collection, search, progress=progress)
    task = Task.of(queries, searcher.info, weights=query_weights)
    known = strategy.begin(searcher, task)
    strategy.settle(known, None)
    path = known.reach(alpha_target(min(alphas), known.cost_scale)).path
    return TracedPath(
        tuple(path.at(alpha) for alpha in alphas if path.reaches(alpha)),
        tuple(alpha for alpha in alphas if not path.reaches(alpha)),
        known.cost_scale,
        known.neighborhoods.bandwidth,
        searcher.candidates,
    )
