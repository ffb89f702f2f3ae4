"""Aliases: they are found, written through, and noticed where they are moved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import rows_of, run
from door import Door, open_door
from qdrant_client import models

from tsds_qdrant.collections import collection_exists, create_collection
from tsds_qdrant.collections.cluster import Cluster, Layout, Replica
from tsds_qdrant.errors import SettingsError

ROWS = np.random.default_rng(4).normal(size=(50, 3)).astype(np.float32)


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", ROWS)
    np.save("q.npy", ROWS[:3])
    with open_door() as door:
        yield door


def collection(door: Door, name: str, rows: np.ndarray = ROWS) -> None:
    params = models.VectorParams(size=3, distance=models.Distance.EUCLID)
    door.client.create_collection(name, vectors_config=params)
    door.client.upsert(name, models.Batch(ids=list(range(len(rows))), vectors=rows.tolist()))


def point(door: Door, alias: str, name: str | None) -> None:
    """Let ``alias`` stand for collection ``name``; for none, delete it."""
    known = {one.alias_name for one in door.client.get_aliases().aliases}
    actions: list[models.AliasOperations] = []
    if alias in known:
        gone = models.DeleteAlias(alias_name=alias)
        actions.append(models.DeleteAliasOperation(delete_alias=gone))
    if name is not None:
        made = models.CreateAlias(collection_name=name, alias_name=alias)
        actions.append(models.CreateAliasOperation(create_alias=made))
    door.client.update_collection_aliases(actions)


def select(door: Door, *words: object, code: int = 0) -> str:
    place = ("--qdrant", door.url, "--collection", "live", "--queries", "q.npy", "--exact")
    return run("select", *place, "--size", 5, "--out", "s.jsonl", *words, code=code).output


def test_ingest_goes_through_an_alias(door: Door) -> None:
    collection(door, "v1")
    point(door, "live", "v1")
    assert collection_exists(door.url, "live")
    place = ("--qdrant", door.url, "--collection", "live")
    words = ("ingest", "--vectors", "x.npy", *place, "--first-id", 100, "--json")
    assert json.loads(run(*words).stdout)["added"] == len(ROWS)
    assert json.loads(run(*words).stdout)["unchanged"] == len(ROWS)
    assert {c.name for c in door.client.get_collections().collections} == {"v1"}
    assert door.client.count("v1").count == 2 * len(ROWS)
    assert "'live' is an alias of collection 'v1'" in run("check", *place).stdout
    said = run("check", "--qdrant", door.url, "--collection", "lib", code=1).output
    assert "it holds live, v1" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("v1", "v2", "alias 'live' pointed to collection 'v1' in the run, and points to 'v2' now"),
        ("v1", None, "'live' was an alias of collection 'v1' in the run, and is none now"),
        (None, "v2", "'live' was a collection in the run, and is an alias of collection 'v2' now"),
    ],
)
def test_an_alias_that_was_moved_is_called_that(
    door: Door, before: str | None, after: str | None, words: str
) -> None:
    for name in ("v1", "v2"):
        collection(door, name)
    if before is None:
        collection(door, "live")
    else:
        point(door, "live", before)
    select(door, "--state", "task.run")
    run("reselect", "task.run")
    if before is None:
        door.client.delete_collection("live")
    point(door, "live", after)
    if after is None:
        collection(door, "live")
    said = run("reselect", "task.run", code=1).output
    assert words in said
    assert "point it back, or select again with --state" in said
    select(door, "--state", "another.run")  # one piece of advice
    run("reselect", "another.run")
    if before:  # the other one
        if after is None:
            door.client.delete_collection("live")
        point(door, "live", before)
        run("reselect", "task.run", "--out", "r.jsonl")
        assert len(rows_of("r.jsonl")) == 5


def test_the_same_points_under_another_name_go_on(door: Door) -> None:
    metadata = {"tsds_qdrant": {"identity": "one", "model": "m"}}
    for name in ("v1", "v2"):
        collection(door, name)
        door.client.update_collection(name, metadata=metadata)
    point(door, "live", "v1")
    select(door, "--state", "task.run")
    point(door, "live", "v2")
    run("reselect", "task.run", "--out", "r.jsonl")
    door.client.update_collection("v1", metadata={"tsds_qdrant": {"identity": "two"}})
    point(door, "live", "v1")
    assert "alias 'live' pointed to collection 'v2'" in run("reselect", "task.run", code=1).output


def test_candidates_under_another_name_are_no_task(door: Door) -> None:
    collection(door, "v1")
    point(door, "live", "v1")
    said = select(door, "--queries", "collection:v1", code=2)
    assert "'v1' holds the candidates and cannot give all of them" in said


def test_new_collections_are_laid_out(door: Door) -> None:
    words = ("ingest", "--vectors", "x.npy", "--qdrant", door.url, "--collection", "new")
    layout = ("--shards", 3, "--replicas", 2, "--write-consistency", 2)
    run(*words, *layout)
    made = next(r.body for r in door.requests if r.method == "PUT" and r.path.count("/") == 2)
    assert (made["shard_number"], made["replication_factor"]) == (3, 2)
    assert made["write_consistency_factor"] == 2
    run(*words, *layout)
    said = run(*words, "--shards", 4, "--replicas", 2, code=1).output
    assert "collection 'new' has --shards 3, not 4; leave that out" in said
    run(*words)  # the advice
    said = run("check", *words[3:]).stdout
    assert "3 shards, 2 replicas (2 confirm a write)" in said
    said = run(*words, "--replicas", 2, "--write-consistency", 3, code=2).output
    assert "--write-consistency is 3, which no more than 2 replicas can confirm" in said
    said = run(*words[:3], "--qdrant", "store", "--collection", "new", "--shards", 2, code=2).output
    assert "--shards are for servers, and 'store' is none; leave that out" in said
    with pytest.raises(SettingsError, match="are for servers"):
        create_collection("store", "new", dimension=3, layout=Layout(replicas=2))
    assert not Path("store").exists()


def test_troubles_of_a_cluster() -> None:
    def replicas(*states: str) -> tuple[Replica, ...]:
        return tuple(Replica(k // 2, None, k, state) for k, state in enumerate(states))

    well = Cluster(replicas("Active", "Active", "Active", "Listener"), counts=(5, 5, 5))
    assert well.troubles() == ()
    assert Cluster(replicas("Active")).unwritable == []
    partial = Cluster(replicas("Active", "Partial", "Active", "Active"), moves=1, confirmations=2)
    first, second, third = partial.troubles()
    assert first.startswith("1 of 4 replicas are not active (Partial)")
    assert "which shard 0 cannot give" in second
    assert third.startswith("1 shard is being moved")
    assert partial.states == {"Active": 3, "Partial": 1}
    dead = Cluster(replicas("Dead", "Dead", "Dead", "Active"), confirmations=1)
    assert dead.unwritable == [0]
    (differ,) = Cluster(replicas("Active", "Active"), counts=(500, 575, 639)).troubles()
    assert "its replicas differ (500 to 639 points)" in differ
