"""The server adapter against servers that fail, are slow to get ready, or have limits."""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np
import pytest
from backends import free_port
from playback import (
    KEY,
    Clock,
    GrpcPlayback,
    Playback,
    Reply,
    failed,
    grpc_server,
    http_server,
)
from pydantic_core import to_json
from qdrant_client import QdrantClient, models
from qdrant_client.conversions.conversion import RestToGrpc

from tsds_qdrant import errors
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.limits import Limits
from tsds_qdrant.collections.server.collection import ServerCollection, list_collections
from tsds_qdrant.collections.server.searches import FIRST_SEARCHES
from tsds_qdrant.collections.values import CollectionInfo


@pytest.mark.parametrize("prefer_grpc", [False, True])
def test_an_unreachable_port(prefer_grpc: bool) -> None:
    clock = Clock()
    url, port = f"http://127.0.0.1:{free_port()}", free_port()
    with pytest.raises(errors.UnreachableError, match=r"127\.0\.0\.1.*; check") as caught:
        ServerCollection.open(
            url,
            "texts",
            connection=clock.reach(api_key=KEY, grpc=prefer_grpc, grpc_port=port),
        )
    assert caught.value.exit_code == 3
    assert (f":{port}" in str(caught.value)) == prefer_grpc
    assert KEY not in str(caught.value)
    assert clock.now == pytest.approx(1.0)


def test_listing_an_unreachable_port() -> None:
    with pytest.raises(errors.UnreachableError):
        list_collections(f"http://127.0.0.1:{free_port()}")


def test_a_name_that_no_host_has() -> None:
    with pytest.raises(errors.UnreachableError, match=r"nowhere\.invalid"):
        ServerCollection.open(
            "http://nowhere.invalid:6333",
            "texts",
            connection=Clock().reach(),
        )


def test_an_address_that_is_none() -> None:
    with pytest.raises(errors.SettingsError, match="is no address"):
        ServerCollection.open("http://a b:c:6333", "texts")


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    client = QdrantClient(":memory:")
    client.create_collection(
        "texts", vectors_config=models.VectorParams(size=2, distance=models.Distance.EUCLID)
    )
    described: dict[str, Any] = json.loads(client.get_collection("texts").model_dump_json())
    client.close()
    return described


QUERIES = np.stack([np.arange(300), np.arange(300) / 8], axis=1).astype(np.float32)


def searched(playback: Playback, clock: Clock, rows: int = 300) -> None:
    with http_server(playback) as url:
        collection = ServerCollection.open(url, "texts", connection=clock.reach())
        hits = collection.search(QUERIES[:rows], limit=1)
        collection.close()
    assert hits.ids == list(range(rows))
    assert hits.distances.tolist() == (np.arange(rows) / 8).tolist()
    assert hits.counts.tolist() == [1] * rows
    assert sum(playback.sizes) == rows
    assert collection.bytes_moved == playback.moved > 0


def test_a_server_that_comes_back(description: dict[str, Any]) -> None:
    clock = Clock()
    searched(Playback(description, failed(503, "starting"), failed(502, "")), clock)
    assert 1 <= len(clock.waits) <= 2  # both may have been under way at once


def test_a_server_that_asks_to_wait(description: dict[str, Any]) -> None:
    clock = Clock()
    busy = failed(429, "Rate limiting exceeded", **{"Retry-After": "11"})
    searched(Playback(description, busy), clock)
    assert len(clock.waits) == 1
    assert clock.waits[0] >= 11


def test_a_server_that_wants_smaller_requests(description: dict[str, Any]) -> None:
    clock, playback = Clock(), Playback(description, most=20)
    searched(playback, clock)
    assert clock.waits == []
    assert max(playback.sizes) <= 20
    assert sum(playback.sizes) == 300
    clock, playback = Clock(), Playback(description, failed(429, "please try to split"))
    searched(playback, clock)
    assert clock.waits == []


def test_a_quick_server_is_asked_for_more_at_once(description: dict[str, Any]) -> None:
    playback = Playback(description)
    with http_server(playback) as url, ServerCollection.open(url, "texts") as collection:
        for _ in range(3):
            collection.search(QUERIES, limit=1)
    assert playback.sizes[0] == FIRST_SEARCHES
    assert max(playback.sizes) > 4 * FIRST_SEARCHES


def test_compressed_answers_weigh_what_was_sent(description: dict[str, Any]) -> None:
    hits = [{"id": number, "version": 1, "score": 0.5} for number in range(500)]
    answer = {"result": [{"points": hits}]}
    weighed = []
    for headers in ({}, {"Content-Encoding": "gzip"}):
        playback = Playback(description, (200, headers, answer))
        with http_server(playback) as url, ServerCollection.open(url, "texts") as collection:
            assert collection.search(QUERIES[:1], limit=500).ids == list(range(500))
            weighed.append(collection.bytes_moved)
    plain, compressed = len(to_json(answer)), len(gzip.compress(to_json(answer), mtime=0))
    assert weighed[0] - weighed[1] == plain - compressed > 0


def test_a_search_over_grpc(description: dict[str, Any]) -> None:
    info = RestToGrpc.convert_collection_info(models.CollectionInfo.model_validate(description))
    playback = GrpcPlayback()
    with (
        grpc_server(playback, info) as client,
        ServerCollection.open(
            "http://x", "texts", connection=Connection(client=client, grpc=True)
        ) as collection,
    ):
        hits = collection.search(QUERIES, limit=1)
        assert collection.bytes_moved == playback.moved > 0
    assert hits.ids == list(range(300))
    assert hits.distances.tolist() == (np.arange(300) / 8).tolist()
    assert sum(playback.sizes) == 300


@pytest.mark.parametrize(
    ("layout", "once"),
    [
        ({"shard_number": 1}, False),
        ({"shard_number": 2}, True),
        ({"shard_number": 1, "sharding_method": "custom"}, True),
    ],
)
def test_repeats_are_looked_for_where_there_may_be_some(
    description: dict[str, Any], layout: dict[str, Any], once: bool
) -> None:
    config = description["config"]
    found = {**description, "config": {**config, "params": {**config["params"], **layout}}}
    twice = {"points": [{"id": 7, "version": 1, "score": 0.5}] * 2}
    playback = Playback(found, (200, {}, {"result": [twice]}))
    with http_server(playback) as url, ServerCollection.open(url, "texts") as collection:
        assert len(collection.search(QUERIES[:1], limit=2).ids) == (1 if once else 2)


def test_a_collection_is_closed_after_its_block() -> None:
    with ServerCollection.create(":memory:", "texts", dimension=2, metric="Euclid") as collection:
        assert collection.count() == collection.bytes_moved == 0
    with pytest.raises(errors.CollectionError, match="is closed"):
        collection.count()


def test_a_server_with_strict_limits(description: dict[str, Any]) -> None:
    config = description["config"]
    strict = {"enabled": True, "search_max_batchsize": 7, "max_query_limit": 50, "max_timeout": 9}
    limited = {**description, "config": {**config, "strict_mode_config": strict}}
    playback = Playback(limited)
    with http_server(playback) as url:
        collection = ServerCollection.open(url, "texts")
        assert collection._description.limits.batch == 7
        assert collection._description.limits.limit == 50
        assert collection._timeout == 9
        collection.search(QUERIES, limit=1)
        collection.close()
    assert max(playback.sizes) == 7


def test_a_server_that_answers_nonsense(description: dict[str, Any]) -> None:
    playback = Playback(description, (200, {}, {"result": [{"hits": []}]}))
    with http_server(playback) as url:
        collection = ServerCollection.open(url, "texts", connection=Clock().reach())
        with pytest.raises(errors.CollectionError, match="no answer to a batch search"):
            collection.search(QUERIES[:1], limit=1)
        collection.close()


def test_a_page_where_qdrant_should_be() -> None:
    with (
        http_server(lambda *_: (200, {}, "welcome")) as url,
        pytest.raises(errors.CollectionError, match=r"cannot be read.*check that the address"),
    ):
        ServerCollection.open(url, "texts", connection=Clock().reach())


def test_an_old_server_keeps_no_metadata(description: dict[str, Any]) -> None:
    def old(method: str, path: str, body: bytes) -> Reply:
        assert method == "GET", "nothing may be created"
        if path == "/":
            return 200, {}, {"title": "qdrant", "version": "1.15.5"}
        return 200, {}, {"result": description, "status": "ok", "time": 0.0}

    with http_server(old) as url:
        with pytest.raises(errors.UnsupportedCollectionError, match=r"1\.15.*1\.16 or newer"):
            ServerCollection.create(
                url, "texts", dimension=2, metric="Euclid", metadata={"model": "m"}
            )
        collection = ServerCollection.open(url, "texts")
        with pytest.raises(errors.UnsupportedCollectionError, match=r"1\.16 or newer"):
            collection.update_metadata({"model": "m"})
        collection.close()


def test_a_description_is_read_in_full(description: dict[str, Any]) -> None:
    config = description["config"]
    full = {
        **description,
        "indexed_vectors_count": 70,
        "points_count": 90,
        "segments_count": 5,
        "payload_schema": {
            "source": {"data_type": "keyword", "points": 9},
            "day": {"data_type": "datetime", "points": 9},
        },
        "config": {
            **config,
            "params": {**config["params"], "shard_number": 3},
            "quantization_config": {"scalar": {"type": "int8", "always_ram": True}},
            "metadata": {"tsds_qdrant": {"model": "m"}, "owner": "x"},
            "strict_mode_config": {"enabled": False, "max_query_limit": 5},
        },
    }
    playback = Playback(full, (200, {}, {"result": {"count": 91}}))
    with http_server(playback) as url:
        collection = ServerCollection.open(url, "texts", connection=Connection(api_key=KEY))
        info = collection.info()
        collection.close()
    assert info == CollectionInfo(
        location=url,
        name="texts",
        vector="",
        dimension=2,
        metric="Euclid",
        count=91,
        indexed=70,
        segments=5,
        shards=3,
        quantization="scalar",
        payload_indexes={"source": "keyword", "day": "datetime"},
        metadata={"model": "m"},
        limits=Limits(),
        engine="qdrant 1.19.0",
    )
    assert KEY not in repr(info)


def test_optimize_waits_for_green(description: dict[str, Any]) -> None:
    states = iter(["green", "yellow", "yellow", "grey", "red"])

    def answer(method: str, path: str, body: bytes) -> Reply:
        if path == "/":
            return 200, {}, {"title": "qdrant", "version": "1.19.0"}
        return 200, {}, {"result": {**description, "status": next(states)}}

    with http_server(answer) as url:
        collection = ServerCollection.open(url, "texts")
        collection.optimize()
        assert next(states) == "red"
        collection.close()
