"""The regularisation path against the solver, alpha by alpha."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Array, Instance, cut, full_lists, random_instance
from profiles import examples

from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.solver.path import RegularizationPath
from tsds_qdrant.solver.sweep import Sweep
from tsds_qdrant.solver.tradeoff import slope_budget
from tsds_qdrant.solver.transport import solve_transport

few = settings(deadline=None, max_examples=examples(60))
seeds = st.integers(0, 10**9)
instances = st.builds(random_instance, seeds, candidates=st.just(25), ties=st.booleans())
ALPHAS = np.linspace(0.02, 0.98, 25).tolist()


def path_over(x: Instance, lists: NeighborLists) -> RegularizationPath:
    sweep = Sweep.over(lists, x.densities, x.query_weights)
    pool_weight = float(Sweep.over(full_lists(x.distances), x.densities, x.query_weights).totals[0])
    limit = min(sweep.horizon, pool_weight / 2)
    return RegularizationPath(sweep, x.cost_scale, len(x.densities), limit)


def known_steps(path: RegularizationPath) -> Array:
    steps = np.unique(path.sweep.thresholds)
    return steps[steps <= path.limit]


def support(path: RegularizationPath, threshold: float) -> int:
    return int(np.count_nonzero(path.sweep.probabilities(threshold, path.candidates)))


def effective_size(path: RegularizationPath, threshold: float) -> float:
    return float(1 / np.sum(path.sweep.probabilities(threshold, path.candidates) ** 2))


def test_every_point_is_what_the_solver_finds() -> None:
    met = set()
    for seed in range(60):
        x = random_instance(seed, candidates=25, ties=seed % 2 == 0)
        lists = full_lists(x.distances)
        path = path_over(x, lists)
        for alpha in ALPHAS:
            solution = solve_transport(replace(x, alpha=alpha).problem(lists))
            met.add(solution.regime)
            if solution.regime != "capped":
                assert path.sweep.threshold(slope_budget(alpha, x.cost_scale)) > path.limit
                continue
            point = path.at(alpha)
            assert (point.alpha, point.threshold) == (alpha, solution.threshold)
            assert point.support == solution.support
            assert point.effective_size == pytest.approx(solution.effective_size, rel=1e-12)
            assert point.transport_cost == pytest.approx(solution.transport_cost, abs=1e-12)
            used = np.count_nonzero(solution.plan) / len(x.distances)
            assert point.neighbors == pytest.approx(used, rel=1e-12)
    assert met == {"capped", "half", "pool"}


@few
@given(instances, seeds)
def test_the_alpha_of_a_breakpoint_leads_back_to_it(x: Instance, seed: int) -> None:
    lists = cut(x, seed)
    path = path_over(x, lists)
    pool_weight = float(np.sum(1 / x.densities))
    for step in known_steps(path):
        alpha = path.alpha_at(step)
        y = replace(x, alpha=alpha)
        solution = solve_transport(y.problem(lists, total_weight=pool_weight * (1 + 1e-12)))
        assert solution.threshold == step
        assert solution.converged
        assert path.at(alpha).threshold == step


@few
@given(instances)
def test_entrances_count_the_support_of_every_threshold(x: Instance) -> None:
    path = path_over(x, full_lists(x.distances))
    assert len(path.entrances) == len(x.densities)
    assert (np.diff(path.entrances) >= 0).all()
    for threshold in (*path.entrances[1:], *path.sweep.thresholds, 1e-3, 1e3):
        if threshold > 0:
            assert np.sum(path.entrances < threshold) == support(path, threshold)


@few
@given(instances, seeds)
def test_the_threshold_for_a_support_is_the_first_that_has_it(x: Instance, seed: int) -> None:
    path = path_over(x, cut(x, seed))
    steps = known_steps(path)
    sizes = np.array([support(path, step) for step in steps])
    for size in range(1, len(x.densities) + 2):
        enough = steps[sizes >= size]
        expected = enough[0] if len(enough) else np.inf
        assert path.threshold_for_support(size) == expected


@few
@given(instances, seeds, st.floats(1, 30))
def test_the_threshold_for_an_effective_size_has_it(x: Instance, seed: int, size: float) -> None:
    path = path_over(x, cut(x, seed))
    steps, found = known_steps(path), path.threshold_for_effective_size(size)
    size *= 1 - 1e-9  # what rounding may take
    if found < np.inf:
        assert found in steps
        assert effective_size(path, found) >= size
        place = int(np.searchsorted(steps, found))
        assert place == 0 or effective_size(path, steps[place - 1]) < size
    else:
        assert not len(steps) or effective_size(path, steps[-1]) < size


@pytest.mark.parametrize(("size", "threshold"), [(1, 1), (3, 3), (3.5, 4), (5, 5), (5.1, np.inf)])
def test_one_query_example_without_duplicates_uses_as_many_as_are_wanted(
    size: float, threshold: float
) -> None:
    lists = full_lists(np.arange(10.0)[None])
    path = RegularizationPath(Sweep.over(lists, np.ones(10), np.ones(1)), 1.0, 10, limit=5.0)
    assert path.threshold_for_effective_size(size) == threshold
    if size == round(size):
        assert path.threshold_for_support(int(size)) == threshold


@few
@given(instances, seeds)
def test_cut_lists_know_the_beginning_of_the_path(x: Instance, seed: int) -> None:
    whole, known = path_over(x, full_lists(x.distances)), path_over(x, cut(x, seed))
    assert whole.sweep.horizon == np.inf
    assert known.limit <= whole.limit
    for alpha in ALPHAS:
        budget = slope_budget(alpha, x.cost_scale)
        true, found = whole.sweep.threshold(budget), known.sweep.threshold(budget)
        assert known.reaches(alpha) == (found <= known.limit)
        if known.reaches(alpha):
            here, there = known.at(alpha), whole.at(alpha)
            assert (here.threshold, here.support) == (there.threshold, there.support)
            assert here.transport_cost == pytest.approx(there.transport_cost, abs=1e-12)
        else:
            assert true >= known.limit


@few
@given(instances, seeds)
def test_the_last_step_never_lies_beyond_the_limit(x: Instance, seed: int) -> None:
    path = path_over(x, cut(x, seed))
    for step in known_steps(path):
        assert path.last_step(step) == step
        assert path.last_step(np.inf) == known_steps(path)[-1]
        assert path.last_step(path.limit * (1 + 1e-9)) == known_steps(path)[-1]


def test_a_path_without_breakpoints_has_no_step_to_fall_back_to() -> None:
    lists = NeighborLists.from_rows([[0], [1]], [[0.1], [0.2]])
    sweep = Sweep.over(lists, np.ones(2), np.full(2, 0.5))
    path = RegularizationPath(sweep, 1.0, 2, sweep.horizon)
    assert path.limit == 1
    assert not path.reaches(0.999)
    assert path.last_step(3.0) == 3.0
    assert path.threshold_for_support(1) == np.inf
    assert path.threshold_for_effective_size(1) == np.inf
