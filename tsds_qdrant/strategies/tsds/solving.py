"""Solve: the solution of a task's problem, as large as it is asked for."""

from __future__ import annotations

import math

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.errors import TsdsError
from tsds_qdrant.neighbors.deepening import expand_to_radius
from tsds_qdrant.solver.path import RegularizationPath
from tsds_qdrant.solver.tradeoff import slope_budget
from tsds_qdrant.solver.transport import TransportProblem, TransportSolution, solve_transport
from tsds_qdrant.strategies.base import Ask, Preference
from tsds_qdrant.strategies.evidence import TransportEvidence
from tsds_qdrant.strategies.tsds.expansion import (
    Target,
    alpha_target,
    effective_size_target,
    support_target,
)
from tsds_qdrant.strategies.tsds.problem import TaskProblem

POOL_ALPHA = 1e-6
"""Small enough for the whole pool to be taken."""


def solved(known: TaskProblem, ask: Ask) -> Preference:
    """The preference of the solution that ``ask`` needs."""
    settings, path, needed, reached = known.settings, None, 0, True
    if settings.regularizer == "tv":
        problem = _within_radius(known)
    else:
        alpha = POOL_ALPHA if ask.whole else settings.alpha
        target = _target(known, ask, alpha)
        problem, path, needed, threshold = known.reach(target, alpha)
        reached = threshold <= path.limit
    solution = solve_transport(problem)
    near, searcher = known.neighborhoods, known.searcher
    evidence = TransportEvidence(
        solution,
        path,
        near.bandwidth,
        needed,
        near.capped,
        settings.density_limit,
        searcher.counts,
        searcher.ef,
        searcher.scan_reason,
    )
    p = solution.probabilities
    return Preference(np.flatnonzero(p), p, ordered=False, reached=reached, evidence=evidence)


def _target(known: TaskProblem, ask: Ask, alpha: float | None) -> Target:
    """What the threshold must reach: ``alpha``, a support, or the effective size."""
    support = ask.reach or known.settings.support
    if alpha is not None:
        return alpha_target(alpha, known.cost_scale)
    if support is not None:
        return support_target(support)
    return effective_size_target(ask.size)


def _within_radius(known: TaskProblem) -> TransportProblem:
    """The problem of G_TV, its lists fetched to C (1 - alpha) / alpha behind the nearest."""
    alpha = known.settings.alpha or 0.5
    near = known.neighborhoods
    expand_to_radius(near, slope_budget(alpha, known.cost_scale))
    return TransportProblem(
        near.lists,
        np.ones(len(near.index)),
        alpha,
        known.cost_scale,
        "tv",
        known.query_weights,
        candidates_total=near.pool,
    )


def nearest_of(solution: TransportSolution) -> tuple[IntArray, FloatArray]:
    """(n,) nearest query example of each candidate in the support, and its distance.

    Of those whose lists reach that far: the list of a nearer one may end before the candidate.
    """
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


def advice(known: TaskProblem, solution: TransportSolution, size: int) -> str:
    """One sentence for a size beyond the support, with the alpha that would widen it."""
    alpha, pool = solution.problem.alpha, known.pool
    if size > pool:
        return (
            f"{size} candidates are wanted but the pool has only {pool}; ask for at most "
            f"{solution.support}"
        )
    fact = (
        f"{size} candidates are wanted but only {solution.support} of "
        f"{pool} have a positive probability at alpha {alpha:.4g}"
    )
    smaller = f"ask for at most {solution.support}"
    if known.settings.regularizer == "tv":
        return f"{fact}; {smaller}, or lower alpha"
    path: RegularizationPath
    try:
        _, path, _, threshold = known.reach(support_target(size), known.settings.alpha)
    except TsdsError:
        return f"{fact}; {smaller}, or lower alpha"
    if threshold > path.limit:
        return f"{fact}; {smaller}, or set an alpha small enough (1e-6) to take the whole pool"
    return f"{fact}; {smaller}, or set alpha to {_cut(path.alpha_at(threshold)):.4g} or less"


def _cut(alpha: float) -> float:
    """``alpha`` with four digits, rounded down: rounded up it might not do."""
    scale = 10.0 ** (3 - math.floor(math.log10(alpha)))
    return math.floor(alpha * scale) / scale
