"""Scans in numpy: the same answers as brute force, each distance a matter of its pair alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import pairwise_distances
from pool_oracle import ask_the_engine, clustered_rows, edge_pool

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.edge.compared import Compared
from tsds_qdrant.collections.edge.loaded import LoadedVectors
from tsds_qdrant.collections.hit_ids import HitIds
from tsds_qdrant.collections.ids import PointIndex
from tsds_qdrant.collections.values import Metric, PointId

METRICS: tuple[Metric, ...] = ("Cosine", "Euclid", "Dot")


def loaded(seed: int, points: int, dimension: int, metric: Metric) -> LoadedVectors:
    """Points in clusters, every fifth a copy of the first."""
    rows = clustered_rows(points, dimension, 3, seed=seed)
    rows[::5] = rows[0]
    if metric != "Euclid":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return LoadedVectors(range(points), rows.astype(np.float32), metric)


@given(
    st.integers(0, 10**6),
    st.integers(1, 60),
    st.integers(1, 40),
    st.sampled_from(METRICS),
    st.integers(1, 70),
    st.sampled_from([None, 0.3, 1.0]),
)
def test_brute_force(
    seed: int, points: int, dimension: int, metric: Metric, limit: int, radius: float | None
) -> None:
    pool = loaded(seed, points, dimension, metric)
    queries = loaded(seed + 1, 7, dimension, metric).matrix
    found = pool.search(queries, limit, radius)
    truth = np.sort(pairwise_distances(queries, pool.matrix, metric), axis=1)[:, :limit]
    starts = np.concatenate([[0], np.cumsum(found.counts)])
    for k in range(len(queries)):
        mine = found.distances[starts[k] : starts[k + 1]]
        near = truth[k] if radius is None else truth[k][truth[k] <= radius - 1e-3]
        assert len(set(found.ids[starts[k] : starts[k + 1]])) == len(mine) >= len(near)
        np.testing.assert_allclose(mine[: len(near)], near, atol=1e-3)
        assert (np.diff(mine) >= 0).all()
        assert radius is None or (mine <= radius).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_distance_depends_on_its_pair_alone(metric: Metric) -> None:
    pool = loaded(3, 500, 48, metric)
    queries = loaded(4, 40, 48, metric).matrix
    together = pool.search(queries, 500)
    matrix = np.empty((40, 500))
    matrix[np.repeat(np.arange(40), together.counts), together.ids] = together.distances
    for k in (0, 17, 39):
        alone = pool.search(queries[k : k + 1], 500)
        assert (matrix[k, alone.ids] == alone.distances).all()
        few = LoadedVectors([5, 77, 300], pool.matrix[[5, 77, 300]], metric)
        some = few.search(queries[k : k + 1], 3)
        assert (matrix[k, some.ids] == some.distances).all()
    assert len(np.unique(matrix[:, ::5], axis=1).T) == 1  # copies


@pytest.mark.parametrize("metric", ["Cosine", "Euclid"])
def test_the_engine_finds_the_same(metric: Metric) -> None:
    rows = clustered_rows(400, 24, 4)
    rows[350:360] = 0  # at distance 1 from a unit vector, at the chord of product 0 under Cosine
    with edge_pool(rows, metric, unchecked=True) as collection:
        here = collection.search(rows[:30], limit=200, exact=True)
        near = collection.search(rows[:30], limit=400, max_distance=1.0, exact=True)
        ask_the_engine(collection)
        there = collection.search(rows[:30], limit=200, exact=True)
        nearby = collection.search(rows[:30], limit=400, max_distance=1.0, exact=True)
    np.testing.assert_allclose(here.distances, there.distances, atol=1e-3)
    assert (near.counts == nearby.counts).all()
    np.testing.assert_allclose(near.distances, nearby.distances, atol=1e-3)


def test_vectors_are_loaded_again_after_a_write() -> None:
    rows = clustered_rows(50, 4, 2)
    with edge_pool(rows) as collection:
        assert nearest(collection, rows[7]) == 7
        collection.delete([7])
        other = nearest(collection, rows[7])
        assert other != 7
        collection.upsert([90], rows[7:8].astype(np.float32))
        assert nearest(collection, rows[7]) == 90
        assert nearest(collection, rows[7], {"must_not": [{"has_id": [90]}]}) == other
        assert nearest(collection, rows[7], {"must": [{"has_id": [3]}]}) == 3
        assert nearest(collection, rows[7]) == 90


def nearest(collection: EdgeCollection, row: Any, where: Any = None) -> Any:
    vectors = np.asarray(row, dtype=np.float32)[None, :]
    return collection.search(vectors, limit=1, exact=True, where=where).ids[0]


def test_a_stored_nan_is_nobodys_neighbour() -> None:
    rows = clustered_rows(40, 6, 2)
    with edge_pool(rows, poisoned=[11]) as collection:
        found = collection.search(rows[:3].astype(np.float32), limit=40, exact=True)
    assert found.counts.tolist() == [39, 39, 39]
    assert 11 not in found.ids


@given(
    st.integers(0, 10**6),
    st.sampled_from(METRICS),
    st.sampled_from([1e-3, 1.0, 50.0]),
    st.sampled_from([0.0, 30.0]),
)
def test_products_of_all_with_all_round_as_those_of_one_pair(
    seed: int, metric: Metric, spread: float, off: float
) -> None:
    rng = np.random.default_rng(seed)
    dimension = int(rng.integers(1, 70))
    rows = (off + spread * rng.normal(size=(90, dimension))).astype(np.float32)
    rows[10:30] = rows[0] + np.float32(1e-4) * rng.normal(size=(20, dimension)).astype(np.float32)
    rows[30:33] = rows[1]
    if metric == "Cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    compared = Compared(rows, metric, np.arange(len(rows)))
    points = rows.astype(np.float64)
    table = compared.table(rows[:40], points).astype(np.float32)
    alone = np.array([compared.scored(row, points) for row in rows[:40]]).astype(np.float32)
    np.testing.assert_array_equal(table, alone)


@pytest.mark.parametrize("metric", ["Cosine", "Euclid"])
def test_a_product_that_is_off_is_computed_pair_by_pair(metric: Metric) -> None:
    """And others are not: the product has spared nearly all of the work."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(400, 96)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    compared, points = Compared(rows, metric, np.arange(len(rows))), rows.astype(np.float64)
    asked = []

    class Watched(Compared):
        def scored(self, query: Any, near: Any) -> Any:
            asked.append(len(near))
            return super().scored(query, near)

    Watched(rows, metric, compared.points).table(rows, points)
    assert 0 < sum(asked) < len(rows) ** 2 / 100


@given(st.lists(st.integers(0, 12), max_size=40), st.lists(st.booleans(), min_size=40))
def test_ids_of_hits_are_kept_once(places: list[int], kept: list[bool]) -> None:
    own: list[PointId] = [100 + k for k in range(13)]
    ids = HitIds(own, np.array(places, dtype=np.int64))
    plain = [own[k] for k in places]
    assert (list(ids), ids[2:9], len(ids)) == (plain, plain[2:9], len(plain))
    some = ids.only(np.array(kept[: len(plain)], dtype=np.bool_))
    assert list(some) == [one for one, keep in zip(plain, kept, strict=False) if keep]
    mine, theirs = PointIndex(), PointIndex()
    numbers = mine.numbers(some)
    assert [mine.ids([number])[0] for number in numbers.tolist()] == list(some)
    assert numbers.tolist() == PointIndex().numbers(list(some)).tolist()
    assert len(mine) == len(set(some))  # others of ``own`` were not seen
    theirs.numbers(list(some)[:3])
    np.testing.assert_array_equal(theirs.lookup(some), theirs.lookup(list(some)))
