"""Chance: even, weighted, and another than that of a TSDS sample."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from conftest import MakeCollection
from pool_oracle import clustered_rows, near_queries

from tsds_qdrant import SelectionSettings, select
from tsds_qdrant.collections.ids import point_keys
from tsds_qdrant.selection.sampling import draw
from tsds_qdrant.strategies.chance import shares, weighted_order

ROWS = clustered_rows(200, 6, 20)
QUERIES = near_queries(ROWS, 9)


def test_random_is_seeded_nested_and_filtered(make_collection: MakeCollection) -> None:
    words = [{"colour": "red" if k % 2 else "blue"} for k in range(200)]
    pool = make_collection(vectors=ROWS[:200], payloads=words, metric="Euclid")
    asked = SelectionSettings.of("random", sizes=(20,), seed=1)
    large = select(pool, QUERIES, asked.altered(sizes=(20, 80)))
    small = select(pool, QUERIES, asked)
    other = select(pool, QUERIES, asked.altered(seed=2))
    assert len(set(large.selected_ids)) == 80
    assert small.selected_ids == large.selected_ids[:20] != other.selected_ids
    rows = list(large.sample_rows(20))
    assert [row["id"] for row in rows] == small.selected_ids
    assert {row["probability"] for row in rows} == {1 / 200}
    where = {"must": [{"key": "colour", "match": {"value": "red"}}]}
    only = select(pool, QUERIES, asked.altered(sizes=(50,), where=where))
    assert only.candidates == 100
    assert all(int(k) % 2 for k in only.selected_ids)


def test_equal_weights_give_equal_chances() -> None:
    keys = point_keys(range(200))
    picks = Counter(k for s in range(900) for k in weighted_order(np.zeros(200), keys, 80, s))
    # 80 in 200, drawn 900 times: 360 expected each, with a standard deviation of 14.7.
    assert len(picks) == 200
    assert max(abs(count - 360) for count in picks.values()) < 5 * 14.7


def test_the_weighted_order_follows_the_weights() -> None:
    keys = point_keys(range(50))
    log_weights = np.log(np.arange(1.0, 51.0)) - 900.0
    firsts = [int(weighted_order(log_weights, keys, 1, seed)[0]) for seed in range(4_000)]
    expected = shares(log_weights)
    assert expected == pytest.approx(np.arange(1.0, 51.0) / 1275)
    counts = np.bincount(firsts, minlength=50)
    squares = np.square(counts - 4_000 * expected) / (4_000 * expected)
    assert squares.sum() < 49 + 4 * math.sqrt(2 * 49)
    whole = weighted_order(log_weights, keys, 50, 3)
    assert sorted(whole.tolist()) == list(range(50))
    assert whole[:7].tolist() == weighted_order(log_weights, keys, 7, 3).tolist()


def test_chance_is_not_that_of_a_tsds_sample() -> None:
    keys = point_keys(range(2_000))
    theirs = draw(np.full(2_000, 1 / 2_000), keys, 200, sampler="stable", seed=4).candidates
    ours = weighted_order(np.zeros(2_000), keys, 200, 4)
    assert len(set(ours.tolist()) & set(theirs.tolist())) < 50
