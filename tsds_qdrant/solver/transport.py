"""From neighbour lists and densities to the optimal transport plan.

Problem RT of TSDS (arXiv 2410.11303): minimise over plans gamma >= 0 with row sums m_i

    (alpha / C) sum_ij gamma_ij d_ij + (1 - alpha) G(gamma)

``kde``      G = max_ij density_j |gamma_ij - m_i / (density_j Z)| / m_i,  Z = sum_j 1 / density_j
``uniform``  the same with every density 1
``tv``       G = 1/2 sum_ij |gamma_ij - m_i / N|

The probability of candidate j is the column sum p_j.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.solver.certificate import Certificate, certify_capped, certify_tv, certify_uniform
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.solver.spread import effective_sample_size
from tsds_qdrant.solver.sweep import Sweep, column_sums
from tsds_qdrant.solver.tradeoff import (
    checked_alpha,
    checked_cost_scale,
    scaled_weights,
    slope_budget,
)

Regularizer = Literal["kde", "uniform", "tv"]
REGULARIZERS: tuple[Regularizer, ...] = ("kde", "uniform", "tv")
Regime = Literal["capped", "half", "pool", "tv"]


@dataclass(frozen=True)
class TransportProblem:
    """What :func:`solve_transport` needs.

    Attributes:
        lists: nearest candidates of the M query examples.
        densities: (candidates,) density of each candidate number, at least 1.
        alpha: in (0, 1): alignment (1) against diversity (0).
        cost_scale: C > 0, the unit of distance.
        regularizer: ``kde``, ``uniform`` or ``tv``.
        query_weights: (M,) weights m_i of the query examples; equal by default, scaled to sum 1.
        total_weight: a proven lower bound on Z; the listed candidates' own sum by default.
        candidates_total: N, the number of candidates of the pool; ``tv`` needs it.
    """

    lists: NeighborLists
    densities: FloatArray
    alpha: float
    cost_scale: float = 1.0
    regularizer: Regularizer = "kde"
    query_weights: FloatArray = field(default_factory=lambda: np.empty(0))
    total_weight: float | None = None
    candidates_total: int | None = None

    def __post_init__(self) -> None:
        checked_alpha(self.alpha)
        checked_cost_scale(self.cost_scale)
        if self.regularizer not in REGULARIZERS:
            known = ", ".join(REGULARIZERS)
            raise SettingsError(f"'{self.regularizer}' is no regularizer; choose one of {known}")
        object.__setattr__(
            self, "query_weights", scaled_weights(self.query_weights, self.lists.queries)
        )
        object.__setattr__(self, "densities", np.asarray(self.densities, dtype=np.float64))
        if self.lists.candidates.max() >= len(self.densities) or self.lists.candidates.min() < 0:
            raise SettingsError(
                f"candidates {self.lists.candidates.min()} to {self.lists.candidates.max()} are "
                f"listed but there are {len(self.densities)} densities; give one for each number"
            )
        if not (self.densities >= 1.0).all():
            raise SettingsError(
                f"a density is {float(np.min(self.densities)):g}; densities are at least 1"
            )

    @property
    def budget(self) -> float:
        """B = (1 - alpha) C / alpha, what the slope T(s) of the transport cost must reach."""
        return slope_budget(self.alpha, self.cost_scale)


@dataclass(frozen=True)
class TransportSolution:
    """An optimal plan, and the proof that it is one.

    Attributes:
        problem: what was solved.
        regime: ``capped`` (threshold s), ``half`` (s = Z / 2), ``pool`` (p_j proportional to
            1 / density_j over the whole pool, whatever the task) or ``tv``.
        threshold: s; infinite in regimes without one.
        plan: (n,) mass of each entry of the lists.
        probabilities: (candidates,) p, sum 1.
        converged: the lists reach far enough to prove optimality over the whole pool.
        certificate: primal and dual objective.
    """

    problem: TransportProblem
    regime: Regime
    threshold: float
    plan: FloatArray
    probabilities: FloatArray
    converged: bool
    certificate: Certificate

    @property
    def support(self) -> int:
        """Number of candidates with p > 0."""
        return int(np.count_nonzero(self.probabilities))

    @property
    def effective_size(self) -> float:
        """Effective sample size 1 / sum p^2."""
        return effective_sample_size(self.probabilities)

    @property
    def transport_cost(self) -> float:
        """sum_ij gamma_ij d_ij: mean distance from a task example to what it chose."""
        return float(self.plan @ self.problem.lists.distances)


def solve_transport(problem: TransportProblem) -> TransportSolution:
    """Solve ``problem`` exactly (up to float64).

    The lists may be truncated: ``converged`` says whether they reach as far as the proof of
    optimality over the whole pool needs. If not, the solution is that of the listed candidates
    with every list ended where it was cut.
    """
    if problem.regularizer == "tv":
        return _solve_tv(problem)
    densities = problem.densities
    if problem.regularizer == "uniform":
        densities = np.ones_like(densities)
    sweep = Sweep.over(problem.lists, densities, problem.query_weights, budget=problem.budget)
    total = _pool_weight(problem, sweep, densities)
    threshold = sweep.threshold(problem.budget)
    if not problem.lists.complete.all():
        proven = threshold <= min(sweep.horizon, total / 2)
        reachable = min(threshold, float(sweep.totals.min()))
        return _capped(problem, sweep, reachable, total, converged=proven)
    if threshold <= total / 2:
        return _capped(problem, sweep, threshold, total, converged=True)
    if sweep.even_slope(total) >= problem.budget:
        return _capped(problem, sweep, total / 2, total, converged=True, regime="half")
    pool_plan = sweep.even_plan(total)
    return TransportSolution(
        problem,
        "pool",
        float("inf"),
        pool_plan,
        column_sums(problem.lists, pool_plan, len(problem.densities)),
        converged=True,
        certificate=certify_uniform(sweep, problem.alpha, problem.cost_scale, total, pool_plan),
    )


def _pool_weight(problem: TransportProblem, sweep: Sweep, densities: FloatArray) -> float:
    """Z if a list holds the whole pool, else a lower bound on it."""
    if problem.lists.complete.any():
        return float(sweep.totals[problem.lists.complete][0])
    if problem.total_weight is not None:
        return problem.total_weight
    listed = np.zeros(len(densities), dtype=np.bool_)
    listed[problem.lists.candidates] = True
    return float(np.sum(1.0 / densities[listed]))


def _capped(
    problem: TransportProblem,
    sweep: Sweep,
    threshold: float,
    total: float,
    converged: bool,
    regime: Regime = "capped",
) -> TransportSolution:
    plan = sweep.plan(threshold)
    return TransportSolution(
        problem,
        regime,
        threshold,
        plan,
        column_sums(problem.lists, plan, len(problem.densities)),
        converged,
        certify_capped(sweep, problem.alpha, problem.cost_scale, threshold, total, plan),
    )


def _solve_tv(problem: TransportProblem) -> TransportSolution:
    """G_TV: each row keeps 1/N on what lies within C (1 - alpha) / alpha of its nearest."""
    lists = problem.lists
    total = problem.candidates_total
    if total is None:
        if not lists.complete.all():
            raise SettingsError("the regularizer 'tv' needs the number of candidates of the pool")
        total = int(lists.depths[0])
    nearest = lists.distances[lists.offsets[:-1]]
    radius = nearest + problem.budget
    within = lists.distances <= np.repeat(radius, lists.depths)
    plan = np.where(within, np.repeat(problem.query_weights / total, lists.depths), 0.0)
    kept = np.add.reduceat(within.astype(np.float64), lists.offsets[:-1])
    plan[lists.offsets[:-1]] += problem.query_weights * (1.0 - kept / total)
    reach = lists.distances[lists.offsets[1:] - 1]
    return TransportSolution(
        problem,
        "tv",
        float("inf"),
        plan,
        column_sums(problem.lists, plan, len(problem.densities)),
        converged=bool((lists.complete | (reach > radius)).all()),
        certificate=certify_tv(
            lists, problem.query_weights, problem.alpha, problem.cost_scale, total, plan
        ),
    )
