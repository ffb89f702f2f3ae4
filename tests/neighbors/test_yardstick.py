"""How near task examples lie to each other, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import pairwise_distances
from pool_oracle import METRICS, clustered_rows

from tsds_qdrant.collections.values import Metric
from tsds_qdrant.neighbors.yardstick import Yardstick

ROWS = clustered_rows(61, 6, 9).astype(np.float32)


def left_out(rows: np.ndarray, metric: Metric) -> np.ndarray:
    """(n,) distance from each row to the nearest other one."""
    apart = pairwise_distances(rows, rows, "Cosine" if metric == "Dot" else metric)
    np.fill_diagonal(apart, np.inf)
    nearest: np.ndarray = apart.min(axis=1)
    return nearest


@pytest.mark.parametrize("metric", [*METRICS, "Dot"])
@pytest.mark.parametrize("count", [2, 3, 10, 61])
def test_it_is_the_median_of_what_is_left_out(metric: Metric, count: int) -> None:
    found = Yardstick.of(ROWS[:count], metric)
    assert found.distance == pytest.approx(np.median(left_out(ROWS[:count], metric)), abs=1e-6)
    assert found.examples == count
    assert not found.reason


@pytest.mark.parametrize("metric", [*METRICS, "Dot"])
@pytest.mark.parametrize("times", [2, 7])
def test_copies_are_one_example(metric: Metric, times: int) -> None:
    """Whether all are repeated or one alone, and in whatever order."""
    alone = Yardstick.of(ROWS, metric)
    for rows in (np.repeat(ROWS, times, axis=0), np.concatenate([ROWS[:1]] * times + [ROWS])):
        mixed = np.random.default_rng(times).permutation(rows)
        found = Yardstick.of(mixed, metric)
        assert found.examples == alone.examples
        assert found.distance == pytest.approx(alone.distance, abs=1e-9)


@pytest.mark.parametrize("metric", [*METRICS, "Dot"])
def test_a_copy_made_again_is_one_but_for_rounding(metric: Metric) -> None:
    again = ROWS * np.float32(1 + 1e-7) + np.float32(1e-8)
    found = Yardstick.of(np.concatenate([ROWS, again]), metric)
    assert found.distance == pytest.approx(np.median(left_out(ROWS, metric)), abs=1e-5)


def test_the_same_direction_is_one_example_where_directions_count() -> None:
    rows = np.concatenate([ROWS, 3 * ROWS])
    found = Yardstick.of(rows, "Cosine")
    assert found.distance == pytest.approx(np.median(left_out(ROWS, "Cosine")), abs=1e-6)
    apart = Yardstick.of(rows, "Euclid").distance
    assert apart == pytest.approx(np.median(left_out(rows, "Euclid")), abs=1e-6)


def test_far_from_the_origin_near_examples_are_two() -> None:
    rows = (ROWS + 1e3).astype(np.float32)
    found = Yardstick.of(rows, "Euclid")
    assert found.distance == pytest.approx(np.median(left_out(rows, "Euclid")), abs=1e-4)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (ROWS[:1], "there is one task example"),
        (np.repeat(ROWS[:1], 2, axis=0), "all 2 task examples are copies of one"),
        (np.repeat(ROWS[:1], 50, axis=0), "all 50 task examples are copies of one"),
        (np.zeros((3, 6), dtype=np.float32), "all 3 task examples are copies of one"),
    ],
)
def test_one_example_has_nothing_to_be_near_to(rows: np.ndarray, told: str) -> None:
    for metric in ("Euclid", "Manhattan"):
        found = Yardstick.of(rows, metric)
        assert (found.distance, found.examples, found.reason) == (None, 1, told)
        assert found.nearer(np.array([0.0, 1.0])) is None
        assert found.facts() == {"distance": None, "examples": 1, "reason": told}


def test_of_many_examples_some_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsds_qdrant.neighbors.yardstick.MEASURED", 20)
    left = left_out(ROWS, "Euclid")
    places = [left[row] for row in sorted(range(61), key=lambda row: ROWS[row].tobytes())]
    shuffled = np.random.default_rng(1).permutation(np.concatenate([ROWS, ROWS[:9]]))
    found = Yardstick.of(shuffled, "Euclid")
    assert found.distance == pytest.approx(np.median(places[::4]), abs=1e-6)
    assert found.examples == 61


def test_zeros_of_either_sign_are_one() -> None:
    rows = np.array([[0.0, 1.0], [-0.0, 1.0], [3.0, 1.0]], dtype=np.float32)
    assert Yardstick.of(rows, "Euclid").examples == 2


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=30, unique=True), st.integers(0, 60))
def test_numbers_on_a_line(places: list[int], reach: int) -> None:
    found = Yardstick.of(np.array(places, dtype=np.float32)[:, None], "Euclid")
    near = [min(abs(a - b) for b in places if b != a) for a in places]
    assert found.distance == pytest.approx(np.median(near))
    assert found.distance is not None
    distances = np.array([*range(reach), np.nan])
    assert found.nearer(distances) == sum(one <= found.distance for one in range(reach))
