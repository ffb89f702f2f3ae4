"""Unbalanced plans: worked numbers, what makes them optimal, and lists that are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Array
from profiles import examples
from scipy.optimize import minimize

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.solver.relaxed import Pairs, relaxed_plan

SIMILARITY = np.array([[0.9, 0.8, 0.7, 0.1, 0.0], [0.95, 0.1, 0.2, 0.8, 0.3]])
HALVES = np.array([0.5, 0.5])


@pytest.mark.parametrize(
    ("relax", "wanted"),
    [(1e-4, [0.9961, 0.0035, 0.0, 0.0003, 0.0]), (1e4, [0.2, 0.2, 0.2, 0.2, 0.2])],
)
def test_worked_numbers(relax: float, wanted: list[float]) -> None:
    found = relaxed_plan(Pairs.dense((1 - SIMILARITY) / 2), HALVES, relax=relax)
    assert found.converged
    assert found.masses.round(4).tolist() == wanted


def objective(logits: Array, cost: Array, weights: Array, epsilon: float, relax: float) -> float:
    """The objective of a plan whose rows are softmaxes of ``logits``."""
    logits = logits.reshape(cost.shape)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = np.maximum(shares, 1e-300)  # whose logarithm is finite wherever the search looks
    plan = weights[:, None] * shares / shares.sum(axis=1, keepdims=True)
    even = 1 / cost.shape[1]
    entropy = (plan * np.log(plan / (weights[:, None] * even))).sum()
    column = plan.sum(axis=0)
    return float(
        (plan * cost).sum() + epsilon * entropy + relax * (column * np.log(column / even)).sum()
    )


@settings(max_examples=examples(12), deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.02, 0.3, 5.0]))
def test_a_minimiser_finds_nothing_better(seed: int, relax: float) -> None:
    """Over all plans with these row sums, from elsewhere and from the plan itself."""
    rng = np.random.default_rng(seed)
    cost, weights = rng.random((3, 4)), rng.random(3) + 0.2
    weights /= weights.sum()
    found = relaxed_plan(Pairs.dense(cost), weights, epsilon=0.1, relax=relax)
    assert found.converged
    logits = (-cost - relax * (found.log_masses + np.log(4))) / 0.1
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    plan = weights[:, None] * shares / shares.sum(axis=1, keepdims=True)
    assert plan.sum(axis=0) == pytest.approx(found.masses, abs=1e-6)
    least = objective(logits, cost, weights, 0.1, relax)
    for begin in (logits.ravel(), -cost.ravel() / 0.1, np.zeros(12)):
        other = minimize(objective, begin, (cost, weights, 0.1, relax))
        assert other.fun >= least - 1e-9
    assert objective(np.zeros(12), cost, weights, 0.1, relax) > least


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(0, 2**32))
def test_pairs_that_are_left_out_carry_nothing(seed: int) -> None:
    """They are what a cost without end makes of them."""
    rng = np.random.default_rng(seed)
    cost = rng.random((4, 9))
    kept = rng.random((4, 9)) < 0.5
    kept[:, 0] = True
    kept[rng.integers(4, size=9), np.arange(9)] = True
    row, column = np.nonzero(kept)
    offsets = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    found = relaxed_plan(Pairs(offsets, column, cost[row, column]), np.full(4, 0.25))
    far = relaxed_plan(Pairs.dense(np.where(kept, cost, 50.0)), np.full(4, 0.25))
    assert found.log_masses == pytest.approx(far.log_masses, abs=1e-6)


def test_masses_too_small_for_floats_still_have_an_order() -> None:
    cost = np.array([[0.0, 9.0, 8.0, 9.5]])
    found = relaxed_plan(Pairs.dense(cost), np.ones(1))
    assert found.masses[1:].tolist() == [0, 0, 0]
    assert np.argsort(-found.log_masses).tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_weight_is_refused(value: float) -> None:
    for name in ("epsilon", "relax"):
        with pytest.raises(SettingsError, match=f"{name} is .*; it must be a number above 0"):
            relaxed_plan(Pairs.dense(SIMILARITY), HALVES, **{name: value})
