"""Solve: the solution of a task, as large as the size, a token budget and bounds need."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tsds_qdrant.errors import DepthError
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.neighbors.deepening import expand_to_radius
from tsds_qdrant.selection.bounded import short_of
from tsds_qdrant.selection.traits import TraitReader
from tsds_qdrant.solver.path import RegularizationPath
from tsds_qdrant.solver.tradeoff import slope_budget
from tsds_qdrant.solver.transport import TransportProblem, TransportSolution, solve_transport
from tsds_qdrant.strategies.tsds.problem import Task, target_of

BUDGET_ROUNDS = 12
BUDGET_TOLERANCE = 0.02
"""Relative change of the size at which the search for what a budget pays for ends."""
GROWTH = 1.5
"""So much larger a support is tried next where bounds leave too few."""
WIDEST = 100
"""Bounds that leave too few of so many times the size are taken to be impossible: in a large pool
looking on would take hours."""
POOL_ALPHA = 1e-6
"""So small that the whole pool is taken."""


@dataclass(frozen=True)
class Solved:
    """A solution and what it came from.

    Attributes:
        solution: free of copies of test items.
        path: what other alphas would give; None for ``tv``.
        needed: how many densities it depends on.
        reached: the pool reaches the target.
    """

    solution: TransportSolution
    path: RegularizationPath | None
    needed: int
    reached: bool = True


def solved_for(
    task: Task, sizes: tuple[int, ...], guard: Guard | None, reader: TraitReader
) -> Solved:
    """The solution from which samples of ``sizes`` (none: of the token budget) are drawn.

    Where neither alpha nor the support is set, the support grows until the bounds leave enough of
    it, at last to the whole pool, if that is not too large for it. *subtle*: which supports are
    tried hangs on what they hold, so all is tried again until that brings nothing new, no copy of
    a test item above all: so the result is that of a collection without the copies, and a stored
    run gives it again.

    Raises:
        DepthError: bounds leave too few, and memory allows to look no further.
    """
    settings, size = task.settings, max(sizes, default=0)
    follows = settings.alpha is None and settings.support is None
    if not (settings.bounded and follows and (sizes or settings.by_budget)):
        return _solved(task, size, guard)
    while True:
        before = _known(task)
        solved, rounds = _grown(task, size, guard, reader)
        if rounds == 1 or _known(task) == before:
            return solved


def _known(task: Task) -> tuple[int, int, int]:
    """How many list entries, densities and copies of test items are known."""
    near = task.neighborhoods
    densities = np.count_nonzero(~np.isnan(near.densities))
    return int(near.depths.sum()), int(densities), int(near.excluded.sum())


def _grown(task: Task, size: int, guard: Guard | None, reader: TraitReader) -> tuple[Solved, int]:
    """The first solution, of larger and larger ones, that bounds leave enough of; the rounds."""
    settings, rounds = task.settings, 1
    if size:
        tried, solved = size, _solved(task, size, guard)
    else:
        tried, solved = _solved_for_budget(task, settings.token_budget or 1, guard, reader)
        rounds = BUDGET_ROUNDS
    fault, widest = short_of(task, solved.solution, size or None, reader), WIDEST * tried
    try:
        while fault and tried < widest:
            tried, rounds = math.ceil(GROWTH * tried), rounds + 1
            if not solved.reached or tried >= task.neighborhoods.pool:
                whole = replace(settings, alpha=POOL_ALPHA)
                return _solved(replace(task, settings=whole), size, guard), rounds
            larger = replace(settings, support=tried)
            solved = _solved(replace(task, settings=larger), size, guard)
            fault = short_of(task, solved.solution, size or None, reader)
    except DepthError as error:
        raise DepthError(f"{fault}; there are more, but {error}") from error
    return solved, rounds


def _solved(task: Task, size: int, guard: Guard | None) -> Solved:
    """The solution for ``size``, solved again as long as it holds copies of test items."""
    path: RegularizationPath | None
    while True:
        if task.settings.regularizer == "tv":
            problem, path, needed, reached = _within_radius(task), None, 0, True
        else:
            target = target_of(task.settings, size, task.cost_scale)
            problem, path, needed, threshold = task.reach(target)
            reached = threshold <= path.limit
        solution = solve_transport(problem)
        support = np.flatnonzero(solution.probabilities)
        if guard is None or not guard.drop_copies(task.neighborhoods, support):
            return Solved(solution, path, needed, reached)


def _solved_for_budget(
    task: Task, budget: int, guard: Guard | None, reader: TraitReader
) -> tuple[int, Solved]:
    """An effective size that is about what ``budget`` tokens pay for, and its solution."""
    wanted = task.neighborhoods.lists.queries
    for _ in range(BUDGET_ROUNDS):
        size = wanted
        solved = _solved(task, size, guard)
        p = solved.solution.probabilities
        support = np.flatnonzero(p)
        ids = task.neighborhoods.index.ids(support.tolist())
        tokens = np.array([one.tokens for one in reader.of(ids)])
        wanted = math.ceil(budget / (p[support] @ tokens))
        if tokens.sum() < budget:
            wanted = max(wanted, math.ceil(GROWTH * size))
        if abs(wanted - size) <= BUDGET_TOLERANCE * size or len(support) == task.neighborhoods.pool:
            break
    return size, solved


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
        candidates_total=task.neighborhoods.pool,
    )
