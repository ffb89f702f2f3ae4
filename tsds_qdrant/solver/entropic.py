"""Entropic optimal transport in the log domain: Sinkhorn's sweeps, with eps scaled down.

The plan is P_ij = a_i b_j exp((f_i + g_j - C_ij) / eps), its rows sum to a and its columns to b.

Cuturi, NeurIPS 2013; scaling of eps, and absorption of what the scalings have become into the
potentials: Schmitzer, SIAM J. Sci. Comput. 2019, arXiv 1610.06519.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.errors import InputError

END_SHARE = 0.01
"""The last eps, as a share of the median cost."""
SWEEPS = 2_000
"""At most that many sweeps at the last eps."""
WARM_SWEEPS = 20
"""At most that many at each eps before."""
TOLERANCE = 1e-6
"""Sum of what the row sums of the plan are off by, at most."""
INNER = 100
"""Sweeps by one kernel before it is computed again."""
LARGEST_LOG = 50.0
"""Scalings beyond e to this, or below e to minus this, are absorbed into the potentials."""


@dataclass(frozen=True)
class Marginals:
    """A transport problem.

    Attributes:
        cost: (n, m) C, finite.
        rows: (n,) a, above 0, sum 1.
        columns: (m,) b, above 0, sum 1.
    """

    cost: FloatArray
    rows: FloatArray
    columns: FloatArray

    def __post_init__(self) -> None:
        if not self.cost.size or not np.isfinite(self.cost).all():
            raise InputError(
                f"the costs of a transport are of shape {self.cost.shape}; there must be one at "
                f"least, and all of them finite"
            )
        for name, sums, count in zip(
            ("row", "column"), (self.rows, self.columns), self.cost.shape, strict=True
        ):
            if len(sums) != count or not (sums > 0).all() or abs(sums.sum() - 1) > TOLERANCE:
                raise InputError(
                    f"{len(sums)} {name} sums of a transport of {count} {name}s add up to "
                    f"{sums.sum():g}; give one above 0 for each, with the sum 1"
                )

    @classmethod
    def uniform(cls, cost: FloatArray, columns: FloatArray | None = None) -> Marginals:
        """All rows weigh the same, and all columns where ``columns`` does not say otherwise."""
        n, m = cost.shape
        even = np.full(m, 1.0 / max(m, 1)) if columns is None else columns
        return cls(cost, np.full(n, 1.0 / max(n, 1)), even)

    @property
    def bound(self) -> float:
        """A lower bound on the cost of any plan: everything goes to what is nearest to it."""
        nearest = self.rows @ self.cost.min(axis=1), self.columns @ self.cost.min(axis=0)
        return float(max(nearest))


@dataclass(frozen=True)
class EntropicPlan:
    """A solution, as far as the sweeps have come.

    Attributes:
        problem: what it solves.
        row_potentials: (n,) f; unique, with g, up to a constant that one gains and one loses.
        column_potentials: (m,) g.
        epsilon: the last eps.
        sweeps: how many there were at that eps.
        error: sum of what the row sums are off by; the column sums are right.
        converged: whether that is as small as was asked for.
    """

    problem: Marginals
    row_potentials: FloatArray
    column_potentials: FloatArray
    epsilon: float
    sweeps: int
    error: float
    converged: bool

    @property
    def plan(self) -> FloatArray:
        """(n, m) P."""
        return _kernel(self.problem, self.row_potentials, self.column_potentials, self.epsilon)

    @property
    def value(self) -> float:
        """<P, C>: the cost of the plan alone, without its entropy."""
        return float((self.plan * self.problem.cost).sum())


def entropic_plan(
    problem: Marginals,
    *,
    epsilon: float | None = None,
    sweeps: int = SWEEPS,
    tolerance: float = TOLERANCE,
) -> EntropicPlan:
    """Solve ``problem``, with eps halved from the largest cost down to ``epsilon``.

    Args:
        problem: costs, and sums of rows and columns.
        epsilon: the last eps; by default .01 of the median cost.
        sweeps: at most that many at the last eps.
        tolerance: the error at which to stop.

    Raises:
        InputError: an epsilon that is not positive.
    """
    cost = problem.cost
    largest = float(np.abs(cost).max())
    if epsilon is None:
        epsilon = END_SHARE * (float(np.median(cost)) or largest or 1.0)
    if epsilon <= 0:
        raise InputError(f"epsilon is {epsilon:g}; it must be above 0")
    f, g = np.zeros(len(problem.rows)), np.zeros(len(problem.columns))
    eps = largest
    while eps > epsilon:
        f, g, _, _ = _swept(problem, f, g, (eps, WARM_SWEEPS, tolerance))
        eps /= 2
    f, g, done, error = _swept(problem, f, g, (epsilon, sweeps, tolerance))
    return EntropicPlan(problem, f, g, epsilon, done, error, converged=error < tolerance)


def _swept(
    problem: Marginals, f: FloatArray, g: FloatArray, until: tuple[float, int, float]
) -> tuple[FloatArray, FloatArray, int, float]:
    """Potentials after sweeps at one eps, how many there were, and the error.

    *subtle*: each round begins with a sweep in the log domain, after which no entry of the kernel
    that matters underflows; then scalings take over, which are products of a matrix and a vector,
    until they grow so large or small that the potentials must take them up.

    Args:
        problem: as given.
        f: (n,) where to begin.
        g: (m,) where to begin.
        until: eps, how many sweeps at most, and the error at which to stop.
    """
    (eps, most, tolerance), a, b = until, problem.rows, problem.columns
    done, error = 0, math.inf
    while done < most and error >= tolerance:
        f = _softened(problem.cost - g, b, eps)
        g = _softened((problem.cost - f[:, None]).T, a, eps)
        kernel, u, v = _kernel(problem, f, g, eps), np.ones(len(a)), np.ones(len(b))
        done += 1
        for _ in range(INNER):
            sent = kernel @ v
            error = float(np.abs(u * sent - a).sum())
            if error < tolerance or done >= most:
                break
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                rows = a / sent
                columns = b / (kernel.T @ rows)
                small = np.abs(np.log(np.concatenate([rows, columns]))) < LARGEST_LOG
            if not small.all():
                break
            u, v, done = rows, columns, done + 1
        f, g = f + eps * np.log(u), g + eps * np.log(v)
    return f, g, done, error


def _softened(cost: FloatArray, weights: FloatArray, eps: float) -> FloatArray:
    """(n,) -eps log sum_j w_j exp(-C_ij / eps) of each row of ``cost`` (n, m)."""
    least = cost.min(axis=1)
    softened: FloatArray = least - eps * np.log(np.exp((least[:, None] - cost) / eps) @ weights)
    return softened


def _kernel(problem: Marginals, f: FloatArray, g: FloatArray, eps: float) -> FloatArray:
    """(n, m) the plan of the potentials."""
    shifted = (f[:, None] + g - problem.cost) / eps
    plan: FloatArray = problem.rows[:, None] * problem.columns * np.exp(shifted)
    return plan
