"""The same id under two shard keys: found twice, counted once, and refused where vectors differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from door import open_door
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import models
from tenants import Tenants

from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.server.answers import Answer, first, joined, parts
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.errors import UnsupportedCollectionError

ROWS = np.random.default_rng(5).normal(size=(40, 3)).astype(np.float32)


def batch(ids: list[int], rows: object = ROWS) -> models.Batch:
    return models.Batch(ids=ids, vectors=[rows[i].tolist() for i in ids])  # type: ignore[index]


@contextmanager
def tenants(ours: models.Batch, theirs: models.Batch, **strict: int) -> Iterator[str]:
    with open_door() as door:
        params = models.VectorParams(size=3, distance=models.Distance.EUCLID)
        door.client.create_collection("t", vectors_config=params)
        door.shard("t", "a", 7)
        if strict:
            door.limit("t", **strict)
        door.hook = Tenants("t", {"a": ours, 7: theirs}, "Euclid")
        yield door.url


def brute_force(queries: np.ndarray, limit: int) -> list[list[int]]:
    far = np.linalg.norm(queries[:, None, :] - ROWS[None], axis=2)
    return [list(map(int, row)) for row in np.argsort(far, axis=1)[:, :limit]]


@pytest.mark.slow
@settings(deadline=None)
@given(
    shared=st.sets(st.integers(0, 39), max_size=40),
    limit=st.integers(1, 45),
    seed=st.integers(0, 9),
)
def test_equal_copies_count_once(shared: set[int], limit: int, seed: int) -> None:
    queries = np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)
    ours, theirs = list(range(0, 40, 2)), list(range(1, 40, 2))
    ours += [i for i in shared if i % 2]
    theirs += [i for i in shared if not i % 2]
    with tenants(batch(ours), batch(theirs)) as url, ServerCollection.open(url, "t") as pool:
        hits = pool.search(queries, limit=limit, exact=True)
    ends = np.cumsum(hits.counts).tolist()
    found = [hits.ids[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    assert found == brute_force(queries, limit)


@pytest.mark.parametrize("limit", [1, 3, 40])
def test_other_vectors_under_one_id_are_refused(limit: int) -> None:
    other = ROWS.copy()
    other[4] = -ROWS[4]
    with tenants(batch(list(range(20))), batch([4, 30, 31], other)) as url:
        with (
            ServerCollection.open(url, "t") as pool,
            pytest.raises(
                UnsupportedCollectionError,
                match=r"point 4 .* shard keys 'a' and '7' with different vectors.*--shard-key",
            ),
        ):
            # One list may have the one, another list the other.
            pool.search(np.stack([ROWS[4], other[4]]), limit=limit, exact=True)
        for key, count in (("a", 20), ("7", 3)):  # the advice
            reached = Connection(shard_key=key)
            with ServerCollection.open(url, "t", connection=reached) as pool:
                assert pool.count() == count
                hits = pool.search(np.stack([ROWS[4], other[4]]), limit=40, exact=True)
                assert hits.counts.tolist() == [count, count]


@pytest.mark.parametrize("limit", [3, 8, 20, 40])
def test_lists_longer_than_one_request_may_be(limit: int) -> None:
    everything = batch(list(range(40)))
    with (
        tenants(everything, everything, max_query_limit=8) as url,
        ServerCollection.open(url, "t") as pool,
    ):
        hits = pool.search(ROWS[:1], limit=limit, exact=True)
    assert hits.ids == brute_force(ROWS[:1], limit)[0]


def test_other_vectors_are_found_in_long_lists_too() -> None:
    other = ROWS.copy()
    other[39] = -ROWS[39]
    here, there = batch(list(range(40))), batch([39], other)
    with (
        tenants(here, there, max_query_limit=8) as url,
        ServerCollection.open(url, "t") as pool,
        pytest.raises(UnsupportedCollectionError, match=r"point 39 .* different vectors"),
    ):
        pool.search(np.stack([ROWS[39], other[39]]), limit=20, exact=True)


def test_answers_are_taken_apart_and_put_together() -> None:
    counts = np.array([2, 0, 3])
    whole = Answer([1, 2, 3, 4, 5], np.arange(5.0), counts, keys=["a", "b", "a", 7, 7])
    again = joined(parts(whole))
    assert (again.ids, again.keys) == (whole.ids, whole.keys)
    assert again.counts.tolist() == counts.tolist()
    cut = first(whole, 1)
    assert (cut.ids, cut.keys, cut.counts.tolist()) == ([1, 3], ["a", "a"], [1, 0, 1])
    assert cut.scores.tolist() == [0.0, 2.0]
