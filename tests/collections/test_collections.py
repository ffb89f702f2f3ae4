"""The same contract for every engine behind ``Collection``."""

from __future__ import annotations

from itertools import chain
from uuid import uuid4

import numpy as np
import pytest
from backends import Backend, ClientBackend
from conftest import MakeCollection
from qdrant_client import QdrantClient, models

from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.distance import normalized
from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.collections.server.collection import ServerCollection, list_collections
from tsds_qdrant.collections.values import METRICS, Metric, PointId
from tsds_qdrant.errors import (
    CollectionError,
    CollectionExistsError,
    CollectionNotFoundError,
    InputError,
    SettingsError,
    UnsupportedCollectionError,
)

UUIDS = [
    "0f0e0d0c-0b0a-4908-8706-050403020100",
    "5b1d9a1c-0000-4000-8000-000000000000",
    "c0ffee00-1234-4321-8765-0123456789ab",
]


def random_vectors(count: int, dimension: int, metric: Metric, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    if metric in ("Cosine", "Dot"):
        rows = normalized(rows, "Cosine")
    return rows


def brute_force(queries: np.ndarray, rows: np.ndarray, metric: Metric) -> np.ndarray:
    left, right = queries.astype(np.float64), rows.astype(np.float64)
    if metric == "Manhattan":
        return np.abs(left[:, None] - right[None]).sum(axis=2)
    if metric == "Cosine":
        left /= np.linalg.norm(left, axis=1, keepdims=True)
        right /= np.linalg.norm(right, axis=1, keepdims=True)
    return np.linalg.norm(left[:, None] - right[None], axis=2)


def split(hits: Hits) -> list[tuple[list[PointId], np.ndarray]]:
    ends = np.cumsum(hits.counts)
    starts = ends - hits.counts
    return [
        (hits.ids[start:end], hits.distances[start:end])
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]


def test_an_empty_collection(make_collection: MakeCollection) -> None:
    collection = make_collection(3, "Euclid")
    info = collection.info()
    assert (info.count, info.dimension, info.metric, info.vector) == (0, 3, "Euclid", "")
    assert info.engine.startswith("qdrant")
    assert collection.count() == 0
    assert list(collection.scroll_ids()) == []
    assert collection.retrieve([1]) == []
    hits = collection.search(np.ones((2, 3), np.float32), limit=5)
    assert hits.ids == []
    assert hits.counts.tolist() == [0, 0]
    assert collection.search(np.empty((0, 3), np.float32), limit=5).counts.tolist() == []


def test_create_twice_is_refused(make_collection: MakeCollection) -> None:
    make_collection(3, name="twice")
    with pytest.raises(CollectionExistsError, match=r"twice.*choose another name"):
        make_collection(3, name="twice")


def test_open_what_is_not_there(backend: Backend, make_collection: MakeCollection) -> None:
    make_collection(3, name="present")
    with pytest.raises(CollectionNotFoundError, match=r"absent.*present.*--collection"):
        backend.open("absent")


def test_open_again_finds_the_points(backend: Backend, make_collection: MakeCollection) -> None:
    first = make_collection(vectors=np.eye(4), name="again", payloads=[{"a": k} for k in range(4)])
    first.close()
    second = backend.open("again")
    assert second.count() == 4
    assert second.retrieve([2])[0].payload == {"a": 2}
    second.close()


def test_an_unknown_vector_is_not_found(backend: Backend, make_collection: MakeCollection) -> None:
    make_collection(3, name="plain").close()
    with pytest.raises(CollectionNotFoundError, match=r"'image'.*--vector"):
        backend.open("plain", vector="image")


def test_metadata_round_trip(backend: Backend, make_collection: MakeCollection) -> None:
    metadata = {"model": "m", "fields": {"text": "t"}, "n": 3}
    collection = make_collection(3, metadata=metadata, name="meta")
    assert collection.info().metadata == metadata
    collection.update_metadata({"n": 4, "new": [1, 2]})
    collection.close()
    reopened = backend.open("meta")
    assert reopened.info().metadata == {**metadata, "n": 4, "new": [1, 2]}
    reopened.close()


def test_metadata_of_a_collection_made_without(make_collection: MakeCollection) -> None:
    collection = make_collection(3)
    assert collection.info().metadata == {}
    collection.update_metadata({"model": "m"})
    assert collection.info().metadata == {"model": "m"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1.0, 2.0, 3.0], "dimension 4"),
        ([1.0, np.nan, 0.0, 0.0], "vector 1 holds NaN or infinity"),
        ([1.0, np.inf, 0.0, 0.0], "vector 1 holds NaN or infinity"),
        ([0.0, 0.0, 0.0, 0.0], "vector 1 has length zero"),
    ],
)
def test_upsert_refuses_bad_vectors_and_stores_nothing(
    make_collection: MakeCollection, row: list[float], message: str
) -> None:
    collection = make_collection(4)
    rows = np.ones((2, len(row)), np.float32)
    rows[1] = row
    with pytest.raises(InputError, match=message):
        collection.upsert([1, 2], rows)
    assert collection.count() == 0


@pytest.mark.parametrize("metric", ["Euclid", "Manhattan"])
def test_a_zero_vector_is_fine_where_it_has_a_distance(
    make_collection: MakeCollection, metric: Metric
) -> None:
    collection = make_collection(metric=metric, vectors=[[0.0, 0.0], [3.0, 4.0]])
    hits = collection.search(np.zeros((1, 2), np.float32), limit=2)
    assert hits.ids == [0, 1]
    assert hits.distances.tolist() == [0.0, 5.0 if metric == "Euclid" else 7.0]


@pytest.mark.parametrize("bad_id", [-1, 2**64, "no-uuid"])
def test_a_bad_id_is_refused(make_collection: MakeCollection, bad_id: PointId) -> None:
    collection = make_collection(2)
    with pytest.raises(InputError, match="is no point id"):
        collection.upsert([bad_id], np.ones((1, 2), np.float32))
    assert collection.count() == 0


def test_upsert_replaces_vector_and_payload(make_collection: MakeCollection) -> None:
    collection = make_collection(2, "Euclid")
    collection.upsert([7], np.array([[1, 0]], np.float32), [{"a": 1, "b": 2}])
    collection.upsert([7], np.array([[0, 1]], np.float32), [{"a": 3}])
    assert collection.count() == 1
    assert collection.retrieve([7])[0].payload == {"a": 3}
    vector = collection.retrieve([7], vectors=True)[0].vector
    assert vector is not None
    assert vector.tolist() == [0, 1]


def test_many_points_go_in_batches(make_collection: MakeCollection) -> None:
    rows = random_vectors(2_345, 8, "Euclid")
    collection = make_collection(metric="Euclid", vectors=rows)
    assert collection.count() == 2_345
    assert len(collection.existing(range(3_000))) == 2_345
    stored = collection.retrieve(range(2_345), vectors=True)
    assert [record.id for record in stored] == list(range(2_345))
    np.testing.assert_array_equal([record.vector for record in stored], rows)


def test_payloads_of_every_json_type_come_back(make_collection: MakeCollection) -> None:
    payload = {
        "text": "Grüße, 世界 \n",
        "whole": 2**53 + 1,
        "real": 0.1,
        "truth": True,
        "nothing": None,
        "list": [1, "a", None, {"deep": [[]]}],
        "object": {"a.b": {"c": []}},
    }
    collection = make_collection(2)
    collection.upsert([1], np.ones((1, 2), np.float32), [payload])
    assert collection.retrieve([1])[0].payload == payload


def test_scroll_in_ascending_order_numbers_first(make_collection: MakeCollection) -> None:
    ids: list[PointId] = [2**64 - 1, UUIDS[1], 5, UUIDS[0], 0, UUIDS[2], 2**53 + 1]
    collection = make_collection(vectors=np.ones((7, 2)), ids=ids)
    (page,) = collection.scroll_ids()
    assert page == [0, 5, 2**53 + 1, 2**64 - 1, *UUIDS]


def test_scroll_pages_cover_everything_once(
    make_collection: MakeCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsds_qdrant.collections.edge.reads.SCROLL_PAGE", 3)
    monkeypatch.setattr("tsds_qdrant.collections.server.reads.SCROLL_PAGE", 3)
    collection = make_collection(vectors=np.ones((10, 2)), payloads=[{"k": k} for k in range(10)])
    pages = list(collection.scroll_ids())
    assert [len(page) for page in pages] == [3, 3, 3, 1]
    assert list(chain.from_iterable(pages)) == list(range(10))
    pages = list(collection.scroll_ids({"must": [{"key": "k", "range": {"gte": 4}}]}))
    assert list(chain.from_iterable(pages)) == list(range(4, 10))


def test_retrieve_keeps_the_order_and_leaves_out_what_is_missing(
    make_collection: MakeCollection,
) -> None:
    ids: list[PointId] = [1, UUIDS[0], 3]
    collection = make_collection(
        vectors=np.eye(3), ids=ids, payloads=[{"k": k} for k in range(3)], metric="Euclid"
    )
    wanted: list[PointId] = [3, UUIDS[1], UUIDS[0], 99, 1]
    records = collection.retrieve(wanted)
    assert [record.id for record in records] == [3, UUIDS[0], 1]
    assert [record.payload["k"] for record in records] == [2, 1, 0]
    assert all(record.vector is None for record in records)
    assert collection.existing(wanted) == {1, UUIDS[0], 3}
    assert collection.existing([]) == set()
    assert collection.retrieve([]) == []


def test_cosine_vectors_are_stored_normalised(make_collection: MakeCollection) -> None:
    collection = make_collection(vectors=[[3.0, 4.0]])
    vector = collection.retrieve([0], vectors=True)[0].vector
    assert vector is not None
    np.testing.assert_allclose(vector, [0.6, 0.8], rtol=1e-6)


def test_delete(make_collection: MakeCollection) -> None:
    ids: list[PointId] = [1, UUIDS[0], 3]
    collection = make_collection(vectors=np.eye(3), ids=ids)
    collection.delete([UUIDS[0], 3, 77])
    assert collection.count() == 1
    assert list(collection.scroll_ids()) == [[1]]
    hits = collection.search(np.ones((1, 3), np.float32), limit=3)
    assert hits.ids == [1]
    collection.delete([])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("exact", [True, False])
def test_search_agrees_with_brute_force(
    make_collection: MakeCollection, metric: Metric, exact: bool
) -> None:
    rows = random_vectors(400, 16, metric)
    queries = random_vectors(150, 16, metric, seed=1)
    collection = make_collection(metric=metric, vectors=rows)
    hits = collection.search(queries, limit=10, exact=exact, ef=64)
    truth = brute_force(queries, rows, metric)
    assert hits.counts.tolist() == [10] * 150
    for row, (ids, distances) in zip(truth, split(hits), strict=True):
        np.testing.assert_allclose(distances, np.sort(row)[:10], rtol=3e-6)
        np.testing.assert_allclose(distances, row[ids], rtol=3e-6)
        assert len(set(ids)) == 10


def test_a_query_of_another_length_under_cosine(make_collection: MakeCollection) -> None:
    collection = make_collection(vectors=np.eye(3))
    hits = collection.search(np.array([[0, 250, 0], [0, 1e-3, 0]], np.float32), limit=1)
    assert hits.ids == [1, 1]
    np.testing.assert_allclose(hits.distances, 0.0, atol=5e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_max_distance_includes_the_boundary(
    backend: Backend, make_collection: MakeCollection, metric: Metric
) -> None:
    # The last bit of local mode's scores differs from call to call.
    local = isinstance(backend, ClientBackend) and backend.location == ":memory:"
    rows = random_vectors(60, 8, metric)
    queries = random_vectors(5, 8, metric, seed=2)
    collection = make_collection(metric=metric, vectors=rows)
    for query in queries:
        everything = collection.search(query[None], limit=60, exact=True)
        for k in (0, 7, 30, 59):
            boundary = float(everything.distances[k])
            outside = boundary + 1e-6 if local else boundary
            hits = collection.search(query[None], limit=60, max_distance=outside, exact=True)
            assert hits.ids == everything.ids[: k + 1]
            np.testing.assert_allclose(
                hits.distances, everything.distances[: k + 1], rtol=1e-6 * local
            )
            inside = boundary - 1e-6 if local else np.nextafter(boundary, 0)
            hits = collection.search(query[None], limit=60, max_distance=inside, exact=True)
            assert hits.ids == everything.ids[:k]


def test_max_distance_zero_finds_exact_copies(make_collection: MakeCollection) -> None:
    collection = make_collection(metric="Euclid", vectors=[[1, 2], [1, 2], [1, 2.001]])
    hits = collection.search(np.array([[1, 2]], np.float32), limit=5, max_distance=0.0)
    assert sorted(map(int, hits.ids)) == [0, 1]


def test_a_limit_beyond_the_collection(make_collection: MakeCollection) -> None:
    rows = random_vectors(30, 4, "Cosine")
    collection = make_collection(vectors=rows)
    hits = collection.search(rows[:7], limit=1_000)
    assert hits.counts.tolist() == [30] * 7
    assert all(sorted(map(int, ids)) == list(range(30)) for ids, _ in split(hits))


def test_search_with_a_filter(make_collection: MakeCollection) -> None:
    rows = random_vectors(100, 4, "Euclid")
    payloads = [{"group": "ab"[k % 2], "k": k} for k in range(100)]
    collection = make_collection(metric="Euclid", vectors=rows, payloads=payloads)
    where = {"must": [{"key": "group", "match": {"value": "b"}}]}
    assert collection.count(where) == 50
    hits = collection.search(rows[:3], limit=100, where=where)
    assert hits.counts.tolist() == [50] * 3
    assert all(int(found) % 2 == 1 for found in hits.ids)
    truth = brute_force(rows[:3], rows[1::2], "Euclid")
    np.testing.assert_allclose(
        hits.distances.reshape(3, 50), np.sort(truth, axis=1), rtol=3e-6, atol=1e-6
    )


def test_a_malformed_filter_is_a_setting(make_collection: MakeCollection) -> None:
    collection = make_collection(vectors=np.eye(2))
    where = {"must": [{"key": "a", "matches": {"value": 1}}]}
    for call in (
        lambda: collection.count(where),
        lambda: collection.search(np.ones((1, 2), np.float32), limit=1, where=where),
        lambda: list(collection.scroll_ids(where)),
    ):
        with pytest.raises(SettingsError, match=r"'matches'.*write it like"):
            call()


def test_numbers_and_uuids_side_by_side(make_collection: MakeCollection) -> None:
    ids: list[PointId] = [3, UUIDS[0], UUIDS[1], 2**64 - 1]
    collection = make_collection(vectors=np.eye(4), ids=ids)
    hits = collection.search(np.eye(4, dtype=np.float32), limit=1)
    assert hits.ids == ids


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ([[1.0, 2.0, 3.0]], "dimension 2"),
        ([[1.0, np.nan]], "query 0 holds NaN or infinity"),
        ([[0.0, 0.0]], "query 0 has length zero"),
    ],
)
def test_bad_queries_are_refused(
    make_collection: MakeCollection, query: list[list[float]], message: str
) -> None:
    collection = make_collection(vectors=np.eye(2))
    with pytest.raises(InputError, match=message):
        collection.search(np.array(query, np.float32), limit=1)


def test_progress_counts_every_query(make_collection: MakeCollection) -> None:
    collection = make_collection(vectors=np.eye(3))
    done: list[int] = []
    collection.search(np.ones((301, 3), np.float32), limit=1, on_batch=done.append)
    assert sum(done) == 301
    assert len(done) > 1


def test_optimize_keeps_everything(make_collection: MakeCollection) -> None:
    rows = random_vectors(200, 8, "Cosine")
    collection = make_collection(vectors=rows)
    collection.optimize()
    assert collection.count() == 200
    assert collection.search(rows[:5], limit=1).ids == [0, 1, 2, 3, 4]


def test_a_closed_collection_says_so(make_collection: MakeCollection) -> None:
    collection = make_collection(vectors=np.eye(2))
    collection.close()
    with pytest.raises(CollectionError, match="is closed; open it again"):
        collection.count()
    collection.close()


def test_a_collection_is_closed_after_its_block(make_collection: MakeCollection) -> None:
    with make_collection(vectors=np.eye(2)) as collection:
        assert collection.search(np.eye(2)[:1].astype(np.float32), limit=1).ids == [0]
    with pytest.raises(CollectionError, match="is closed; open it again"):
        collection.existing([1])


class TestServer:
    """What only collections that others made can hold."""

    @pytest.fixture
    def server(self, backend: Backend) -> ClientBackend:
        if not isinstance(backend, ClientBackend):
            pytest.skip("the embedded engine has its own collections only")
        return backend

    @pytest.fixture
    def foreign(self, server: ClientBackend) -> str:
        server.names.append(server.prefix + "foreign")
        return server.names[-1]

    def test_the_only_dense_vector_is_picked(self, server: ClientBackend, foreign: str) -> None:
        plain = models.VectorParams(size=2, distance=models.Distance.EUCLID)
        multi = models.VectorParams(
            size=3,
            distance=models.Distance.COSINE,
            multivector_config=models.MultiVectorConfig(
                comparator=models.MultiVectorComparator.MAX_SIM
            ),
        )
        server.client.create_collection(
            foreign,
            vectors_config={"text": plain, "tokens": multi},
            sparse_vectors_config={"words": models.SparseVectorParams()},
        )
        collection = server.open("foreign")
        assert collection.info().vector == "text"
        collection.upsert([1, 2], np.array([[0, 0], [3, 4]], np.float32))
        hits = collection.search(np.zeros((1, 2), np.float32), limit=2)
        assert (hits.ids, hits.distances.tolist()) == ([1, 2], [0.0, 5.0])
        vector = collection.retrieve([2], vectors=True)[0].vector
        assert vector is not None
        assert vector.tolist() == [3, 4]
        with pytest.raises(UnsupportedCollectionError, match=r"'tokens'.*multivector"):
            server.open("foreign", vector="tokens")
        collection.close()

    def test_several_vectors_must_be_named(self, server: ClientBackend, foreign: str) -> None:
        params = models.VectorParams(size=2, distance=models.Distance.COSINE)
        server.client.create_collection(foreign, vectors_config={"a": params, "b": params})
        with pytest.raises(CollectionNotFoundError, match=r"'a', 'b'.*--vector"):
            server.open("foreign")
        collection = server.open("foreign", vector="b")
        assert collection.info().vector == "b"
        collection.close()

    def test_sparse_only_is_unsupported(self, server: ClientBackend, foreign: str) -> None:
        server.client.create_collection(
            foreign,
            vectors_config={},
            sparse_vectors_config={"words": models.SparseVectorParams()},
        )
        with pytest.raises(UnsupportedCollectionError, match="no dense vector"):
            server.open("foreign")

    @pytest.mark.parametrize(("length", "fits"), [(1.0005, True), (1.01, False)])
    def test_dot_products_need_unit_length(
        self, server: ClientBackend, foreign: str, length: float, fits: bool
    ) -> None:
        params = models.VectorParams(size=2, distance=models.Distance.DOT)
        server.client.create_collection(foreign, vectors_config=params)
        server.client.upsert(foreign, [models.PointStruct(id=9, vector=[0.0, length])], wait=True)
        with server.open("foreign") as collection:
            if fits:
                collection.check_distances()
            else:
                with pytest.raises(UnsupportedCollectionError, match=r"point 9 has length 1\.01"):
                    collection.check_distances()

    def test_a_created_vector_may_have_a_name(self, server: ClientBackend, foreign: str) -> None:
        collection = ServerCollection.create(
            server.location,
            foreign,
            dimension=2,
            metric="Manhattan",
            vector="text",
            connection=Connection(client=server.client),
        )
        collection.upsert([1], np.ones((1, 2), np.float32), [{"a": 1}])
        assert collection.info().vector == "text"
        assert collection.search(np.zeros((1, 2), np.float32), limit=1).distances.tolist() == [2.0]
        collection.close()

    def test_names_are_listed(self, server: ClientBackend, foreign: str) -> None:
        params = models.VectorParams(size=2, distance=models.Distance.DOT)
        server.client.create_collection(foreign, vectors_config=params)
        assert foreign in list_collections(server.location, Connection(client=server.client))

    def test_the_metadata_of_others_stays(self, server: ClientBackend, foreign: str) -> None:
        params = models.VectorParams(size=2, distance=models.Distance.COSINE)
        server.client.create_collection(foreign, vectors_config=params, metadata={"owner": "x"})
        collection = server.open("foreign")
        assert collection.info().metadata == {}
        collection.update_metadata({"model": "m"})
        kept = server.client.get_collection(foreign).config.metadata
        assert kept == {"owner": "x", "tsds_qdrant": {"model": "m"}}
        collection.close()


def test_a_memory_of_its_own() -> None:
    collection = ServerCollection.create(
        ":memory:", f"own-{uuid4().hex}", dimension=2, metric="Euclid", metadata={"a": 1}
    )
    collection.upsert([1], np.ones((1, 2), np.float32))
    assert collection.info().metadata == {"a": 1}
    assert collection.info().engine.startswith("qdrant-client local")
    collection.close()
    with pytest.raises(CollectionNotFoundError, match="it holds none"):
        ServerCollection.open(
            ":memory:", "none", connection=Connection(client=QdrantClient(":memory:"))
        )
