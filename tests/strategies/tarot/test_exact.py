"""Exact transport: against a plain linear program, and its potentials as a proof."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Array, transport_program
from profiles import examples

from tsds_qdrant.solver.entropic import Marginals, entropic_plan
from tsds_qdrant.strategies.tarot.exact import SLACK, exact_plan, transport_of


def problem_of(seed: int, most: int = 25) -> Marginals:
    """Ties, copies and uneven weights among them."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, most, size=2)
    cost = rng.choice([0.0, 0.5, 1.0, 2.0], (n, m)) if rng.random() < 0.3 else rng.random((n, m))
    columns = rng.random(m) + 0.05
    return Marginals.uniform(cost, columns / columns.sum() if rng.random() < 0.5 else None)


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 2**32))
def test_the_value_is_that_of_the_program_over_all_pairs(seed: int) -> None:
    problem = problem_of(seed)
    found = exact_plan(problem)
    assert found.value == pytest.approx(
        transport_program(problem.cost, problem.rows, problem.columns), abs=1e-7
    )
    f, g = found.row_potentials, found.column_potentials
    assert (f[:, None] + g <= problem.cost + 2 * SLACK).all()
    assert problem.rows @ f + problem.columns @ g == pytest.approx(found.value, abs=1e-7)
    assert problem.bound <= found.value + 1e-7


def test_few_pairs_prove_a_large_problem() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = rng.normal(size=(300, 4)), rng.normal(size=(60, 4)) + 0.5
    cost = np.linalg.norm(ours[:, None] - theirs, axis=2)
    found = exact_plan(Marginals.uniform(cost))
    assert found.pairs < cost.size / 4
    wanted = transport_program(cost, np.full(300, 1 / 300), np.full(60, 1 / 60))
    assert found.value == pytest.approx(wanted, abs=1e-7)
    rough = entropic_plan(Marginals.uniform(cost))
    assert found.value <= rough.value <= 1.02 * found.value


@settings(max_examples=examples(30), deadline=None)
@given(st.integers(0, 2**32))
def test_the_value_is_0_for_equal_sets_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 12))
    points = rng.choice(8, size=(count, 1)) * 1.0
    same = points[rng.permutation(count)]
    assert exact_plan(Marginals.uniform(np.abs(points - same.T))).value == pytest.approx(0)
    other = rng.choice(8, size=(int(rng.integers(1, 12)), 1)) * 1.0
    value = exact_plan(Marginals.uniform(np.abs(points - other.T))).value
    shares = [
        np.bincount(one.ravel().astype(int), minlength=8) / len(one) for one in (points, other)
    ]
    assert (value > 1e-9) == (not np.allclose(*shares))


def chords(ours: list[int], theirs: list[int]) -> Array:
    """Distances of unit vectors at these angles, in degrees."""
    between = np.deg2rad(np.subtract.outer(ours, theirs))
    chord: Array = np.sqrt(np.maximum(0, 2 - 2 * np.cos(between)))
    return chord


@pytest.mark.parametrize(
    ("ours", "theirs", "wanted"),
    [
        ([2, 183], [10, 190], 0.1308),
        ([2, 12, 100, 183], [10, 190], 0.4277),
        ([12, 183], [0, 180], 0.1307),
        ([2, 12, 183, 270], [0, 180], 0.4276),
        ([2, 12, 183], [0, 10, 180, 190], 0.3736),
        ([2, 183], [0, 10, 180, 190], 0.0872),
    ],
)
def test_worked_numbers(ours: list[int], theirs: list[int], wanted: float) -> None:
    problem = Marginals.uniform(chords(ours, theirs))
    assert transport_of(problem).value == pytest.approx(wanted, abs=5e-5)
    rough = transport_of(problem, most=0)
    assert not rough.exact
    assert rough.value == pytest.approx(wanted, abs=0.02)


def test_mass_that_is_far_costs_more() -> None:
    found = exact_plan(Marginals.uniform(np.array([[0.1, 0.2], [0.9, 1.0]])))
    assert found.row_potentials == pytest.approx(np.array([0.2, 1.0]))
