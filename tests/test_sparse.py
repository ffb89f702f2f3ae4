"""Sparse vectors: their form, and exact searches by dot product on every engine."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from backends import Backend
from conftest import MakeCollection
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.server.wire import Search, grpc_message, rest_body
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.errors import CollectionMismatchError, InputError, SettingsError
from tsds_qdrant.sparse import SparseRows, checked_sparse

COUNT, VOCABULARY = 400, 60
Rows = list[dict[int, float]]


def random_rows(count: int, seed: int) -> Rows:
    """Rows of 0 to 12 entries of either sign, over indices up to 2^32 - 1."""
    rng = np.random.default_rng(seed)
    indices = np.concatenate([np.arange(VOCABULARY - 1), [2**32 - 1]])
    rows: Rows = []
    for _ in range(count):
        chosen = rng.permutation(indices)[: rng.integers(0, 13)]
        rows.append({int(i): float(np.float32(rng.normal())) for i in chosen})
    return rows


POINTS = random_rows(COUNT, 0)
QUERIES = random_rows(30, 1)


def products(query: dict[int, float], points: Rows) -> dict[int, float]:
    """The dot product with every point that shares an index."""
    return {
        number: sum(value * point[i] for i, value in query.items() if i in point)
        for number, point in enumerate(points)
        if query.keys() & point.keys()
    }


def idf_products(query: dict[int, float], points: Rows) -> dict[int, float]:
    """The same where Qdrant weighs each index by ln(1 + (n - df + .5) / (df + .5)).

    n counts the points that have a sparse vector with entries, df those that have the index.
    """
    weighed = {}
    for i, value in query.items():
        df = sum(i in point for point in points)
        weighed[i] = value * math.log(1 + (len(points) - df + 0.5) / (df + 0.5))
    return products(weighed, points)


def per_search(hits: Any) -> list[tuple[list[Any], list[float]]]:
    ends = np.cumsum(hits.counts)
    return [
        (hits.ids[end - count : end], hits.scores[end - count : end].tolist())
        for end, count in zip(ends, hits.counts, strict=True)
    ]


@pytest.fixture
def words(make_collection: MakeCollection) -> Collection:
    payloads = [{"half": number % 2} for number in range(COUNT)]
    made = make_collection(vectors=np.ones((COUNT, 2)), payloads=payloads)
    made.add_space(Space.sparse("words"))
    made.set_vectors(range(COUNT), SparseRows.of(POINTS), space="words")
    return made.at("words")


@pytest.mark.parametrize("optimized", [False, True])
def test_products_are_exact_and_descend(words: Collection, optimized: bool) -> None:
    if optimized:
        words.optimize()
    hits = words.search_sparse(SparseRows.of(QUERIES), limit=COUNT)
    assert np.isnan(hits.distances).all()
    for query, (ids, scores) in zip(QUERIES, per_search(hits), strict=True):
        wanted = products(query, POINTS)
        assert set(ids) == set(wanted)
        assert len(ids) == len(wanted)
        np.testing.assert_allclose(scores, [wanted[i] for i in ids], rtol=1e-5, atol=1e-5)
        assert scores == sorted(scores, reverse=True)
    assert min(hits.scores) < 0 < max(hits.scores)


def test_a_limit_keeps_the_largest(words: Collection) -> None:
    hits = words.search_sparse(SparseRows.of(QUERIES), limit=7)
    for query, (_, scores) in zip(QUERIES, per_search(hits), strict=True):
        best = sorted(products(query, POINTS).values(), reverse=True)[:7]
        np.testing.assert_allclose(scores, best, rtol=1e-5, atol=1e-5)


def test_a_filter_holds(words: Collection) -> None:
    where = {"must": [{"key": "half", "match": {"value": 1}}]}
    hits = words.search_sparse(SparseRows.of(QUERIES), limit=COUNT, where=where)
    for query, (ids, _) in zip(QUERIES, per_search(hits), strict=True):
        assert set(ids) == {i for i in products(query, POINTS) if i % 2}
    with pytest.raises(SettingsError, match="'matches'"):
        words.search_sparse(
            SparseRows.of(QUERIES), limit=1, where={"must": [{"key": "a", "matches": 1}]}
        )


def test_rows_without_entries_and_words_that_nobody_has(words: Collection) -> None:
    done: list[int] = []
    rows = SparseRows.of([{}, {1_000_000: 1.0}, QUERIES[1], {}])
    hits = words.search_sparse(rows, limit=5, on_batch=done.append)
    assert hits.counts.tolist() == [0, 0, min(5, len(products(QUERIES[1], POINTS))), 0]
    assert words.search_sparse(SparseRows.of([]), limit=5).counts.tolist() == []
    assert words.search_sparse(SparseRows.of([{}]), limit=5).counts.tolist() == [0]


def test_many_searches_go_in_batches(words: Collection) -> None:
    done: list[int] = []
    rows = SparseRows.of(QUERIES[1:2] * 301)
    hits = words.search_sparse(rows, limit=1, on_batch=done.append)
    assert hits.counts.tolist() == [1] * 301
    assert sum(done) == 301
    assert len(done) > 1


def test_what_is_stored_comes_back(words: Collection) -> None:
    records = words.retrieve(range(COUNT), vectors=True)
    for point, record in zip(POINTS, records, strict=True):
        assert record.vector is None
        assert record.sparse is not None
        (pair,) = record.sparse.pairs()
        assert dict(zip(*pair, strict=True)) == point


def test_a_sparse_vector_is_replaced(backend: Backend, words: Collection) -> None:
    words.set_vectors([3], SparseRows.of([{17: 100.0}]))
    hits = words.search_sparse(SparseRows.of([{17: 1.0}]), limit=1)
    assert (hits.ids, hits.scores.tolist()) == ([3], [100.0])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{1: 1.0}, {2: float("nan")}], r"query 1 holds NaN, .*index 2"),
        ([{2**32: 1.0}], "query 0 holds an index outside"),
    ],
)
def test_bad_queries_are_refused(words: Collection, rows: Rows, message: str) -> None:
    with pytest.raises(InputError, match=message):
        words.search_sparse(SparseRows.of(rows), limit=1)


SPARSE = st.lists(
    st.dictionaries(st.integers(0, 2**32 - 1), st.floats(-9, 9, width=32), max_size=4), max_size=6
)


@given(SPARSE, st.data())
def test_rows_are_cut_and_taken(rows: Rows, data: st.DataObject) -> None:
    whole = checked_sparse(SparseRows.of(rows))

    def mappings(sparse: SparseRows) -> Rows:
        return [dict(zip(*pair, strict=True)) for pair in sparse.pairs()]

    assert len(whole) == len(rows)
    assert mappings(whole) == rows
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    assert mappings(whole.part(start, stop)) == rows[start:stop]
    taken = data.draw(st.lists(st.sampled_from(range(len(rows))))) if rows else []
    assert mappings(whole.take(taken)) == [rows[row] for row in taken]


@pytest.mark.parametrize(
    ("offsets", "indices", "values", "message"),
    [
        ([0, 2], [1], [1.0], "make no sparse rows"),
        ([0, 1], [1], [1.0, 2.0], "make no sparse rows"),
        ([0, 2, 1], [1], [1.0], "make no sparse rows"),
        ([], [], [], "make no sparse rows"),
        ([0, 1, 3], [5, 7, 7], [1.0, 1.0, 1.0], r"vector 1 holds an index twice \(index 7\)"),
        ([0, 1], [-1], [1.0], "vector 0 holds an index outside"),
        ([0, 1], [1], [1e300], "vector 0 holds NaN, infinity or a number too large"),
    ],
)
def test_what_makes_no_rows(
    offsets: list[int], indices: list[int], values: list[float], message: str
) -> None:
    rows = SparseRows(np.array(offsets, np.int64), np.array(indices), np.array(values))
    with pytest.raises(InputError, match=message):
        checked_sparse(rows)


def test_the_same_index_in_two_rows_is_fine() -> None:
    rows = SparseRows.of([{7: 1.0}, {7: 2.0}, {1: 1.0, 7: 3.0}])
    assert len(checked_sparse(rows)) == 3


def test_requests_say_the_same_over_rest_and_grpc() -> None:
    search = Search("texts", "words", 7, False, None, None, None, 60)
    rows = SparseRows.of([{3: 0.1, 1: -2.0}, {2**32 - 1: 5.0}])
    batch = models.QueryRequestBatch.model_validate(json.loads(rest_body(search, rows)))
    message = grpc_message(search, rows)
    for pair, request, asked in zip(
        rows.pairs(), batch.searches, message.query_points, strict=True
    ):
        sparse = asked.query.nearest.sparse
        assert isinstance(request.query, models.SparseVector)
        assert request.query.indices == list(sparse.indices) == pair[0]
        assert np.float32(request.query.values).tolist() == list(sparse.values) == pair[1]
        assert request.using == asked.using == "words"
        assert request.params.exact is asked.params.exact is False


def test_the_mean_of_rows_is_one_row() -> None:
    rows = SparseRows.of([{9: 1.0, 2: 2.0}, {}, {2: -1.0}, {2**32 - 1: 4.0}])
    assert list(rows.mean().pairs()) == [([2, 9, 2**32 - 1], [0.25, 0.25, 1.0])]
    assert list(SparseRows.of([{}]).mean().pairs()) == [([], [])]
    mean = checked_sparse(SparseRows.of(POINTS).mean())
    for index, value in zip(mean.indices.tolist(), mean.values, strict=True):
        wanted = sum(point.get(index, 0.0) for point in POINTS) / COUNT
        assert value == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("optimized", [False, True])
def test_a_space_with_idf_weighs_rare_indices_more(
    backend: Backend, make_collection: MakeCollection, optimized: bool
) -> None:
    points = [point or {7: 1.0} for point in POINTS]
    made = make_collection(vectors=np.ones((COUNT + 50, 2)), name="weighed")
    made.add_space(Space.sparse("words", idf=True))
    made.set_vectors(range(COUNT), SparseRows.of(points), space="words")
    if optimized:
        made.optimize()
    made.close()
    with backend.open("weighed") as again:
        assert again.spaces["words"] == Space.sparse("words", idf=True)
        assert str(again.spaces["words"]) == "sparse with IDF"
        again.add_space(Space.sparse("words", idf=True))
        with pytest.raises(CollectionMismatchError, match="is sparse with IDF, not sparse;"):
            again.add_space(Space.sparse("words"))
        hits = again.at("words").search_sparse(SparseRows.of(QUERIES), limit=COUNT)
    for query, (ids, scores) in zip(QUERIES, per_search(hits), strict=True):
        wanted = idf_products(query, points)
        assert set(ids) == set(wanted)
        np.testing.assert_allclose(scores, [wanted[i] for i in ids], rtol=1e-5, atol=1e-5)
