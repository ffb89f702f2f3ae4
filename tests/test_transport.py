"""The solver against a linear program, a heap, and what the mathematics promises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import (
    Array,
    Instance,
    full_lists,
    random_instance,
    solve_by_heap,
    solve_lp,
    truncated,
)

from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.lists import NeighborLists
from tsds_qdrant.sweep import Sweep
from tsds_qdrant.transport import Regularizer, TransportProblem, TransportSolution, solve_transport

few = settings(deadline=None, max_examples=60)
seeds = st.integers(0, 10**9)
instances = st.builds(random_instance, seeds, ties=st.booleans())
smooth = st.builds(random_instance, seeds)  # no ties: no alpha meets a breakpoint by accident


def plan_matrix(solution: TransportSolution, shape: tuple[int, ...]) -> Array:
    lists = solution.problem.lists
    matrix = np.zeros(shape)
    matrix[lists.query_of_entry, lists.candidates] = solution.plan
    return matrix


def objective(x: Instance, plan: Array, regularizer: Regularizer) -> float:
    """Problem RT as the paper writes it."""
    m = x.query_weights[:, None]
    if regularizer == "tv":
        spread = 0.5 * np.abs(plan - m / plan.shape[1]).sum()
    else:
        w = 1 / x.densities if regularizer == "kde" else np.ones(len(x.densities))
        spread = (np.abs(plan - m * w / w.sum()) / (m * w)).max()
    return float(x.alpha / x.cost_scale * (plan * x.distances).sum() + (1 - x.alpha) * spread)


def cut(x: Instance, seed: int) -> NeighborLists:
    lists = full_lists(x.distances)
    return truncated(lists, np.random.default_rng(seed).integers(1, lists.depths + 1))


@pytest.mark.parametrize(
    ("regularizer", "regimes"),
    [("kde", {"capped", "half", "pool"}), ("uniform", {"capped", "half", "pool"}), ("tv", {"tv"})],
)
def test_the_objective_is_that_of_the_linear_program(
    regularizer: Regularizer, regimes: set[str]
) -> None:
    met = set()
    for seed in range(200):
        x = random_instance(seed, ties=seed % 2 == 0)
        solution = solve_transport(x.problem(regularizer=regularizer))
        plan = plan_matrix(solution, x.distances.shape)
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
            w = 1 / x.densities if regularizer == "kde" else np.ones(len(x.densities))
            caps = np.outer(x.query_weights, w) / solution.threshold
            assert (plan <= caps * (1 + 1e-12)).all()
        met.add(solution.regime)
    assert met == regimes


@few
@given(smooth)
def test_a_heap_finds_the_same_probabilities(x: Instance) -> None:
    lists = full_lists(x.distances)
    shape = x.distances.shape
    expected = solve_by_heap(
        lists.candidates.reshape(shape).tolist(),
        lists.distances.reshape(shape).tolist(),
        x.densities.tolist(),
        x.alpha,
        x.cost_scale,
    )
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
@given(instances, st.randoms())
def test_the_numbers_of_candidates_do_not_matter(x: Instance, random: Any) -> None:
    lists = full_lists(x.distances)
    order = np.array(random.sample(range(len(x.densities)), len(x.densities)))
    renamed = replace(lists, candidates=np.argsort(order)[lists.candidates])
    p = solve_transport(replace(x, densities=x.densities[order]).problem(renamed)).probabilities
    np.testing.assert_array_equal(p, solve_transport(x.problem()).probabilities[order])


@few
@given(smooth, st.randoms())
def test_the_order_of_the_query_examples_does_not_matter(x: Instance, random: Any) -> None:
    order = random.sample(range(len(x.distances)), len(x.distances))
    y = replace(x, distances=x.distances[order], query_weights=x.query_weights[order])
    expected = solve_transport(x.problem()).probabilities
    np.testing.assert_allclose(solve_transport(y.problem()).probabilities, expected, atol=1e-12)


@few
@given(smooth, st.sampled_from([1e-3, 1 / 3, 7.0, 1e6]), st.sampled_from(["kde", "tv"]))
def test_the_unit_of_distance_does_not_matter(
    x: Instance, unit: float, regularizer: Regularizer
) -> None:
    y = replace(x, distances=x.distances * unit, cost_scale=x.cost_scale * unit)
    expected = solve_transport(x.problem(regularizer=regularizer)).probabilities
    p = solve_transport(y.problem(regularizer=regularizer)).probabilities
    np.testing.assert_allclose(p, expected, atol=1e-12)


def worst_case(lists: NeighborLists, candidates: int) -> NeighborLists:
    """``lists`` made whole with everything unlisted as near as the end of each list."""
    rows = np.split(lists.candidates, lists.offsets[1:-1])
    known = np.split(lists.distances, lists.offsets[1:-1])
    rest = [np.setdiff1d(np.arange(candidates), row) for row in rows]
    return NeighborLists.from_rows(
        [np.concatenate(pair) for pair in zip(rows, rest, strict=True)],
        [np.append(d, np.full(len(r), d[-1])) for d, r in zip(known, rest, strict=True)],
        True,
    )


def test_cut_lists_converge_exactly_when_nothing_beyond_them_could_change_the_plan() -> None:
    met = set()
    for seed in range(500):
        x = random_instance(seed, candidates=20, ties=seed % 2 == 0)
        lists = cut(x, seed)
        weight = float(np.sum(1 / x.densities))
        solution = solve_transport(x.problem(lists, total_weight=weight))
        whole, worst = (
            solve_transport(x.problem(made_whole))
            for made_whole in (full_lists(x.distances), worst_case(lists, len(x.densities)))
        )
        if worst.regime != "capped":
            continue
        plan, others = plan_matrix(solution, x.distances.shape), (whole, worst)
        same = [np.array_equal(plan, plan_matrix(y, x.distances.shape)) for y in others]
        assert solution.converged == all(same)
        if solution.converged:
            np.testing.assert_array_equal(solution.probabilities, whole.probabilities)
            assert solution.threshold == whole.threshold
        met.add((solution.converged, bool(lists.complete.all())))
    assert met == {(True, True), (True, False), (False, False)}


@few
@given(instances, seeds, st.sampled_from(["kde", "uniform", "tv"]))
def test_cut_lists_still_bound_the_optimum_of_the_pool(
    x: Instance, seed: int, regularizer: Regularizer
) -> None:
    weights = 1 / x.densities if regularizer == "kde" else np.ones(len(x.densities))
    best = solve_lp(x.distances, x.densities, x.alpha, x.cost_scale, x.query_weights, regularizer)
    for total in (None, float(weights.sum())):
        problem = x.problem(
            cut(x, seed), regularizer, total_weight=total, candidates_total=len(weights)
        )
        solution = solve_transport(problem)
        assert solution.certificate.dual <= best + 1e-9
        assert solution.probabilities.sum() == pytest.approx(1)
        if total is not None:
            assert solution.certificate.primal >= best - 1e-9
        if solution.converged:
            assert solution.certificate.gap == pytest.approx(0, abs=1e-9)


def test_cut_lists_under_total_variation_are_never_proven_wrongly() -> None:
    met = set()
    for seed in range(200):
        x = random_instance(seed, ties=seed % 2 == 0)
        problem = x.problem(cut(x, seed), "tv", candidates_total=len(x.densities))
        solution, full = solve_transport(problem), solve_transport(x.problem(regularizer="tv"))
        if solution.converged:
            np.testing.assert_array_equal(solution.probabilities, full.probabilities)
        met.add((solution.converged, bool(problem.lists.complete.all())))
    assert met == {(True, True), (True, False), (False, False)}


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
    assert depths.min() < 100
    assert depths.max() > 900
    solution = solve_transport(replace(full.problem, lists=truncated(lists, depths)))
    assert solution.converged
    np.testing.assert_array_equal(solution.probabilities, full.probabilities)
    assert solution.certificate.gap == pytest.approx(0, abs=1e-9)
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
        assert pruned.threshold(budget) == sweep.threshold(budget)


def test_a_small_budget_needs_few_of_many_breakpoints() -> None:
    lists = full_lists(np.random.default_rng(1).random((3, 9000)))
    ones = np.ones(9000)
    sweep = Sweep.over(lists, ones, np.full(3, 1 / 3), budget=0.05)
    assert sweep.threshold(0.05) == Sweep.over(lists, ones, np.full(3, 1 / 3)).threshold(0.05)
    assert len(sweep.thresholds) < 2000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alpha": 0.0}, "alpha is 0;"),
        ({"alpha": 1.0}, "alpha is 1;"),
        ({"alpha": float("nan")}, "alpha is nan;"),
        ({"cost_scale": 0.0}, "cost_scale is 0;"),
        ({"cost_scale": float("inf")}, "cost_scale is inf;"),
        ({"densities": np.array([1.0, 0.5])}, "a density is 0.5;"),
        ({"densities": np.array([1.0, np.nan])}, "a density is nan;"),
        ({"query_weights": np.ones(3)}, "3 query weights for 2 query examples"),
        ({"query_weights": np.array([1.0, -2.0])}, "query example 1 is -2;"),
        ({"query_weights": np.array([0.0, 1.0])}, "query example 0 is 0;"),
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
        ([[0, 1]], [[0.1, float("inf")]], "a distance is inf;"),
    ],
)
def test_a_wrong_list_is_named(candidates: Any, distances: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        NeighborLists.from_rows(candidates, distances)


def test_total_variation_over_cut_lists_asks_for_the_size_of_the_pool() -> None:
    lists = NeighborLists.from_rows([[0, 1]], [[0.1, 0.2]])
    with pytest.raises(SettingsError, match="number of candidates"):
        solve_transport(TransportProblem(lists, np.ones(2), 0.5, regularizer="tv"))
