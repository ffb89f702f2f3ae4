"""Custom sharding: one key is read alone, and writes go where the points are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run
from door import Door, open_door
from qdrant_client import grpc as messages
from qdrant_client import models

from tsds_qdrant.collections import open_collection
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.server.answers import read_grpc, read_rest
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.collections.server.wire import Search, grpc_message, rest_body
from tsds_qdrant.errors import CollectionMismatchError, SettingsError
from tsds_qdrant.runs.state import RunState

ROWS = np.random.default_rng(2).normal(size=(90, 4)).astype(np.float32)
KEYS = ("north", 7, "south")
"""Point k lies under the key k modulo 3."""
OWN = {key: list(range(k, len(ROWS), 3)) for k, key in enumerate(KEYS)}


@pytest.fixture
def door() -> Iterator[Door]:
    with open_door() as door:
        params = models.VectorParams(size=4, distance=models.Distance.EUCLID)
        door.client.create_collection("t", vectors_config=params)
        payloads = [{"n": k, "lang": "en" if k % 2 else "de"} for k in range(len(ROWS))]
        batch = models.Batch(ids=list(range(len(ROWS))), vectors=ROWS.tolist(), payloads=payloads)
        door.client.upsert("t", batch)
        door.shard("t", *KEYS)
        door.facts("t").key_of = {k: KEYS[k % 3] for k in range(len(ROWS))}
        door.facts("t").indexes = {"n": "integer", "lang": "keyword"}
        yield door


def opened(door: Door, key: int | str | None = None) -> ServerCollection:
    return ServerCollection.open(door.url, "t", connection=Connection(shard_key=key))


def engine(door: Door) -> dict[int, dict[str, Any]]:
    """Id -> payload, as the engine has them."""
    return {p.id: p.payload or {} for p in door.client.scroll("t", limit=1000)[0]}  # type: ignore[misc]


@pytest.mark.parametrize(("key", "given"), [("north", "north"), (7, 7), (7, "7"), ("south", None)])
def test_all_reads_are_of_one_key(door: Door, key: Any, given: Any) -> None:
    with opened(door, "south" if given is None else given) as pool:
        own = OWN[key]
        assert pool.info().shard_key == key
        assert pool.info().shard_keys == (7, "north", "south")
        assert pool.count() == pool.info().count == len(own)
        assert pool.count({"must": [{"key": "n", "range": {"lt": 30}}]}) == 10
        assert [i for page in pool.scroll_ids() for i in page] == own
        assert [r.id for page in pool.scroll() for r in page] == own
        assert pool.existing(range(9)) == {i for i in range(9) if i in own}
        assert [r.id for r in pool.retrieve([0, 1, 2], vectors=True)] == [own[0]]
        assert pool.largest("n") == max(own)
        assert sum(pool.facet("lang").values()) == len(own)
        ordered = [i for page in pool.scroll_ordered("n", descending=True) for i, _ in page]
        assert ordered == own[::-1]
        hits = pool.search(ROWS[:5], limit=6, exact=True)
        far = np.linalg.norm(ROWS[:5, None] - ROWS[own][None], axis=2)
        assert hits.ids == [own[k] for row in np.argsort(far, axis=1)[:, :6] for k in row]
        assert pool.at("").count() == len(own)


def test_keys_that_cannot_be_named(door: Door, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no shard key 'west', it has 7, north, south"):
        opened(door, "west")
    door.client.create_collection(
        "plain", vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT)
    )
    reached = Connection(shard_key="north")
    with pytest.raises(SettingsError, match="'plain' is not sharded by key; leave --shard-key"):
        ServerCollection.open(door.url, "plain", connection=reached)
    ServerCollection.open(door.url, "plain", connection=reached.beside()).close()
    with pytest.raises(SettingsError, match="not sharded by key"):
        open_collection(str(tmp_path), "pool", connection=reached)


def test_writes_to_stored_points_go_to_their_keys(door: Door) -> None:
    before = engine(door)
    with opened(door) as pool:
        ids = [5, 0, 88, 4, 1000]
        pool.set_payload("tsds.a", ids, [{"rank": k, "run": "r"} for k in range(5)])
        tagged = {i: p["tsds"]["a"]["rank"] for i, p in engine(door).items() if "tsds" in p}
        assert tagged == {5: 0, 0: 1, 88: 2, 4: 3}
        pool.delete_payload("tsds.a", [0, 4, 1000])
        assert {i for i, p in engine(door).items() if (p.get("tsds") or {}).get("a")} == {5, 88}
        where = {"must": [{"key": "tsds.a.rank", "range": {"gte": 0}}]}
        pool.clear_payload("tsds", where, by="tsds.a.rank")
        assert not any((p.get("tsds") or {}).get("a") for p in engine(door).values())
        pool.set_vectors([1, 2, 3, 1000], np.ones((4, 4), np.float32))
        pool.amend([6, 7], np.zeros((2, 4), np.float32), [{"x": 1}, {"x": 2}], [["n"], []])
        after = engine(door)
        assert (after[6], after[7]) == ({"lang": "de", "x": 1}, {"lang": "en", "n": 7, "x": 2})
        vectors = {
            p.id: p.vector for p in door.client.retrieve("t", [1, 2, 3, 6], with_vectors=True)
        }
        assert vectors == {**dict.fromkeys((1, 2, 3), [1.0] * 4), 6: [0.0] * 4}
        pool.delete([8, 9, 1000])
        assert set(engine(door)) == set(before) - {8, 9}
        with pytest.raises(SettingsError, match=r"sharded by key \(7, north, south\).*--shard-key"):
            pool.upsert([2000], np.ones((1, 4), np.float32))
    with opened(door, "south") as pool:  # the advice
        pool.upsert([2000], np.ones((1, 4), np.float32), [{"new": True}])
        assert pool.count() == len(OWN["south"]) - (8 in OWN["south"]) + 1
        # What another key has is as if it did not exist.
        pool.set_payload("tsds.a", [0, 2], [{"rank": 1, "run": "r"}] * 2)
    assert door.facts("t").key_of[2000] == "south"
    assert [i for i, p in engine(door).items() if (p.get("tsds") or {}).get("a")] == [2]


SEARCH = Search("t", "", 3, False, None, None, None, 60)


@pytest.mark.parametrize("key", ["a", 7, None])
def test_searches_on_the_wire_name_the_key(key: Any) -> None:
    search = Search(**{**vars(SEARCH), "key": key})
    (sent,) = json.loads(rest_body(search, np.ones((1, 2), np.float32)))["searches"]
    assert sent.get("shard_key") == key
    (query,) = grpc_message(search, np.ones((1, 2), np.float32)).query_points
    named = [getattr(k, k.WhichOneof("key")) for k in query.shard_key_selector.shard_keys]
    assert named == ([] if key is None else [key])


def test_hits_come_with_their_keys() -> None:
    points = [{"id": 1, "score": 0.5, "shard_key": "a"}, {"id": 2, "score": 1.0, "shard_key": 7}]
    assert read_rest({"result": [{"points": points}]}, keyed=True).keys == ["a", 7]
    hits = [
        messages.ScoredPoint(id=messages.PointId(num=1), shard_key=messages.ShardKey(keyword="a")),
        messages.ScoredPoint(id=messages.PointId(num=2), shard_key=messages.ShardKey(number=7)),
        messages.ScoredPoint(id=messages.PointId(num=3)),
    ]
    reply = messages.QueryBatchResponse(result=[messages.BatchResult(result=hits)])
    assert read_grpc(reply, keyed=True).keys == ["a", 7, None]
    assert read_grpc(reply).keys == []


@pytest.mark.slow
def test_a_run_goes_on_with_its_key(door: Door, tmp_path: Path) -> None:
    np.save(tmp_path / "q.npy", ROWS[:4])
    place = ("--qdrant", door.url, "--collection", "t", "--exact")
    words = ("--queries", tmp_path / "q.npy", "--keep-task-examples")
    words += ("--size", 8, "--write-back", "mine")
    state, out = tmp_path / "run", tmp_path / "s.jsonl"
    run("select", *place, *words, "--shard-key", "7", "--state", state, "--out", out)
    chosen = {row["id"] for row in rows_of(out)}
    assert len(chosen) == 8
    assert chosen <= set(OWN[7])
    assert RunState(state).fact("collection")["shard_key"] == 7
    tagged = {i for i, p in engine(door).items() if "tsds" in p}
    assert tagged == chosen
    with opened(door, 7) as pool:
        pool.upsert([500], ROWS[:1] + 0.01)
    run("reselect", state, "--out", tmp_path / "r.jsonl")
    again = {row["id"] for row in rows_of(tmp_path / "r.jsonl")}
    assert 500 in again
    assert again <= {*OWN[7], 500}
    said = run("reselect", state, "--shard-key", "north", code=1).output
    assert "shard key of collection 't' is 'north', in the run it was '7'" in said
    whole = tmp_path / "w.jsonl"
    run("select", *place, *words[:-1], "all", "--out", whole)
    tags = {i for i, p in engine(door).items() if "all" in p.get("tsds", {})}
    assert tags == {row["id"] for row in rows_of(whole)}
    assert {k % 3 for k in tags if k < 90} == {0, 1, 2}
    said = run("check", *place[:-1]).output
    assert "sharded by the keys 7, north, south" in said
    assert "choose one with --shard-key" in said
    assert "'north' is read" in run("check", *place[:-1], "--shard-key", "north").output
    figures = json.loads(run("check", *place[:-1], "--json").stdout)
    assert figures["cluster"]["shard_keys"] == [7, "north", "south"]


def test_ingest_names_a_key_before_anything_is_embedded(door: Door, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    np.save(tmp_path / "x.npy", ROWS[:2])
    place = ("--qdrant", door.url, "--collection", "t")
    said = run("ingest", tmp_path / "x.jsonl", *place, code=2).output
    assert "sharded by key (7, north, south); say with --shard-key" in said
    words = ("ingest", tmp_path / "x.jsonl", "--vectors", tmp_path / "x.npy", *place)
    assert run(*words, "--shard-key", "east", code=2).output.count("7, north, south") == 1
    report = json.loads(run(*words, "--shard-key", "north", "--json").stdout)
    assert (report["added"], report["count"]) == (2, len(OWN["north"]) + 2)
    report = json.loads(run(*words, "--shard-key", "north", "--json").stdout)
    assert (report["added"], report["unchanged"]) == (0, 2)
    new = [i for i, key in door.facts("t").key_of.items() if isinstance(i, str)]
    assert {door.facts("t").key_of[i] for i in new} == {"north"}
    fresh = ("--qdrant", door.url, "--collection", "fresh", "--shard-key", "north")
    said = run(*words[:4], *fresh, code=2).output
    assert "does not exist and would not be sharded by key" in said


def test_task_examples_of_the_same_tenant(door: Door, tmp_path: Path) -> None:
    params = models.VectorParams(size=4, distance=models.Distance.EUCLID)
    for name in ("tasks", "plain"):
        door.client.create_collection(name, vectors_config=params)
        door.client.upsert(name, models.Batch(ids=[0, 1, 2], vectors=ROWS[:3].tolist()))
    door.shard("tasks", "north", "south")
    door.facts("tasks").key_of = {0: "north", 1: "south", 2: "south"}
    base = ("select", "--qdrant", door.url, "--collection", "t", "--size", 3, "--json", "--exact")
    for name, key, count in (("tasks", "south", 2), ("plain", "south", 3), ("tasks", None, 3)):
        chosen = () if key is None else ("--shard-key", key)
        queries = ("--queries", f"collection:{name}", "--out", tmp_path / "o.jsonl")
        figures = json.loads(run(*base, *queries, *chosen).stdout)
        assert figures["queries"]["count"] == count


def test_another_key_is_another_collection(door: Door, tmp_path: Path) -> None:
    from tsds_qdrant import SelectionSettings, begin_run, reselect

    wanted = SelectionSettings.of(sizes=(4,), exact=True)
    with opened(door, "north") as pool:
        state, _ = begin_run(tmp_path / "run", pool, ROWS[:2], wanted)
    with opened(door) as pool, pytest.raises(CollectionMismatchError, match="shard key"):
        reselect(state, collection=pool)
