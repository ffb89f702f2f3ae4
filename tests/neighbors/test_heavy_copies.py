"""Pools of which most are near-copies of a few: the truth, and how little is asked for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import brute_force_probabilities
from pool_oracle import OtherCollection, clustered_rows, edge_pool
from profiles import examples

from tsds_qdrant import SelectionSettings, select
from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.edge.crowds import SMALLEST, crowds
from tsds_qdrant.collections.edge.loaded import LoadedVectors
from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.collections.values import Geometry

CENTRES, DIMENSION = 40, 24


def with_copies(seed: int, others: int, originals: int, copies: int) -> tuple[Any, Any]:
    """A pool in which each of some points has many copies near it, and task examples among them."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CENTRES, DIMENSION))
    rows = centres[rng.integers(0, CENTRES, others)] + 0.6 * rng.normal(size=(others, DIMENSION))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    some = np.repeat(rows[:originals], copies, axis=0)
    noise = rng.normal(size=some.shape) / np.sqrt(DIMENSION)
    some = some + rng.uniform(0.0, 0.3, (len(some), 1)) * noise
    queries = rows[: 2 * originals] + 0.3 * rng.normal(size=(2 * originals, DIMENSION))
    pool = np.concatenate([rows, some])
    pool = pool[rng.permutation(len(pool))]
    for one in (pool, queries):
        one /= np.linalg.norm(one, axis=1, keepdims=True)
    return pool.astype(np.float32), queries.astype(np.float32)


class Counted(OtherCollection):
    """Counts how often it is asked, and for how many rows at once."""

    rounds = rows = 0

    def search(self, queries: Float32Array, *given: Any, **more: Any) -> Hits:
        self.rounds, self.rows = self.rounds + 1, self.rows + len(queries)
        found: Hits = self.collection.search(queries, *given, **more)
        return found


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["thinned", "stable"])
def test_probabilities_are_those_of_brute_force(sampler: str) -> None:
    pool, queries = with_copies(0, 900, 4, 400)
    with edge_pool(pool) as collection:
        counted: Any = Counted(collection)
        found = select(counted, queries, SelectionSettings.of(sizes=(60,), sampler=sampler))
    solution = found.transport.solution
    truth = brute_force_probabilities(
        pool,
        queries,
        solution.problem.alpha,
        solution.problem.cost_scale,
        found.transport.bandwidth,
        "Cosine",
    )
    mine = np.zeros(len(pool))
    mine[found.ids] = found.probabilities
    assert np.abs(mine - truth).sum() / 2 < 1e-6
    assert np.count_nonzero(truth) > 400
    needed = np.count_nonzero(truth)
    # One search for each of the support, few in vain, and in few rounds: not copy by copy.
    assert counted.rows < 1.5 * needed + 10 * len(queries)
    assert counted.rounds < 30


@given(
    seed=st.integers(0, 2**32),
    copies=st.integers(1, 3 * SMALLEST),
    metric=st.sampled_from(["Cosine", "Euclid", "Dot"]),
    radius=st.sampled_from([0.1, 0.5, 1.0, 2.0]),
    limit=st.sampled_from([1, 40, 10_000]),
)
@settings(max_examples=examples(60), deadline=None)
def test_a_crowd_finds_what_each_of_it_finds_alone(
    seed: int, copies: int, metric: Geometry, radius: float, limit: int
) -> None:
    rows, _ = with_copies(seed, 700, 3, copies)
    rows[::7] = rows[0]
    if metric == "Euclid":
        rows *= np.float32(10.0)
        radius *= 10.0
    pool = LoadedVectors(range(len(rows)), rows, metric)
    queries = rows[np.random.default_rng(seed).permutation(len(rows))[:300]]
    together = pool.search(queries, limit, radius)
    alone = [pool.search(query[None, :], limit, radius) for query in queries]
    assert together.counts.tolist() == [len(one.ids) for one in alone]
    assert together.ids == [point for one in alone for point in one.ids]
    assert together.distances.tolist() == [x for one in alone for x in one.distances.tolist()]


def test_a_crowd_reaches_all_that_one_of_it_can_find() -> None:
    rows, _ = with_copies(5, 300, 3, 2 * SMALLEST)
    found = [*crowds(rows, "Cosine", 0.4)]
    assert len(found) >= 3
    members = np.concatenate([one.members for one in found])
    assert len(members) == len(np.unique(members))
    apart = np.linalg.norm(rows[:, None].astype(np.float64) - rows, axis=2)
    for one in found:
        assert len(one.members) >= SMALLEST
        assert one.middle in one.members
        near = (apart[one.members] <= 0.4).any(axis=0)
        assert apart[one.middle][near].max() <= one.reach
    assert not [*crowds(rows, "Dot", 0.4)]
    assert not [*crowds(rows, "Cosine", 0.0)]
    assert not [*crowds(rows[: SMALLEST - 1], "Cosine", 0.4)]


def test_vectors_without_end_are_in_no_crowd() -> None:
    rows = clustered_rows(200, 8, 3, seed=1).astype(np.float32)
    rows[3] = np.nan
    rows[4] = np.inf
    for one in crowds(rows, "Euclid", 5.0):
        assert not {3, 4} & {*one.members.tolist()}
        assert np.isfinite(one.reach)
