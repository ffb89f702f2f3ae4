"""Entropic plans against the linear program, and against what makes them optimal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracles import Array, transport_program
from profiles import examples

from tsds_qdrant.errors import InputError
from tsds_qdrant.solver.entropic import Marginals, entropic_plan

FEW = settings(max_examples=examples(30), deadline=None)


def problem_of(seed: int) -> Marginals:
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 9, size=2)
    rows, columns = rng.random(n) + 0.2, rng.random(m) + 0.2
    even = rng.random() < 0.5
    cost = 2 * rng.random((n, m))
    if even:
        return Marginals.uniform(cost)
    return Marginals(cost, rows / rows.sum(), columns / columns.sum())


@FEW
@given(st.integers(0, 2**32))
def test_the_value_comes_down_to_that_of_the_linear_program(seed: int) -> None:
    problem = problem_of(seed)
    least = transport_program(problem.cost, problem.rows, problem.columns)
    found = entropic_plan(problem, epsilon=2e-3, sweeps=20_000)
    assert found.plan.sum(axis=0) == pytest.approx(problem.columns, abs=1e-12)
    assert np.abs(found.plan.sum(axis=1) - problem.rows).sum() == pytest.approx(
        found.error, abs=1e-9
    )
    assert found.value >= least - 4 * found.error - 1e-9
    if found.converged:  # it exceeds the least by at most eps times the entropy of a plan
        assert found.value <= least + 2e-3 * np.log(problem.cost.size) + 1e-5
    assert problem.bound <= least + 1e-9


@FEW
@example(84822598, 0.05)
@given(st.integers(0, 2**32), st.sampled_from([0.05, 0.3, 2.0]))
def test_no_plan_beside_it_is_better(seed: int, epsilon: float) -> None:
    """Moving mass around any four entries leaves <P, C> + eps KL(P | a b) no smaller."""
    problem = problem_of(seed)
    found = entropic_plan(problem, epsilon=epsilon, sweeps=100_000)  # a few need many at .05
    assert found.converged
    plan, even = found.plan, np.outer(problem.rows, problem.columns)

    def objective(p: Array) -> float:
        return float((p * problem.cost).sum() + epsilon * (p * np.log(p / even)).sum())

    best, rng = objective(plan), np.random.default_rng(seed)
    n, m = plan.shape
    for _ in range(20 if min(n, m) > 1 else 0):
        (i, k), (j, el) = rng.choice(n, 2, replace=False), rng.choice(m, 2, replace=False)
        moved = 0.3 * min(plan[i, el], plan[k, j])
        beside = plan.copy()
        beside[[i, k], [j, el]] += moved
        beside[[i, k], [el, j]] -= moved
        assert objective(beside) >= best - 1e-12


@pytest.mark.parametrize("epsilon", [1e-3, 1e-2])
def test_what_one_kernel_cannot_hold_is_absorbed(epsilon: float) -> None:
    """Far groups make entries of exp(-C / eps) that are 0 in floating point."""
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((30, 1)), rng.random((20, 1)) + rng.choice([0, 40], size=(20, 1))
    cost = np.abs(ours - theirs.T)
    assert np.exp(-cost.max() / epsilon) == 0
    found = entropic_plan(Marginals.uniform(cost), epsilon=epsilon, sweeps=5_000)
    least = transport_program(cost, np.full(30, 1 / 30), np.full(20, 1 / 20))
    assert found.value == pytest.approx(least, abs=epsilon * np.log(600) + 100 * found.error)
    assert np.isfinite(found.row_potentials).all()


def test_identical_sets_are_nothing_apart() -> None:
    points = np.random.default_rng(1).random((40, 3))
    cost = np.linalg.norm(points[:, None] - points, axis=2)
    found = entropic_plan(Marginals.uniform(cost), epsilon=1e-3)
    assert found.value < 1e-3
    assert entropic_plan(Marginals.uniform(np.zeros((3, 2)))).value == 0


def test_a_far_row_has_the_larger_potential() -> None:
    """Its mass costs more: so the smallest are the best."""
    for cost in ([[0.1, 0.2], [0.9, 1.0]], [[0.9, 1.0], [0.1, 0.2]]):
        f = entropic_plan(Marginals.uniform(np.array(cost))).row_potentials
        assert abs(f[0] - f[1]) == pytest.approx(0.8)
        assert (f[0] > f[1]) == (cost[0][0] > cost[1][0])


@pytest.mark.parametrize(
    ("cost", "rows", "told"),
    [
        (np.zeros((0, 2)), np.empty(0), "there must be one at least"),
        (np.array([[np.inf, 1.0]]), np.ones(1), "all of them finite"),
        (np.ones((2, 2)), np.array([1.0, 0.0]), "give one above 0 for each"),
        (np.ones((2, 2)), np.array([0.5, 0.4]), "with the sum 1"),
        (np.ones((2, 2)), np.ones(1), "1 row sums of a transport of 2 rows"),
    ],
)
def test_what_is_no_problem_is_refused(cost: Array, rows: Array, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Marginals(cost, rows, np.full(cost.shape[1], 1 / cost.shape[1]))
    with pytest.raises(InputError, match="epsilon is -1; it must be above 0"):
        entropic_plan(Marginals.uniform(np.ones((2, 2))), epsilon=-1.0)
