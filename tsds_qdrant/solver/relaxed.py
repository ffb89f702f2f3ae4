"""Unbalanced optimal transport: task examples send all they have, candidates take what comes.

Over plans P whose rows sum to m, minimise

    <P, C> + eps KL(P | m q) + relax KL(P^T 1 | q),    q_j = 1 / candidates

where KL(x | y) = sum x ln(x / y) - x + y. Small ``relax`` lets every task example send to what is
nearest to it; large ``relax`` gives every candidate the same. (arXiv 2602.14696 ranks by what
candidates receive; the sweeps are those of Chizat et al., Math. Comp. 2018, arXiv 1607.05816.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.errors import SettingsError

EPSILON = 0.01
RELAX = 1e-4
SWEEPS = 2_000
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Pairs:
    """Which task example may send to which candidate, and what that costs.

    Attributes:
        offsets: (M + 1,) pairs of task example i are ``offsets[i]:offsets[i + 1]``; each has one.
        candidates: (p,) number of a candidate, from 0; each of them has a pair.
        cost: (p,) C.
    """

    offsets: IntArray
    candidates: IntArray
    cost: FloatArray

    @classmethod
    def dense(cls, cost: FloatArray) -> Pairs:
        """All pairs of M task examples and n candidates, by ``cost`` (M, n)."""
        rows, columns = cost.shape
        return cls(np.arange(rows + 1) * columns, np.tile(np.arange(columns), rows), cost.ravel())


@dataclass(frozen=True)
class RelaxedPlan:
    """What candidates receive.

    Attributes:
        log_masses: (n,) logarithm of the mass that each candidate receives; the masses sum to 1.
        epsilon: as given.
        relax: as given.
        sweeps: how many there were.
        error: sum of what the masses of candidates are off by.
        converged: whether that is below the tolerance.
    """

    log_masses: FloatArray
    epsilon: float
    relax: float
    sweeps: int
    error: float
    converged: bool

    @property
    def masses(self) -> FloatArray:
        """(n,) the mass that each candidate receives."""
        received: FloatArray = np.exp(self.log_masses)
        return received


def relaxed_plan(
    pairs: Pairs,
    weights: FloatArray,
    *,
    epsilon: float = EPSILON,
    relax: float = RELAX,
    sweeps: int = SWEEPS,
) -> RelaxedPlan:
    """Solve by sweeps in the log domain.

    What all candidates' potentials have in common changes no plan, so it is left out of the error.

    Args:
        pairs: what is sent where, and at which cost.
        weights: (M,) m, above 0, sum 1.
        epsilon: eps, in units of the cost.
        relax: weight of what candidates may differ by, in the same units.
        sweeps: at most that many.

    Raises:
        SettingsError: epsilon or relax is not a positive number.
    """
    for name, value in (("epsilon", epsilon), ("relax", relax)):
        if not (math.isfinite(value) and value > 0):
            raise SettingsError(f"{name} is {value:g}; it must be a number above 0")
    order = np.argsort(pairs.candidates, kind="stable")
    counts = np.bincount(pairs.candidates)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    lengths, row_starts = np.diff(pairs.offsets), pairs.offsets[:-1]
    bend, even = relax / (relax + epsilon), -math.log(len(counts))
    cost, log_weights = pairs.cost / epsilon, np.log(np.repeat(weights, lengths))
    scaled, error, done = np.zeros(len(counts)), math.inf, 0
    while True:
        rows = -_log_sums(scaled[pairs.candidates] - cost, row_starts, lengths) - even
        arriving = (log_weights + np.repeat(rows, lengths) - cost)[order]
        sums = _log_sums(arriving, starts, counts)
        log_masses = sums + scaled + even
        wanted = _normal(even - scaled * (epsilon / relax))
        error = float(np.abs(np.exp(log_masses) - np.exp(wanted)).sum())
        if error < TOLERANCE or done >= sweeps:
            break
        scaled, done = -bend * sums, done + 1
    return RelaxedPlan(log_masses, epsilon, relax, done, error, converged=error < TOLERANCE)


def _normal(logs: FloatArray) -> FloatArray:
    """(n,) ``logs`` of masses, shifted so that these sum to 1."""
    largest = logs.max()
    normal: FloatArray = logs - largest - np.log(np.exp(logs - largest).sum())
    return normal


def _log_sums(values: FloatArray, starts: IntArray, lengths: IntArray) -> FloatArray:
    """(n,) ln sum exp of the ``values`` of each part, which begins at ``starts`` (n,)."""
    largest = np.maximum.reduceat(values, starts)
    shifted = np.exp(values - np.repeat(largest, lengths))
    summed: FloatArray = largest + np.log(np.add.reduceat(shifted, starts))
    return summed
