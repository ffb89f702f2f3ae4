"""The door before local mode, which other tests go through: true answers, recorded refusals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from door import Door, FailingWrites, Request, open_door
from playback import Clock, Reply
from pool_oracle import probabilities_of, variation
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse
from recordings import recorded, recordings

from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.selection.select import select
from tsds_qdrant.selection.settings import SelectionSettings

ROWS = np.random.default_rng(3).normal(size=(60, 8)).astype(np.float32)
WORDS = [{"text": f"t{k}", "lang": "en" if k % 2 else "de", "n": k} for k in range(len(ROWS))]
QUERY = [0.1] * 8
EN = {"must": [{"key": "lang", "match": {"value": "en"}}]}


@pytest.fixture
def door() -> Iterator[Door]:
    with open_door() as door:
        fill(door)
        yield door


def fill(door: Door, name: str = "s") -> None:
    params = models.VectorParams(size=8, distance=models.Distance.COSINE)
    points = models.Batch(ids=list(range(len(ROWS))), vectors=ROWS.tolist(), payloads=WORDS)
    for node in door.nodes:
        node.client.create_collection(name, vectors_config=params)
        node.client.upsert(name, points)


@contextmanager
def client_of(door: Door) -> Iterator[QdrantClient]:
    client = QdrantClient(url=door.url, check_compatibility=False)
    yield client
    client.close()


def asked(door: Door, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    return httpx.request(method, f"{door.url}{path}", json=body, headers=headers)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    if answer.headers["content-type"] == "application/json":
        return answer.status_code, answer.json()["status"]["error"]
    return answer.status_code, answer.text


def said(name: str, what: str) -> tuple[int, str]:
    """Status and words of a recorded refusal."""
    status, _, body = recorded(name, what)
    return status, body.decode() if isinstance(body, bytes) else body["status"]["error"]


def test_the_same_selection_through_the_door(door: Door) -> None:
    settings = SelectionSettings.of(sizes=(9,), where=EN)
    with ServerCollection.open(door.url, "s") as served:
        through = select(served, ROWS[:4], settings)
    with ServerCollection.open(
        ":memory:", "s", connection=Connection(client=door.client)
    ) as direct:
        expected = select(direct, ROWS[:4], settings)
    assert through.selected_ids == expected.selected_ids
    assert variation(probabilities_of(through), probabilities_of(expected)) <= 1e-6
    assert {"/collections/s/points/query/batch"} <= {request.path for request in door.requests}


def test_what_is_written_through_the_door_is_in_the_engine() -> None:
    with open_door(replicas=2) as door, client_of(door) as client:
        params = models.VectorParams(size=8, distance=models.Distance.DOT)
        client.create_collection("s", {"": params, "v": params}, metadata={"made": "here"})
        client.upsert("s", [models.PointStruct(id=7, vector={"": QUERY}, payload={"a": {"b": 1}})])
        client.create_vector_name("s", "w", models.SparseVectorNameConfig(sparse={}))
        sparse = models.SparseVector(indices=[5], values=[2.0])
        client.update_vectors("s", [models.PointVectors(id=7, vector={"w": sparse, "v": QUERY})])
        client.set_payload("s", {"c": 2}, points=[7], key="a")
        client.batch_update_points(
            "s",
            [models.DeletePayloadOperation(delete_payload={"keys": ["a.b"], "points": [7]})],
        )
        alias = models.CreateAlias(collection_name="s", alias_name="t")
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
        assert client.get_collection("t").config.metadata == {"made": "here"}
        (through,) = client.retrieve("t", [7], with_vectors=True)
        for node in door.nodes:
            (kept,) = node.client.retrieve("s", [7], with_vectors=True)
            assert kept.payload == through.payload == {"a": {"c": 2}}
            assert kept.vector == through.vector
            assert set(kept.vector) == {"", "v", "w"}
        client.delete("s", [7])
        assert client.count("t").count == door.client.count("s").count == 0


STRICT: list[tuple[str, dict[str, Any], str, str, Any]] = [
    ("strict: max_query_limit 5", {"max_query_limit": 5}, "POST", "points/query/batch",
     {"searches": [{"query": QUERY, "limit": 10}]}),
    ("strict: scroll above max_query_limit 5", {"max_query_limit": 5}, "POST", "points/scroll",
     {"limit": 100}),
    ("strict: max_timeout 2", {"max_timeout": 2}, "POST", "points/query/batch?timeout=30",
     {"searches": [{"query": QUERY, "limit": 10}]}),
    ("strict: max_timeout 2, count", {"max_timeout": 2}, "POST", "points/count?timeout=30",
     {"exact": True}),
    ("strict: filter without index", {"unindexed_filtering_retrieve": False}, "POST",
     "points/query/batch", {"searches": [{"query": QUERY, "limit": 10, "filter": EN}]}),
    ("strict: count with filter without index", {"unindexed_filtering_retrieve": False}, "POST",
     "points/count", {"filter": EN}),
    ("strict: range filter without index", {"unindexed_filtering_retrieve": False}, "POST",
     "points/scroll", {"filter": {"must": [{"key": "n", "range": {"gt": 5}}]}}),
    ("strict: set payload by filter without index", {"unindexed_filtering_update": False}, "POST",
     "points/payload", {"payload": {"a": 1}, "filter": EN}),
    ("strict: search_max_hnsw_ef 16", {"search_max_hnsw_ef": 16}, "POST", "points/query/batch",
     {"searches": [{"query": QUERY, "limit": 10, "params": {"hnsw_ef": 64}}]}),
    ("strict: search_allow_exact false", {"search_allow_exact": False}, "POST",
     "points/query/batch", {"searches": [{"query": QUERY, "params": {"exact": True}}]}),
    ("strict: search_allow_exact false", {"search_allow_exact": False}, "POST", "points/count",
     {"exact": True}),
    ("strict: search_max_oversampling 1", {"search_max_oversampling": 1}, "POST",
     "points/query/batch",
     {"searches": [{"query": QUERY, "params": {"quantization": {"oversampling": 3}}}]}),
    ("strict: search_max_batchsize 4", {"search_max_batchsize": 4}, "POST", "points/query/batch",
     {"searches": [{"query": QUERY}] * 9}),
    ("strict: upsert_max_batchsize 4", {"upsert_max_batchsize": 4}, "PUT", "points",
     {"points": [{"id": k, "vector": QUERY} for k in range(9)]}),
    ("strict: filter_max_conditions 1", {"filter_max_conditions": 1}, "POST", "points/scroll",
     {"filter": {"must": EN["must"], "should": [{"must_not": EN["must"] * 2}]}}),
    ("strict: condition_max_size 3 (any)", {"condition_max_size": 3}, "POST", "points/scroll",
     {"filter": {"must": [{"key": "n", "match": {"any": [1, 2, 3, 4, 5]}}]}}),
    ("strict: condition_max_size 3 (has_id)", {"condition_max_size": 3}, "POST", "points/scroll",
     {"filter": {"must": [{"has_id": [1, 2, 3, 4, 5]}]}}),
    ("strict: max_payload_index_count 0", {"max_payload_index_count": 0}, "PUT", "index",
     {"field_name": "lang", "field_schema": "keyword"}),
    ("wrong dimension", {}, "POST", "points/query", {"query": [1.0, 2.0], "limit": 1}),
    ("unknown vector name", {}, "POST", "points/query", {"query": QUERY, "using": "x"}),
    ("create again", {}, "PUT", "", {"vectors": {"size": 8, "distance": "Cosine"}}),
    ("order_by without index", {}, "POST", "points/scroll", {"order_by": "n"}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "strict", "method", "tail", "body"), STRICT)
def test_refusals_are_those_recorded(
    door: Door, what: str, strict: dict[str, Any], method: str, tail: str, body: Any
) -> None:
    door.limit("s", **strict)
    path = f"/collections/s/{tail}".removesuffix("/")
    assert refusal(asked(door, method, path, body)) == said("refusals", what)
    door.limit("s", enabled=False, **strict)
    if strict:
        assert asked(door, method, path, body).status_code == 200
    shown = asked(door, "GET", "/collections/s").json()["result"]["config"]["strict_mode_config"]
    assert shown == {"enabled": False, **strict}


def test_an_index_opens_a_filter(door: Door) -> None:
    door.limit("s", unindexed_filtering_retrieve=False)
    with client_of(door) as client:
        client.create_payload_index("s", "lang", models.PayloadSchemaType.KEYWORD)
        assert client.count("s", models.Filter.model_validate(EN)).count == len(ROWS) // 2
        client.create_payload_index("s", "n", models.IntegerIndexParams(type="integer"))
        assert client.scroll("s", order_by="n", limit=1)[0][0].id == 0
        counts = {hit.value: hit.count for hit in client.facet("s", "lang").hits}
        assert counts == {"en": len(ROWS) // 2, "de": len(ROWS) // 2}
        with pytest.raises(UnexpectedResponse, match="No appropriate index for faceting"):
            client.facet("s", "text")
        lang = models.FieldCondition(key="lang", match=models.MatchValue(value=True))
        with pytest.raises(UnexpectedResponse, match="Index required but not found"):
            client.count("s", models.Filter(must_not=[lang]))


def test_rates_are_those_recorded(door: Door) -> None:
    clock = Clock()
    door.clock = clock
    door.limit("s", read_rate_limit=3, write_rate_limit=2)
    batch = {"searches": [{"query": QUERY}] * 2}
    path = "/collections/s/points/query/batch"
    assert asked(door, "POST", path, batch).status_code == 200
    busy = asked(door, "POST", path, batch)
    assert refusal(busy) == said("refusals", "strict: read_rate_limit 3, request 1")
    assert busy.headers["retry-after"] == "20"
    clock.sleep(20)
    assert asked(door, "POST", path, batch).status_code == 200
    too_many = asked(door, "POST", path, {"searches": [{"query": QUERY}] * 4})
    assert refusal(too_many) == said(
        "refusals", "strict: read_rate_limit 3, batch larger than the limit"
    )
    assert "retry-after" not in too_many.headers
    assert asked(door, "GET", "/collections/s").status_code == 200
    one = {"points": [{"id": 1, "vector": QUERY}]}
    statuses = [asked(door, "PUT", "/collections/s/points", one).status_code for _ in range(2)]
    assert statuses == [200, 200]
    busy = asked(door, "PUT", "/collections/s/points", one)
    assert refusal(busy) == said("refusals", "strict: write_rate_limit 2, request 2")
    assert busy.headers["retry-after"] == "30"


UPSERT = ("PUT", "points", {"points": [{"id": 1, "vector": QUERY}]})
INFO = ("GET", "", None)
ACCESS: list[tuple[str, str | None, tuple[str, str, Any], str]] = [
    ("no key", None, INFO, "a"),
    ("wrong key", "wrong", INFO, "a"),
    ("read-only key: upsert", "reader", UPSERT, "a"),
    ("read-only key: set payload", "reader",
     ("POST", "points/payload", {"payload": {}, "points": [1]}), "a"),
    ("read-only key: create", "reader", ("PUT", "", {}), "c"),
    ("read-only key: update collection metadata", "reader", ("PATCH", "", {}), "a"),
    ("read-only key: batch update", "reader", ("POST", "points/batch", {"operations": []}), "a"),
    ("token for a (r): info of b", "a-r", INFO, "b"),
    ("token for a (r): upsert", "a-r", UPSERT, "a"),
    ("token for a (rw): update collection metadata", "a-rw", ("PATCH", "", {}), "a"),
    ("token for a (rw): create collection a2", "a-rw", ("PUT", "", {}), "a2"),
    ("global r token: upsert", "reader", UPSERT, "a"),
    ("expired token", "expired", INFO, "a"),
    ("read-only key: info", "reader", INFO, "a"),
    ("token for collection a (r): info of a", "a-r", INFO, "a"),
    ("token for a (r): collection cluster info", "a-r", ("GET", "cluster", None), "a"),
    ("token for a (rw): upsert", "a-rw", UPSERT, "a"),
    ("token for a (rw): create index", "a-rw",
     ("PUT", "index", {"field_name": "x", "field_schema": "keyword"}), "a"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "key", "call", "name"), ACCESS)
def test_keys_give_what_was_recorded(
    what: str, key: str | None, call: tuple[str, str, Any], name: str
) -> None:
    method, tail, body = call
    with open_door() as door:
        fill(door, "a")
        fill(door, "b")
        door.keys = {
            "master": "manage",
            "reader": "read",
            "a-r": {"a": "r"},
            "a-rw": {"a": "rw"},
            "expired": "expired",
        }
        headers = {} if key is None else {"api-key": key}
        path = f"/collections/{name}/{tail}".removesuffix("/")
        answer = asked(door, method, path, body, **headers)
        assert asked(door, "GET", "/").status_code == 200
        assert asked(door, "GET", "/readyz").status_code == 200
        tokens = [asked(door, "GET", "/collections", **{"api-key": k}) for k in ("a-r", "reader")]
        listed = [[c["name"] for c in t.json()["result"]["collections"]] for t in tokens]
    if recordings("access")[what]["status"] == 200:
        assert answer.status_code == 200
    else:
        assert refusal(answer) == said("access", what)
    assert listed == [["a"], ["a", "b"]]


def test_custom_sharding_is_that_recorded(door: Door) -> None:
    door.shard("s", "a", "b")
    put = ("PUT", "/collections/s/points")
    point = {"id": 99, "vector": QUERY}
    assert refusal(asked(door, *put, {"points": [point]})) == said(
        "cluster", "custom sharding: upsert without a shard key"
    )
    assert refusal(asked(door, *put, {"points": [point], "shard_key": "zz"})) == said(
        "cluster", "custom sharding: upsert with an unknown shard key"
    )
    payload = {"payload": {"t": 1}, "points": [1]}
    assert refusal(asked(door, "POST", "/collections/s/points/payload", payload)) == said(
        "cluster", "custom sharding: set payload without a shard key"
    )
    with client_of(door) as client:
        new = models.PointStruct(id=99, vector=QUERY)
        client.upsert("s", [new], shard_key_selector="b")
        (found,) = client.retrieve("s", [99])
        assert found.shard_key == "b"
        keys = [client.count("s", shard_key_selector=key).count for key in ("a", "b")]
        assert keys == [len(ROWS), 1]
        assert client.query_points("s", QUERY, shard_key_selector="b").points[0].id == 99
        client.set_payload("s", {"t": 1}, points=[99], shard_key_selector="b")
        with pytest.raises(UnexpectedResponse, match="No point with id 98"):
            client.set_payload("s", {"t": 2}, points=[98, 99], shard_key_selector="b")
        assert client.retrieve("s", [99])[0].payload == {"t": 2}
        assert client.get_collection("s").config.params.sharding_method == "custom"
        shards = client.collection_cluster_info("s").local_shards
        assert [(shard.shard_key, shard.points_count) for shard in shards] == [("a", 60), ("b", 1)]
        assert door.facts("s").moved == []
        client.upsert("s", [new], shard_key_selector="a")
        assert door.facts("s").moved == [99]


def test_a_write_may_fail_before_or_after_it_reached_a_replica() -> None:
    what = "one dead, replication 2, write consistency 2: upsert"
    with open_door(replicas=2) as door, client_of(door) as client:
        fill(door)
        door.hook = FailingWrites(recorded("cluster", what), 1, 2, applied=[1])
        points = [models.PointStruct(id=k, vector=QUERY) for k in (100, 101, 102, 103)]
        client.upsert("s", points[:1])
        for point in points[1:3]:
            with pytest.raises(UnexpectedResponse, match="failed to apply operation"):
                client.upsert("s", [point])
        client.upsert("s", points[3:])
        new = models.Filter(must=[models.HasIdCondition(has_id=[100, 101, 102, 103])])
        seen = []
        for door.reading in range(2):
            seen.append(sorted(point.id for point in client.scroll("s", new)[0]))
        assert seen == [[100, 103], [100, 101, 102, 103]]
        both = [client.scroll("s", new, consistency=c)[0] for c in ("all", "majority", 2)]
        assert [[point.id for point in found] for found in both] == [[100, 103]] * 3
        assert len(client.collection_cluster_info("s").remote_shards) == 1
        assert client.cluster_status().status == "enabled"


def test_a_hook_may_answer_any_request(door: Door) -> None:
    dead = recorded("cluster", "one dead, replication 1: scroll")

    def hook(request: Request) -> Reply | None:
        return dead if request.path.endswith("/scroll") and request.body["limit"] > 5 else None

    door.hook = hook
    with client_of(door) as client:
        assert len(client.scroll("s", limit=5)[0]) == 5
        with pytest.raises(UnexpectedResponse, match="1 of 1 read operations failed"):
            client.scroll("s", limit=6)
    assert [request.method for request in door.requests] == ["POST", "POST"]
