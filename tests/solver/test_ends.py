"""The end of the path: every size has an alpha, and the solver agrees about it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Array, Instance, full_lists, objective, plan_matrix, random_instance, solve_lp
from profiles import examples

from tsds_qdrant.solver.ends import (
    alpha_of_effective_size,
    alpha_of_support,
    end_solutions,
    pool_alpha,
)
from tsds_qdrant.solver.path import RegularizationPath
from tsds_qdrant.solver.sweep import Sweep
from tsds_qdrant.solver.transport import TransportSolution, solve_transport

few = settings(deadline=None, max_examples=examples(100))
instances = st.builds(
    random_instance, st.integers(0, 10**9), candidates=st.just(16), ties=st.booleans()
)


def path_over(x: Instance) -> RegularizationPath:
    sweep = Sweep.over(full_lists(x.distances), x.densities, x.query_weights)
    limit = float(sweep.totals[0]) / 2
    return RegularizationPath(sweep, x.cost_scale, len(x.densities), limit)


def solved(x: Instance, alpha: float) -> TransportSolution:
    return solve_transport(replace(x, alpha=alpha).problem())


def support(p: Array) -> int:
    return int(np.count_nonzero(p > 1e-9 * p.max()))


def alphas_of(x: Instance) -> list[float]:
    """An alpha of every solution there is, falling, with a grid between them."""
    path = path_over(x)
    steps = np.unique(path.sweep.thresholds)
    found = [path.alpha_at(step) for step in steps[steps <= path.limit].tolist()]
    found += [alpha for alpha, _ in end_solutions(path)]
    return sorted({*found, *np.geomspace(1e-6, 0.999, 40).tolist()}, reverse=True)


@few
@given(instances)
def test_the_ends_are_what_the_solver_and_a_linear_program_find(x: Instance) -> None:
    regimes = []
    for alpha, p in end_solutions(path_over(x)):
        solution = solved(x, alpha)
        regimes.append(solution.regime)
        np.testing.assert_allclose(solution.probabilities, p, atol=1e-12)
        y = replace(x, alpha=alpha)
        best = solve_lp(y.distances, y.densities, alpha, y.cost_scale, y.query_weights, "kde")
        plan = plan_matrix(solution, len(x.densities))
        assert objective(y, plan, "kde") == pytest.approx(best, abs=1e-9)
    assert regimes[-1] == "pool"
    assert regimes[:-1] in ([], ["half"], ["capped"])


@few
@given(instances, st.floats(1e-9, 1))
def test_the_pool_is_taken_evenly_at_every_smaller_alpha(x: Instance, share: float) -> None:
    weights = 1 / x.densities
    for alpha in (pool_alpha(path_over(x)), share * pool_alpha(path_over(x))):
        np.testing.assert_allclose(
            solved(x, alpha).probabilities, weights / weights.sum(), atol=1e-12
        )


@few
@given(instances)
def test_every_support_is_that_of_the_largest_alpha_that_has_it(x: Instance) -> None:
    path = path_over(x)
    known = {alpha: solved(x, alpha) for alpha in alphas_of(x)}
    for size in range(1, len(x.densities) + 1):
        alpha = alpha_of_support(path, size)
        found = solved(x, alpha)
        assert found.support >= size
        for larger, other in known.items():
            if larger > alpha and other.threshold != found.threshold:
                assert support(other.probabilities) < size


@few
@given(instances)
def test_an_effective_size_is_reached_wherever_any_alpha_reaches_it(x: Instance) -> None:
    path = path_over(x)
    sizes = [solved(x, alpha).effective_size for alpha in alphas_of(x)]
    for size in range(1, len(x.densities) + 1):
        if path.threshold_for_effective_size(size) <= path.limit:
            continue
        found = solved(x, alpha_of_effective_size(path, size))
        ends = [1 / np.sum(p**2) for _, p in end_solutions(path)]
        if max(ends) >= size:
            assert found.effective_size >= size * (1 - 1e-8)
        else:
            assert found.support >= size
        assert found.effective_size >= size * (1 - 1e-8) or sizes[-1] < size


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("far", [0.0, 0.3, 2.5])
def test_candidates_that_are_equally_far_share_evenly(count: int, queries: int, far: float) -> None:
    distances = np.tile(far * np.arange(1, queries + 1)[:, None], count)
    x = Instance(distances, np.ones(count), 0.5, 1.0, np.full(queries, 1 / queries))
    path = path_over(x)
    for size in range(1, count + 1):
        for alpha in (alpha_of_support(path, size), alpha_of_effective_size(path, size)):
            assert alpha == pytest.approx(0.5)
            p = solved(x, alpha).probabilities
            assert len(set(p.tolist())) == 1
            assert p.sum() == pytest.approx(1)


def test_rounding_makes_no_half_of_candidates_that_are_equally_far() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        distances = np.tile(rng.random((3, 1)), 20)
        densities = 1 + rng.random(20)
        x = Instance(distances, densities, 0.5, 1.0, np.array([0.2, 0.3, 0.5]))
        ((alpha, p),) = end_solutions(path_over(x))
        assert alpha == pytest.approx(0.5)
        np.testing.assert_allclose(p, 1 / densities / np.sum(1 / densities))


@pytest.mark.parametrize("weight", [1e-13, 1e-16, 1e-17, 1e-30])
@pytest.mark.parametrize("size", [1, 2, 5, 9, 10])
def test_a_task_example_of_next_to_no_weight_leaves_an_alpha_below_one(
    weight: float, size: int
) -> None:
    rng = np.random.default_rng(3)
    x = Instance(
        np.stack([rng.random(10), np.full(10, 0.4)]),
        np.ones(10),
        0.5,
        1.0,
        np.array([weight, 1 - weight]),
    )
    path = path_over(x)
    for threshold, beyond in (
        (path.threshold_for_support(size), alpha_of_support),
        (path.threshold_for_effective_size(size), alpha_of_effective_size),
    ):
        alpha = path.alpha_at(threshold) if threshold <= path.limit else beyond(path, size)
        assert 0 < alpha < 1
        solution = solved(x, alpha)
        assert solution.support >= size
        assert solution.threshold == threshold or threshold > path.limit


@pytest.mark.parametrize("cost_scale", [1e-300, 1e-20, 1e20, 1e300])
def test_extreme_units_leave_an_alpha(cost_scale: float) -> None:
    x = replace(random_instance(5, candidates=16), cost_scale=cost_scale)
    path = path_over(x)
    for size in range(1, len(x.densities) + 1):
        alpha = alpha_of_support(path, size)
        assert 0 < alpha < 1
        assert solved(x, alpha).support >= size
