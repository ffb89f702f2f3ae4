"""Proof of optimality: the primal objective of a plan beside a dual objective.

Every dual value here is that of a feasible dual point, so ``gap`` bounds how far the plan can be
from the optimum over the *whole* pool, listed or not: candidates beyond a row's price
theta_i have dual multiplier zero whatever their density. Where only a lower bound on Z is known,
the dual objective is still a lower bound, and the gap still zero at a converged solution: the
constant (1 - alpha) / Z of ``kde`` and ``uniform`` then stands in both objectives.

Derivation: row sums have the multipliers u_i = (alpha / C) theta_i, the caps
gamma_ij <= m_i w_j (1/Z + t) have v_ij, the floors gamma_ij >= m_i w_j (1/Z - t) have l_ij;
feasible when u_i - v_ij + l_ij <= (alpha / C) d_ij and sum_ij m_i w_j (v_ij + l_ij) <= 1 - alpha.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import BoolArray, FloatArray, IntArray
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.solver.sweep import Sweep


@dataclass(frozen=True)
class Certificate:
    """Objectives of a plan; ``gap`` is zero, up to rounding, exactly at an optimum."""

    primal: float
    dual: float

    @property
    def gap(self) -> float:
        """Primal minus dual objective."""
        return self.primal - self.dual


def certify_capped(
    sweep: Sweep, alpha: float, cost_scale: float, threshold: float, total: float, plan: FloatArray
) -> Certificate:
    """Certify the plan of ``sweep`` at ``threshold`` s, with ``total`` Z or a lower bound on it."""
    lists = sweep.lists
    unit = alpha / cost_scale
    spread = max(1 / threshold - 1 / total, 1 / total)
    primal = unit * float(plan @ lists.distances) + (1 - alpha) * spread
    theta = _prices(sweep, alpha, cost_scale, threshold)
    below = _per_query(sweep, np.maximum(np.repeat(theta, lists.depths) - lists.distances, 0.0))
    # theta uses up the budget of sum m w v, or what is left is given to the floors l.
    caps = float(sweep.query_weights @ below)
    prices = float(sweep.query_weights @ theta)
    budget = (1 - alpha) / unit
    above = np.maximum(lists.distances - np.repeat(theta, lists.depths), 0.0)
    floors = float(sweep.query_weights @ _per_query(sweep, above)) if lists.complete.all() else 0.0
    floors = min(floors, max(budget - caps, 0.0))
    return Certificate(primal, unit * (prices - (caps - floors) / total))


def _prices(sweep: Sweep, alpha: float, cost_scale: float, threshold: float) -> FloatArray:
    """(M,) theta: the distance at weight s, moved part of its last jump so that T(s) is B."""
    lists = sweep.lists
    last = lists.offsets[1:] - 1
    # Entries are in order inside a list, so counting those in front of s finds the marginal one.
    marginal = lists.offsets[:-1] + _counts(sweep, sweep.cumulated < threshold)
    marginal = np.minimum(marginal, last)
    following = lists.offsets[:-1] + _counts(sweep, sweep.cumulated <= threshold)
    following = np.minimum(following, last)
    low, high = lists.distances[marginal], lists.distances[following]
    floor, jump = sweep.slope_below(threshold), sweep.slope(threshold)
    budget = (1 - alpha) * cost_scale / alpha
    share = (budget - floor) / (jump - floor) if jump > floor else 0.0
    prices: FloatArray = low + min(max(share, 0.0), 1.0) * (high - low)
    return prices


def _counts(sweep: Sweep, mask: BoolArray) -> IntArray:
    counted: IntArray = np.add.reduceat(mask.astype(np.int64), sweep.lists.offsets[:-1])
    return counted


def _per_query(sweep: Sweep, values: FloatArray) -> FloatArray:
    summed: FloatArray = np.add.reduceat(sweep.weights * values, sweep.lists.offsets[:-1])
    return summed


def certify_uniform(
    sweep: Sweep, alpha: float, cost_scale: float, total: float, plan: FloatArray
) -> Certificate:
    """Certify p_j = w_j / Z: G is zero, and the dual spends at most its budget around medians."""
    lists = sweep.lists
    unit = alpha / cost_scale
    marginal = lists.offsets[:-1] + _counts(sweep, sweep.cumulated < total / 2)
    theta = lists.distances[np.minimum(marginal, lists.offsets[1:] - 1)]
    away = lists.distances - np.repeat(theta, lists.depths)
    spent = float(sweep.query_weights @ _per_query(sweep, np.abs(away)))
    scale = min(1.0, (1 - alpha) / (unit * spent)) if unit * spent > 0 else 1.0
    drift = float(sweep.query_weights @ _per_query(sweep, away))
    dual = unit * (float(sweep.query_weights @ theta) + scale * drift / total)
    return Certificate(unit * float(plan @ lists.distances), dual)


def certify_tv(
    lists: NeighborLists,
    query_weights: FloatArray,
    alpha: float,
    cost_scale: float,
    candidates: int,
    plan: FloatArray,
) -> Certificate:
    """Certify a plan of G_TV over ``candidates`` N; u_i = (alpha / C) d_i1 + (1 - alpha) / 2."""
    unit = alpha / cost_scale
    share = np.repeat(query_weights / candidates, lists.depths)
    unlisted = query_weights * (candidates - lists.depths) / candidates
    primal = unit * float(plan @ lists.distances) + (1 - alpha) / 2 * (
        float(np.abs(plan - share).sum()) + float(unlisted.sum())
    )
    u = unit * lists.distances[lists.offsets[:-1]] + (1 - alpha) / 2
    kept = np.minimum(unit * lists.distances - np.repeat(u, lists.depths), (1 - alpha) / 2)
    # What is not listed lies at the end of its list or beyond.
    kept_unlisted = kept[lists.offsets[1:] - 1]
    dual = float(query_weights @ u) + float(share @ kept) + float(unlisted @ kept_unlisted)
    return Certificate(primal, dual)
