"""Selections on a server's collection that search in a mirror of it, and belong to the server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run
from door import Door, Request, open_door
from pool_oracle import clustered_rows, near_queries
from qdrant_client import QdrantClient, models

from tsds_qdrant import open_collection

POOL: Any = clustered_rows(300, 6, 8)
QUERIES: Any = near_queries(POOL, 6)
SELECT = ("--collection", "docs", "--queries", "Q.npy", "--size", 12, "--exact")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("Q.npy", QUERIES)


@pytest.fixture
def door() -> Iterator[Door]:
    with open_door() as door:
        params = models.VectorParams(size=6, distance=models.Distance.COSINE)
        for name in ("docs", "others"):
            door.client.create_collection(name, vectors_config=params)
        put(door.client, range(len(POOL)))
        yield door


def put(client: QdrantClient, which: range, seed: int = 0) -> None:
    rows = POOL if not seed else np.random.default_rng(seed).normal(size=POOL.shape)
    client.upsert(
        "docs",
        [
            models.PointStruct(
                id=k + 1,
                vector=rows[k % len(rows)].tolist(),
                payload={"text": f"text {k}", "source": f"s{k % 3}", "n": k},
            )
            for k in which
        ],
    )


def searches(requests: list[Request]) -> list[str]:
    return [one.path for one in requests if "/query" in one.path or "/search" in one.path]


def same_selection(one: str, other: str) -> None:
    ours, theirs = rows_of(one), rows_of(other)
    assert [row["id"] for row in ours] == [row["id"] for row in theirs]
    assert [row["payload"] for row in ours] == [row["payload"] for row in theirs]
    p, q = (np.array([r["probability"] for r in rows], dtype=float) for rows in (ours, theirs))
    np.testing.assert_allclose(p, q, rtol=1e-5)


def test_the_selection_is_that_of_the_server_without_a_search_on_it(door: Door) -> None:
    where = ("select", "--qdrant", door.url, *SELECT)
    for flags in ((), ("--filter", "source=s1"), ("--strategy", "round-robin")):
        run(*where, *flags, "--out", "server.jsonl")
        assert searches(door.requests)
        door.requests.clear()
        said = run(*where, *flags, "--mirror", "mirror", "--out", "mirror.jsonl").stderr
        assert "docs in mirror: " in said
        assert not searches(door.requests)
        same_selection("mirror.jsonl", "server.jsonl")
    place = json.loads(Path("mirror.jsonl.manifest.json").read_text())["collection"]
    assert place["location"] == door.url
    assert place["mirror"] == str(Path("mirror").absolute())
    run("select", "--config", "mirror.jsonl.manifest.json", "--out", "again.jsonl")
    assert not searches(door.requests)
    same_selection("again.jsonl", "mirror.jsonl")


@pytest.mark.slow
def test_the_run_belongs_to_the_server(door: Door) -> None:
    server = ("--qdrant", door.url, "--collection", "docs")
    select = ("select", "--qdrant", door.url, *SELECT, "--mirror", "mirror")
    run(*select, "--out", "s.jsonl", "--state", "task.run", "--report", "page.html")
    run("select", "--qdrant", door.url, *SELECT, "--out", "t.jsonl", "--state", "theirs.run")
    door.requests.clear()
    for words in (("explain", "task.run", "--rank", 0), ("export", "task.run", "--out", "e.jsonl")):
        run(*words, "--qdrant", "mirror")
    assert not door.requests
    shutil.rmtree("mirror")  # nothing but another search needs it from here on
    shown = json.loads(run("show", "task.run", "--json").stdout)
    assert shown["collection"] == f"docs in {door.url}"
    explained = json.loads(run("explain", "task.run", "--rank", 0, "--json").stdout)
    assert [one["id"] for one in explained["points"]] == [rows_of("s.jsonl")[0]["id"]]
    run("export", "task.run", "--out", "train.jsonl")
    assert len(rows_of("train.jsonl")) == 12
    said = run("write-back", "task.run", *server, "--name", "task").stderr
    assert "12 points set" in said
    tagged = {"must": [{"key": "tsds.task.rank", "range": {"gte": 0}}]}
    with open_collection(door.url, "docs") as opened:
        assert opened.count(tagged) == 12
    put(door.client, range(300, 320))
    door.client.delete("docs", [rows_of("s.jsonl")[0]["id"], rows_of("s.jsonl")[1]["id"]])
    door.requests.clear()
    reselect = ("--out", "new.jsonl", "--diff", "diff.jsonl")
    said = run("reselect", "task.run", "--mirror", "mirror", *reselect).stderr
    assert not searches(door.requests)
    theirs = run("reselect", "theirs.run", "--out", "theirs.jsonl").stderr
    for words in ("points came or changed, 2 in use left", "sample: 2 added, 2 removed, 10 kept"):
        assert words in said
        assert words in theirs
    same_selection("new.jsonl", "theirs.jsonl")
    again = run("reselect", "task.run", "--out", "new.jsonl").stderr  # now on the server itself
    assert "0 points came or changed, 0 in use left" in again
    same_selection("new.jsonl", "theirs.jsonl")


def test_tags_go_to_the_server_and_not_into_the_mirror(door: Door) -> None:
    select = ("select", "--qdrant", door.url, *SELECT, "--mirror", "mirror", "--state", "task.run")
    said = json.loads(run(*select, "--out", "s.jsonl", "--write-back", "task", "--json").stdout)
    assert said["write_back"]["written"] == 12
    tagged = {"must": [{"key": "tsds.task.rank", "range": {"gte": 0}}]}
    with open_collection(door.url, "docs") as server, open_collection("mirror", "docs") as copy:
        assert (server.count(tagged), copy.count(tagged)) == (12, 0)
    gone = rows_of("s.jsonl")[0]["id"]
    door.client.delete("docs", [gone])
    words = ("reselect", "task.run", "--mirror", "mirror", "--out", "s.jsonl", "--json")
    report = json.loads(run(*words).stdout)["write_back"]
    assert (report["written"] + report["unchanged"], report["missing"]) == (12, 0)
    with open_collection(door.url, "docs") as server:
        there = {point_id for page in server.scroll_ids(tagged) for point_id in page}
    assert there == {row["id"] for row in rows_of("s.jsonl")}


def test_what_was_added_to_the_mirror_is_no_vector_of_the_server(door: Door) -> None:
    select = ("select", "--qdrant", door.url, *SELECT, "--mirror", "mirror", "--out", "s.jsonl")
    run(*select)
    from tsds_qdrant.collections.spaces import Space

    with open_collection("mirror", "docs") as copy:
        copy.add_space(Space.dense("grad", 2, "Dot"))
        copy.set_vectors(range(1, 301), np.ones((300, 2), dtype=np.float32), space="grad")
    assert "grad" in run(*select, "--vector", "grad", code=1).stderr
    run(*select)
    same_selection("s.jsonl", "s.jsonl")
    with open_collection("mirror", "docs", vector="grad") as copy:
        assert copy.count({"must": [{"has_vector": "grad"}]}) == 300


def test_no_mirror_where_it_cannot_be(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    select = ("select", *SELECT, "--out", "s.jsonl")
    run(*select, "--qdrant", door.url, "--mirror", "mirror")
    said = run(*select, "--qdrant", "mirror", "--mirror", "other", code=2).stderr
    assert "--mirror is for a collection on a server, and 'mirror' is searched where it is" in said
    assert not Path("other").exists()
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2_010_000))
    said = run(*select, "--qdrant", door.url, "--mirror", "more", code=1).stderr
    assert "of disk to be copied and unpacked, and " in said
    assert "make room, then run the same command again" in said
    assert not Path("more/docs").exists()


def test_a_mirror_of_something_else_is_left_alone(door: Door) -> None:
    run("mirror", "--qdrant", door.url, "--collection", "docs", "--to", "m", "--filter", "n=3")
    select = ("select", "--qdrant", door.url, *SELECT, "--mirror", "m", "--out", "s.jsonl")
    said = run(*select, code=1).stderr
    assert "with a filter" in said
    assert "give --replace to 'tsds-qdrant mirror'" in said
    assert not Path("s.jsonl").exists()


def point(door: Door, alias: str, name: str) -> None:
    made = models.CreateAlias(collection_name=name, alias_name=alias)
    door.client.update_collection_aliases([models.CreateAliasOperation(create_alias=made)])


READ = (
    ("explain", "task.run", "--rank", 0),
    ("export", "task.run", "--out", "e.jsonl"),
    ("report", "task.run", "--out", "page.html"),
)
"""Commands that look at what a run selected."""


@pytest.mark.parametrize("way", ["alias", "shard key"])
def test_a_run_on_an_alias_or_a_shard_key_is_read_from_its_mirror(door: Door, way: str) -> None:
    where: tuple[str, ...] = ("--qdrant", door.url, "--collection", "docs")
    if way == "alias":
        point(door, "live", "docs")
        where = (*where[:-1], "live")
    else:
        door.shard("docs", "acme", "other")
        where = (*where, "--shard-key", "acme")
    run("select", *where, *SELECT[2:], "--out", "s.jsonl", "--state", "task.run")
    run("mirror", *where, "--to", "mirror")
    door.requests.clear()
    for words in READ:
        run(*words, "--qdrant", "mirror")
    assert [row["text"] for row in rows_of("e.jsonl")] == [
        row["payload"]["text"] for row in rows_of("s.jsonl")
    ]
    assert not door.requests
    said = run("reselect", "task.run", "--qdrant", "mirror", code=1).stderr
    assert "select again with --state" in said


def test_a_mirror_of_what_an_alias_stands_for_now_is_another_one(door: Door) -> None:
    point(door, "live", "docs")
    where = ("--qdrant", door.url, "--collection", "live")
    run("select", *where, *SELECT[2:], "--out", "s.jsonl", "--state", "task.run")
    for name in ("docs", "others"):
        point(door, "live", name)
        run("mirror", *where, "--to", name)
    said = run(*READ[0], "--qdrant", "others", code=1).stderr
    assert (
        "alias 'live' pointed to collection 'docs' in the run, and points to 'others' now" in said
    )
    run(*READ[0], "--qdrant", "docs")


def test_a_mirror_of_another_shard_key_is_another_one(door: Door) -> None:
    door.shard("docs", "acme", "other")
    where = ("--qdrant", door.url, "--collection", "docs", "--shard-key")
    select = ("--out", "s.jsonl", "--state", "task.run")
    run("select", *where, "acme", *SELECT[2:], *select)
    run("mirror", *where, "other", "--to", "mirror")
    said = run(*READ[0], "--qdrant", "mirror", code=1).stderr
    assert "shard key of collection 'docs' is 'other', in the run it was 'acme'" in said
