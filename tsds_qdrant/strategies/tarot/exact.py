"""Exact optimal transport: a linear program over the pairs that matter, proved for all the others.

An entropic plan says which pairs can carry mass. The program over those gives potentials f and g;
where f_i + g_j <= C_ij holds for all pairs, its optimum is that of the whole problem. Pairs that
break this join, and it is solved again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.errors import TsdsError
from tsds_qdrant.solver.entropic import Marginals, entropic_plan

MOST_ENTRIES = 200_000
"""Problems of up to that many pairs are solved exactly."""
FIRST_PAIRS = 4
"""Pairs for each row and column in the first program."""
FIRST_SWEEPS = 200
SPREAD = 0.1
"""eps of the first plan, as a share of how much costs exceed the least of their column."""
SLACK = 1e-9
"""Within this share of the largest cost f_i + g_j <= C_ij holds."""


@dataclass(frozen=True)
class Transport:
    """The cost of moving rows to columns.

    Attributes:
        value: <plan, C>.
        exact: proved to be the least; else that of an entropic plan, which is a little more.
        converged: of the entropic plan; True where exact.
    """

    value: float
    exact: bool
    converged: bool = True


@dataclass(frozen=True)
class ExactPlan:
    """A least plan and its proof.

    Attributes:
        value: <plan, C>, which is a f + b g.
        row_potentials: (n,) f.
        column_potentials: (m,) g.
        pairs: how many pairs the last program had.
    """

    value: float
    row_potentials: FloatArray
    column_potentials: FloatArray
    pairs: int


def transport_of(problem: Marginals, *, most: int = MOST_ENTRIES) -> Transport:
    """The cost of ``problem``: exact up to ``most`` pairs, and by Sinkhorn's sweeps beyond."""
    if problem.cost.size <= most:
        return Transport(exact_plan(problem).value, exact=True)
    found = entropic_plan(problem)
    return Transport(found.value, exact=False, converged=found.converged)


def exact_plan(problem: Marginals) -> ExactPlan:
    """Solve ``problem`` exactly.

    Raises:
        TsdsError: the solver gives up.
    """
    cost, (n, m) = problem.cost, problem.cost.shape
    spread = float(np.median(cost - cost.min(axis=0)))
    rough = entropic_plan(problem, epsilon=SPREAD * spread or None, sweeps=FIRST_SWEEPS)
    reduced = cost - rough.row_potentials[:, None] - rough.column_potentials
    count = min(cost.size, FIRST_PAIRS * (n + m))
    pairs = np.argpartition(reduced.ravel(), count - 1)[:count]
    pairs = np.union1d(pairs, _corner(problem))
    largest = float(np.abs(cost).max()) or 1.0
    while True:
        value, f, g = _program(problem, pairs)
        broken = np.flatnonzero((cost - f[:, None] - g).ravel() < -SLACK * largest)
        more = np.setdiff1d(broken, pairs)
        if not len(more):
            return ExactPlan(value, f, g, len(pairs))
        pairs = np.union1d(pairs, more)


def _corner(problem: Marginals) -> IntArray:
    """Pairs of a plan that exists whatever the costs: rows and columns are used up in order."""
    rows, columns = np.cumsum(problem.rows), np.cumsum(problem.columns)
    cuts = np.unique(np.concatenate([[0.0], rows, columns]))
    middles = (cuts[1:] + cuts[:-1]) / 2
    n, m = problem.cost.shape
    row = np.minimum(np.searchsorted(rows, middles), n - 1)
    column = np.minimum(np.searchsorted(columns, middles), m - 1)
    pairs: IntArray = row * m + column
    return pairs


def _program(problem: Marginals, pairs: IntArray) -> tuple[float, FloatArray, FloatArray]:
    """The optimum over ``pairs`` (p,), each of them row * m + column, and its potentials."""
    from scipy.optimize import linprog
    from scipy.sparse import csc_matrix

    n, m = problem.cost.shape
    places = np.concatenate([pairs // m, n + pairs % m])
    within = np.tile(np.arange(len(pairs)), 2)
    sums = csc_matrix((np.ones(len(places)), (places, within)), shape=(n + m, len(pairs)))
    scale = max(n, m)  # the tolerances of the solver suit masses and costs of about 1
    largest = float(np.abs(problem.cost).max()) or 1.0
    found = linprog(
        problem.cost.ravel()[pairs] / largest,
        A_eq=sums,
        b_eq=scale * np.concatenate([problem.rows, problem.columns]),
        method="highs-ds",
    )
    if not found.success:
        raise TsdsError(
            f"no optimal transport between {n} candidates and {m} task examples was found "
            f"({found.message}); give fewer task examples"
        )
    potentials = largest * np.asarray(found.eqlin.marginals)
    return largest * float(found.fun) / scale, potentials[:n], potentials[n:]
