"""The order that takes near-duplicates once, against a plain loop and on worked examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples

from tsds_qdrant import SelectionSettings, create_collection, select
from tsds_qdrant.collections.ids import point_keys
from tsds_qdrant.selection.thinning import DIGITS, LEAST, thinned
from tsds_qdrant.solver.density import kernel
from tsds_qdrant.strategies.likeness import Likeness


def likeness_of(rows: Any, p: Any, h: float, entered: Any = None) -> Likeness:
    """Of ``rows`` (c, D) with probabilities ``p``, by brute force."""
    distances = np.sqrt(np.square(rows[:, None] - rows[None]).sum(axis=2))
    near = np.array([kernel(one, h) for one in distances])
    densities = near.sum(axis=1)
    np.fill_diagonal(near, 0.0)
    one, other = np.nonzero(near)
    offsets = np.r_[0, np.cumsum(np.bincount(one, minlength=len(rows)))]
    first = np.zeros(len(rows)) if entered is None else entered
    return Likeness(p * densities, first, offsets, other, near[one, other])


def plainly(given: Likeness, ids: list[int]) -> list[int]:
    """All gains computed again before each choice."""
    count = len(ids)
    near = np.zeros((count, count))
    for k in range(count):
        part = slice(given.offsets[k], given.offsets[k + 1])
        near[k, given.members[part]] = given.shares[part]
    order: list[int] = []
    while len(order) < count:
        left = np.maximum(1.0 - near[order].sum(axis=0), LEAST)
        gain = np.round(np.log(given.masses), DIGITS) + np.round(np.log(left), DIGITS)
        first = np.round(given.entered, DIGITS)
        rest = [k for k in range(count) if k not in order]
        order.append(min(rest, key=lambda k: (-gain[k], first[k], ids[k])))
    return order


@settings(deadline=None, max_examples=examples(100))
@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([0.1, 0.5, 2.0]))
def test_it_takes_the_largest_gain_each_time(seed: int, count: int, h: float) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 4, size=(count, 2)) + rng.choice([0.0, 0.05], size=(count, 2))
    p = rng.choice([0.1, 0.2, 0.4], size=count)
    ids = rng.permutation(1_000)[:count].tolist()
    given_ = likeness_of(rows, p / p.sum(), h, rng.integers(0, 3, size=count).astype(float))
    assert thinned(given_, point_keys(ids)).tolist() == plainly(given_, ids)


def test_of_copies_one_comes_first() -> None:
    """Two texts of equal mass, one of them stored five times: both come before any copy."""
    rows = np.array([[0.0, 0]] * 5 + [[3.0, 0], [6.0, 0]])
    p = np.array([0.08] * 5 + [0.4, 0.2])
    order = thinned(likeness_of(rows, p, 0.5), point_keys(range(7))).tolist()
    assert order[:3] == [0, 5, 6]
    assert order[3:] == [1, 2, 3, 4]


def test_a_half_copy_is_worth_what_is_left_of_it() -> None:
    """At .7 of the bandwidth the kernel is .51, so .49 of the second one's mass is left."""
    rows = np.array([[0.0], [0.7], [9.0], [20.0]])
    given_ = likeness_of(rows, np.array([0.4, 0.3, 0.2, 0.1]), 1.0)
    masses = 1.51 * np.array([0.4, 0.3])
    assert given_.masses[:2] == pytest.approx(masses)
    assert 0.1 < 0.49 * masses[1] < 0.222
    wider = likeness_of(rows, np.array([0.4, 0.3, 0.23, 0.1]), 1.0)
    assert thinned(given_, point_keys(range(4))).tolist() == [0, 1, 2, 3]
    assert thinned(wider, point_keys(range(4))).tolist() == [0, 2, 1, 3]


def test_rounding_decides_nothing() -> None:
    p = np.array([0.25, 0.25 + 1e-12, 0.25 - 1e-12, 0.25])
    order = thinned(Likeness.none(p), point_keys([7, 9, 3, 5]))
    assert order.tolist() == [2, 3, 0, 1]


def test_copies_do_not_hide_what_is_most_like_the_task(tmp_path: Any) -> None:
    """Half of the pool are copies of six points by the task: all six are selected, each once."""
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(600, 6))
    queries = rng.normal(size=(6, 6))
    copies = np.repeat(queries + 0.02 * rng.normal(size=(6, 6)), 100, axis=0)
    pool = np.concatenate([rows, copies + 1e-4 * rng.normal(size=copies.shape)])
    with create_collection(str(tmp_path / "s"), "pool", dimension=6, metric="Euclid") as made:
        made.upsert(range(1_200), pool.astype(np.float32), [{} for _ in pool])
        wanted = SelectionSettings.of(sizes=(30,))
        found = select(made, queries, wanted).selected_ids
        likely = select(made, queries, wanted.altered(sampler="top")).selected_ids
    texts = [(number - 600) // 100 for number in found if number >= 600]
    assert sorted(texts) == list(range(6))
    assert set(found[:6]) == {number for number in found if number >= 600}
    assert all(number >= 600 for number in likely)  # which takes one copy after the other


def test_smaller_selections_are_the_beginnings_of_larger_ones(tmp_path: Any) -> None:
    rng = np.random.default_rng(5)
    rows = np.repeat(rng.normal(size=(150, 4)), 2, axis=0) + 0.05 * rng.normal(size=(300, 4))
    with create_collection(str(tmp_path / "s"), "pool", dimension=4, metric="Euclid") as made:
        made.upsert(range(300), rows.astype(np.float32), [{} for _ in rows])
        found = select(made, rows[:5], SelectionSettings.of(sizes=(10, 25, 60)))
        other = select(made, rows[:5], SelectionSettings.of(sizes=(60,), seed=8))
    for size, sample in found.samples.items():
        assert [found.ids[k] for k in sample.candidates.tolist()] == found.selected_ids[:size]
    assert other.selected_ids == found.selected_ids
