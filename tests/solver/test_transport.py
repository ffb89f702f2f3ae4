"""The solver against a linear program, a heap, and what the mathematics promises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracles import (
    Instance,
    cut,
    full_lists,
    objective,
    plan_matrix,
    random_instance,
    solve_by_heap,
    solve_lp,
    truncated,
    worst_case,
)
from profiles import examples

from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.solver.sweep import Sweep
from tsds_qdrant.solver.transport import (
    REGULARIZERS,
    Regularizer,
    TransportProblem,
    solve_transport,
)

few = settings(deadline=None, max_examples=examples(60))
seeds = st.integers(0, 10**9)
instances = st.builds(random_instance, seeds, ties=st.booleans())
smooth = st.builds(random_instance, seeds)  # no ties: no alpha meets a breakpoint by accident


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_the_objective_is_that_of_the_linear_program(regularizer: Regularizer) -> None:
    met = set()
    for seed in range(200):
        x = random_instance(seed, ties=seed % 2 == 0)
        solution = solve_transport(x.problem(regularizer=regularizer))
        plan = plan_matrix(solution, len(x.densities))
        best = solve_lp(
            x.distances, x.densities, x.alpha, x.cost_scale, x.query_weights, regularizer
        )
        assert objective(x, plan, regularizer) == pytest.approx(best, abs=1e-9)
        assert solution.certificate.primal == pytest.approx(best, abs=1e-9)
        assert solution.certificate.gap == pytest.approx(0, abs=1e-9)
        assert solution.converged
        np.testing.assert_allclose(plan.sum(axis=1), x.query_weights, atol=1e-12)
        np.testing.assert_allclose(plan.sum(axis=0), solution.probabilities, atol=1e-12)
        assert plan.min() >= 0
        if solution.regime in {"capped", "half"}:
            caps = np.outer(x.query_weights, x.weights(regularizer)) / solution.threshold
            assert (plan <= caps * (1 + 1e-12)).all()
        met.add(solution.regime)
    assert met == ({"tv"} if regularizer == "tv" else {"capped", "half", "pool"})


@few
@given(smooth)
def test_a_heap_finds_the_same_probabilities(x: Instance) -> None:
    order = np.argsort(x.distances, axis=1)
    rows = order.tolist(), np.take_along_axis(x.distances, order, 1).tolist()
    expected = solve_by_heap(*rows, x.densities.tolist(), x.alpha, x.cost_scale)
    solution = solve_transport(replace(x.problem(), query_weights=np.empty(0)))
    np.testing.assert_allclose(solution.probabilities, expected, atol=1e-12)


def test_five_candidates_of_which_three_are_near_duplicates_share_by_density() -> None:
    densities = np.array([1, 1, 1.5, 1.5, 1.5] + 10 * [1.0])
    distances = np.array([[0.1, 0.2, 0.3, 0.31, 0.32] + 10 * [100.0]])
    solution = solve_transport(TransportProblem(full_lists(distances), densities, 0.1))
    assert solution.threshold == pytest.approx(4)
    np.testing.assert_allclose(solution.probabilities[:5], [1 / 4, 1 / 4, 1 / 6, 1 / 6, 1 / 6])
    assert solution.probabilities[5:].max() < 1e-15
    assert solution.effective_size == pytest.approx(1 / (2 / 16 + 3 / 36))
    assert solution.transport_cost == pytest.approx(0.075 + 0.93 / 6)


@few
@given(smooth, st.integers(2, 5), st.data())
def test_copies_of_a_candidate_share_its_probability(
    x: Instance, copies: int, data: st.DataObject
) -> None:
    copied = data.draw(st.integers(0, len(x.densities) - 1))
    times = np.where(np.arange(len(x.densities)) == copied, copies, 1)
    family = np.repeat(np.arange(len(x.densities)), times)
    more = replace(x, distances=x.distances[:, family], densities=(x.densities * times)[family])
    p = solve_transport(more.problem()).probabilities
    expected = solve_transport(x.problem()).probabilities
    np.testing.assert_allclose(np.bincount(family, weights=p), expected, atol=1e-9)


@few
@given(smooth, st.randoms())
def test_the_order_of_candidates_and_query_examples_does_not_matter(
    x: Instance, random: Any
) -> None:
    rows, columns = (random.sample(range(n), n) for n in x.distances.shape)
    distances = x.distances[rows][:, columns]
    y = Instance(distances, x.densities[columns], x.alpha, x.cost_scale, x.query_weights[rows])
    p, expected = (solve_transport(some.problem()).probabilities for some in (y, x))
    np.testing.assert_allclose(p, expected[columns], atol=1e-12)


@few
@given(smooth, st.sampled_from([1e-3, 1 / 3, 7.0, 1e6]), st.sampled_from(["kde", "tv"]))
def test_the_unit_of_distance_does_not_matter(
    x: Instance, unit: float, regularizer: Regularizer
) -> None:
    y = replace(x, distances=x.distances * unit, cost_scale=x.cost_scale * unit)
    expected = solve_transport(x.problem(regularizer=regularizer)).probabilities
    p = solve_transport(y.problem(regularizer=regularizer)).probabilities
    np.testing.assert_allclose(p, expected, atol=1e-12)


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_cut_lists_converge_exactly_when_nothing_beyond_them_could_change_the_plan(
    regularizer: Regularizer,
) -> None:
    met = set()
    for seed in range(300):
        x = random_instance(seed, candidates=20, ties=seed % 2 == 0)
        n = len(x.densities)
        weight = float(x.weights(regularizer).sum())
        lists = cut(x, seed)
        problem = x.problem(lists, regularizer, total_weight=weight, candidates_total=n)
        wholes = (full_lists(x.distances), worst_case(lists, n))
        solution, whole, worst = map(
            solve_transport, (problem, *(x.problem(made, regularizer) for made in wholes))
        )
        if worst.regime in {"half", "pool"}:
            continue
        plan = plan_matrix(solution, n)
        same = [np.array_equal(plan, plan_matrix(other, n)) for other in (whole, worst)]
        assert solution.converged == all(same)
        if solution.converged:
            np.testing.assert_array_equal(solution.probabilities, whole.probabilities)
            assert solution.threshold == whole.threshold
        met.add(solution.converged)
    assert met == {True, False}


@few
@given(instances, seeds, st.sampled_from(REGULARIZERS))
@example(random_instance(36, ties=True), 36, "kde")  # cut where prices leave some of the budget
def test_cut_lists_still_bound_the_optimum_of_the_pool(
    x: Instance, seed: int, regularizer: Regularizer
) -> None:
    n = len(x.densities)
    best = solve_lp(x.distances, x.densities, x.alpha, x.cost_scale, x.query_weights, regularizer)
    for total in (None, float(x.weights(regularizer).sum())):
        more = {"total_weight": total, "candidates_total": n}
        solution = solve_transport(x.problem(cut(x, seed), regularizer, **more))
        assert solution.certificate.dual <= best + 1e-9
        assert solution.probabilities.sum() == pytest.approx(1)
        if total is not None:
            plan = plan_matrix(solution, n)
            assert solution.certificate.primal == pytest.approx(objective(x, plan, regularizer))
        if solution.converged:
            assert solution.certificate.gap == pytest.approx(0, abs=1e-9)


def test_lists_of_very_different_depths() -> None:
    rng = np.random.default_rng(5)
    spacing = 10.0 ** rng.uniform(-2, 2, size=(200, 1))
    lists = NeighborLists.from_rows(
        [rng.permutation(5000)[:1000] for _ in range(200)],
        spacing * np.sort(rng.random((200, 1000)), axis=1),
    )
    densities = 1 + 20 * (rng.random(5000) < 0.1) * rng.random(5000)
    full = solve_transport(TransportProblem(lists, densities, 0.1, 0.3))
    assert full.converged
    sweep = Sweep.over(lists, densities, full.problem.query_weights)
    needed = (sweep.before.reshape(200, 1000) <= full.threshold).sum(axis=1)
    depths = rng.integers(needed, 1001)
    depths[:100] = needed[:100]
    assert depths.min() < 100 < 900 < depths.max()
    solution = solve_transport(replace(full.problem, lists=truncated(lists, depths)))
    assert solution.converged
    short = Sweep.over(solution.problem.lists, densities, full.problem.query_weights)
    below = np.count_nonzero(sweep.thresholds < full.threshold)
    np.testing.assert_array_equal(short.slopes[:below], sweep.slopes[:below])
    np.testing.assert_array_equal(solution.probabilities, full.probabilities)
    depths[0] -= 1
    assert not solve_transport(replace(full.problem, lists=truncated(lists, depths))).converged


@few
@given(instances, st.lists(st.floats(1e-9, 1.2), min_size=1, max_size=5))
def test_leaving_out_what_a_budget_does_not_need_moves_no_threshold(
    x: Instance, shares: list[float]
) -> None:
    lists = full_lists(x.distances)
    sweep = Sweep.over(lists, x.densities, x.query_weights)
    steepest = sweep.slopes[-1] if len(sweep.slopes) else 1.0
    for budget in (x.problem().budget, *sweep.slopes, *(steepest * np.array(shares))):
        pruned = Sweep.over(lists, x.densities, x.query_weights, budget=budget)
        steep_enough = [*sweep.thresholds[sweep.slopes >= budget], np.inf]
        assert pruned.threshold(budget) == sweep.threshold(budget) == steep_enough[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alpha": 0.0}, "alpha is 0;"),
        ({"alpha": 1.0}, "alpha is 1;"),
        ({"alpha": float("nan")}, "alpha is nan;"),
        ({"cost_scale": 0.0}, "cost_scale is 0;"),
        ({"densities": np.array([1.0, 0.5])}, "a density is 0.5;"),
        ({"densities": np.array([1.0, np.nan])}, "a density is nan;"),
        ({"query_weights": np.ones(3)}, "3 query weights for 2 query examples"),
        ({"query_weights": np.array([1.0, -2.0])}, "query example 1 is -2;"),
        ({"regularizer": "l2"}, "'l2' is no regularizer; choose one of kde, uniform, tv"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], words: str) -> None:
    lists = full_lists(np.array([[0.1, 0.2], [0.2, 0.1]]))
    good = TransportProblem(lists, np.ones(2), 0.5)
    with pytest.raises(SettingsError, match=words):
        replace(good, **changes)


@pytest.mark.parametrize(
    ("candidates", "distances", "words"),
    [
        ([], [], "no query example"),
        ([[0], []], [[0.1], []], "query example 1 has no candidate"),
        ([[0, 1], [0, 1, 2]], [[0.5, 0.6], [0.1, 0.3, 0.2]], "query example 1 is not sorted"),
        ([[0, 1], [2]], [[0.1], [0.2, 0.3]], "3 candidates in 2 rows do not fit"),
        ([[0]], [[-0.5]], "a distance is -0.5;"),
        ([[0, 1]], [[0.1, float("nan")]], "a distance is nan;"),
    ],
)
def test_a_wrong_list_is_named(candidates: Any, distances: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        NeighborLists.from_rows(candidates, distances)


def test_total_variation_asks_for_the_size_of_the_pool_and_for_a_candidate_out_of_reach() -> None:
    ends_in_reach = NeighborLists.from_rows([[0, 1]], [[0.0, 1.0]])
    problem = TransportProblem(ends_in_reach, np.ones(3), 0.5, regularizer="tv")
    with pytest.raises(SettingsError, match="number of candidates"):
        solve_transport(problem)
    assert not solve_transport(replace(problem, candidates_total=4)).converged
    ends_beyond = NeighborLists.from_rows([[0, 1, 2]], [[0.0, 1.0, 1.1]])
    solution = solve_transport(replace(problem, lists=ends_beyond, candidates_total=4))
    assert solution.converged
    assert solution.probabilities.tolist() == [0.75, 0.25, 0.0]
