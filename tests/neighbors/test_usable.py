"""Hits of vectors that are not usable are left out, and make room for others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_oracle import edge_pool

from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.errors import UnsupportedCollectionError
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.usable import unusable, usable_hits


@given(st.lists(st.lists(st.booleans(), max_size=60), min_size=1, max_size=4), st.integers(1, 20))
def test_as_many_usable_hits_come_as_there_are(rows: list[list[bool]], limit: int) -> None:
    """Each row says of its hits, nearest first, which are usable."""
    asked = []

    def ask(depth: int) -> Hits:
        asked.append(depth)
        cut = [list(range(len(row)))[:depth] for row in rows]
        ids = [100 * k + one for k, found in enumerate(cut) for one in found]
        distances = np.array([float(one % 100) for one in ids])
        return Hits(ids, distances, np.array([len(found) for found in cut], dtype=np.int64))

    def lost(hits: Hits) -> np.ndarray:
        return np.array([not rows[one // 100][one % 100] for one in hits.ids], dtype=bool)

    found = usable_hits(ask, limit, lost)
    wanted = [[k for k, usable in enumerate(row) if usable][:limit] for row in rows]
    assert found.counts.tolist() == [len(row) for row in wanted]
    assert found.ids == [100 * k + one for k, row in enumerate(wanted) for one in row]
    if all(all(row) for row in rows):
        assert asked == [limit]
    assert len(asked) <= 2 + np.log2(60)


@pytest.mark.parametrize("zeros", [1, 20, 50])
@pytest.mark.parametrize("metric", ["Cosine", "Dot"])
def test_zero_rows_take_no_place_in_a_list(metric: str, zeros: int) -> None:
    """They are at product 0, in the middle of every list, and the lists are as deep without."""
    rng = np.random.default_rng(zeros)
    rows = rng.normal(size=(120, 5)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    empty = rng.permutation(120)[:zeros]
    rows[empty] = 0
    kept = np.setdiff1d(np.arange(120), empty)
    products = (rows @ rows[kept[0]])[kept]
    wanted = kept[np.argsort(-products, kind="stable")].tolist()
    with edge_pool(rows, metric, unchecked=True) as pool:  # type: ignore[arg-type]
        searcher = Searcher(pool)
        assert searcher.members.zero == tuple(sorted(empty.tolist()))
        assert searcher.candidates == 120 - zeros
        for limit in (1, 10, 60, 70, 120):
            hits, exact = searcher.nearest(rows[[kept[0]]], limit)
            assert exact
            assert hits.ids == wanted[:limit]


def test_a_product_above_one_names_the_point() -> None:
    with edge_pool(np.eye(3, dtype=np.float32), "Dot") as pool:
        info = pool.info()
    hits = Hits([7, 8], np.zeros(2), np.array([2]), np.array([1.001, 1.2]))
    with pytest.raises(UnsupportedCollectionError, match=r"point 8 has a product of 1\.2 "):
        unusable(hits, info, (), exact=True)
