"""Solve: the solution of a task's problem, as large as it is asked for."""

from __future__ import annotations

import math

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.errors import TsdsError
from tsds_qdrant.neighbors.deepening import expand_to_radius
from tsds_qdrant.neighbors.pairs import around
from tsds_qdrant.neighbors.rounding import narrow_bandwidth
from tsds_qdrant.solver.ends import alpha_of_effective_size, alpha_of_support, pool_alpha
from tsds_qdrant.solver.tradeoff import slope_budget
from tsds_qdrant.solver.transport import TransportProblem, TransportSolution, solve_transport
from tsds_qdrant.strategies.base import Ask, Preference
from tsds_qdrant.strategies.evidence import TransportEvidence
from tsds_qdrant.strategies.likeness import Likeness
from tsds_qdrant.strategies.tsds.expansion import (
    Target,
    alpha_target,
    effective_size_target,
    support_target,
    whole_target,
)
from tsds_qdrant.strategies.tsds.problem import Reached, TaskProblem

POOL_ALPHA = 1e-6
"""Small enough for the whole pool to be taken, but for extreme units."""


def solved(known: TaskProblem, ask: Ask) -> Preference:
    """The preference of the solution that ``ask`` needs."""
    settings, path, needed, ended = known.settings, None, 0, False
    if settings.regularizer == "tv":
        problem = _within_radius(known)
    else:
        reached = known.reach(_target(known, ask))
        problem = known.at(_alpha(known, ask, reached), reached)
        path, needed = reached.path, reached.expansion.touched
        ended = reached.expansion.threshold > path.limit
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
        alpha_given=settings.alpha is not None,
        narrow=narrow_bandwidth(searcher.info, near.bandwidth),
    )
    p = solution.probabilities
    return Preference(np.flatnonzero(p), p, ordered=False, reached=not ended, evidence=evidence)


def _target(known: TaskProblem, ask: Ask) -> Target:
    """What the threshold must reach: all there is, an alpha, a support, or the effective size."""
    settings = known.settings
    support = ask.reach or settings.support
    if ask.whole:
        return whole_target()
    if settings.alpha is not None:
        return alpha_target(settings.alpha, known.cost_scale)
    if support is not None:
        return support_target(support)
    return effective_size_target(ask.size, ask.spread)


def _alpha(known: TaskProblem, ask: Ask, reached: Reached) -> float:
    """The alpha of the target: as given, or the largest that has what is asked for."""
    settings, path = known.settings, reached.path
    support = ask.reach or settings.support
    if ask.whole:
        return min(POOL_ALPHA, pool_alpha(path))
    if settings.alpha is not None:
        return settings.alpha
    if not reached.beyond:
        return path.alpha_at(path.last_step(reached.expansion.threshold))
    if support is not None:
        return alpha_of_support(path, support)
    return alpha_of_effective_size(path, max(ask.size, 1), ask.spread)


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


def likeness(known: TaskProblem, evidence: TransportEvidence) -> Likeness:
    """How far the candidates with p > 0 stand for each other."""
    solution, near = evidence.solution, known.neighborhoods
    candidates = np.flatnonzero(solution.probabilities)
    masses = (solution.probabilities * solution.problem.densities)[candidates]
    if evidence.path is None:
        return Likeness.none(masses)
    entered = evidence.path.entered[candidates]
    if near.bandwidth == 0:
        return Likeness.none(masses, entered)
    return Likeness(masses, entered, *around(near.vicinities, len(near.index), candidates))


def advice(known: TaskProblem, solution: TransportSolution, size: int) -> str:
    """One sentence on a size beyond the support that alpha or a support has set."""
    fact = (
        f"{size} candidates are wanted but only {solution.support} of {known.pool} have a "
        f"positive probability"
    )
    smaller = f"ask for at most {solution.support}"
    if known.settings.support is not None:
        return f"{fact} by a support of {known.settings.support}; {smaller}, or raise the support"
    fact = f"{fact} at alpha {solution.problem.alpha:.4g}"
    if known.settings.regularizer == "tv":
        return f"{fact}; {smaller}, or lower alpha"
    try:
        reached = known.reach(support_target(size))
    except TsdsError:
        return f"{fact}; {smaller}, or lower alpha"
    path = reached.path
    if reached.beyond:
        alpha = alpha_of_support(path, size)
    else:
        alpha = path.alpha_at(path.last_step(reached.expansion.threshold))
    return f"{fact}; {smaller}, or set alpha to {_cut(alpha):.4g} or less"


def all_in_use(solution: TransportSolution) -> bool:
    """Whether every candidate of the pool has p > 0."""
    lists = solution.problem.lists
    whole = lists.depths[lists.complete]
    return bool(len(whole)) and solution.support >= int(whole[0])


def _cut(alpha: float) -> float:
    """``alpha`` with four digits, rounded down: rounded up it might not do."""
    scale = 10.0 ** (3 - math.floor(math.log10(alpha)))
    return math.floor(alpha * scale) / scale
