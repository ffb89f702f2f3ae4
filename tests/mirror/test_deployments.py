"""Folders that frameworks keep, mirrored and selected from; and selections that go home."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from commands import rows_of, run
from door import open_door
from pool_oracle import clustered_rows, near_queries
from qdrant_client import QdrantClient, models

POOL: Any = clustered_rows(80, 6, 8)
QUERIES: Any = near_queries(POOL, 6)
IDS = [str(UUID(int=k + 1)) for k in range(80)]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("Q.npy", QUERIES)


def langchain(client: QdrantClient, name: str, vector: str = "") -> None:
    """As langchain-qdrant makes it, with sparse vectors in its hybrid mode."""
    params = models.VectorParams(size=6, distance=models.Distance.COSINE)
    client.create_collection(
        name,
        vectors_config={vector: params},
        sparse_vectors_config={"langchain-sparse": models.SparseVectorParams()},
    )
    client.upsert(
        name,
        [
            models.PointStruct(
                id=point,
                vector={
                    vector: POOL[k].tolist(),
                    "langchain-sparse": models.SparseVector(indices=[k % 5], values=[1.0]),
                },
                payload={"page_content": f"text {k}", "metadata": {"source": f"s{k % 3}"}},
            )
            for k, point in enumerate(IDS)
        ],
    )


def mem0(client: QdrantClient, name: str, vector: str = "") -> None:
    """As mem0 makes it: one unnamed vector, and flat payloads."""
    client.create_collection(
        name, vectors_config=models.VectorParams(size=6, distance=models.Distance.COSINE)
    )
    client.upsert(
        name,
        [
            models.PointStruct(
                id=point,
                vector=POOL[k].tolist(),
                payload={
                    "data": f"likes {k}",
                    "hash": f"{k:032x}",
                    "user_id": f"u{k % 2}",
                    "created_at": f"2026-01-{k % 28 + 1:02}T00:00:00-08:00",
                },
            )
            for k, point in enumerate(IDS)
        ],
    )


@pytest.mark.parametrize(("make", "name"), [(langchain, "docs"), (mem0, "mem0")])
def test_a_folder_is_mirrored_and_selected_from_in_two_commands(make: Any, name: str) -> None:
    client = QdrantClient(path="folder")
    make(client, name)
    client.close()
    said = run("mirror", "--qdrant", "folder", "--collection", name, "--to", "mirror").stderr
    assert f"{name} in mirror: added 80, updated 0, deleted 0; 80 points" in said
    wanted = ("--collection", name, "--queries", "Q.npy", "--size", 9, "--exact")
    run("select", "--qdrant", "mirror", *wanted, "--out", "mirror.jsonl")
    run("select", "--qdrant", "folder", *wanted, "--out", "folder.jsonl")
    ours, theirs = rows_of("mirror.jsonl"), rows_of("folder.jsonl")
    assert [row["id"] for row in ours] == [row["id"] for row in theirs]
    assert [row["payload"] for row in ours] == [row["payload"] for row in theirs]
    assert (
        "read page by page"
        in run(*("mirror", "--qdrant", "folder", "--collection", name, "--to", "mirror")).stderr
    )


def test_a_selection_on_a_mirror_is_marked_on_the_server() -> None:
    with open_door() as door:
        langchain(door.client, "docs")
        server = ("--qdrant", door.url, "--collection", "docs")
        run("mirror", *server, "--to", "mirror")
        select = ("select", "--qdrant", "mirror", "--collection", "docs", "--queries", "Q.npy")
        run(*select, "--size", 7, "--out", "s.jsonl", "--state", "task.run")
        selected = [row["id"] for row in rows_of("s.jsonl")]
        refused = run("write-back", "task.run", *server, code=2).stderr
        assert "give --name NAME" in refused
        home = ("write-back", "task.run", *server, "--name", "task")
        assert "7 points would be set" in run(*home, "--dry-run").stderr
        door.client.delete("docs", selected[:1])
        said = run(*home, "--json")
        report = json.loads(said.stdout)["write_back"]
        assert (report["written"], report["missing"]) == (6, 1)
        points = door.client.scroll("docs", limit=100)[0]
        tags = {
            p.id: p.payload["tsds"]["task"] for p in points if p.payload and "tsds" in p.payload
        }
        assert [i for i in selected if i in tags] == selected[1:]
        assert [tags[i]["rank"] for i in selected[1:]] == [1, 2, 3, 4, 5, 6]
        assert "0 points set" in run(*home).stderr
        run("mirror", *server, "--to", "mirror")
        run("reselect", "task.run", "--out", "again.jsonl")


def test_other_points_of_the_same_ids_are_not_marked() -> None:
    with open_door() as door:
        langchain(door.client, "docs")
        params = models.VectorParams(size=6, distance=models.Distance.COSINE)
        door.client.create_collection("others", vectors_config=params)
        door.client.upsert(
            "others",
            [models.PointStruct(id=i, vector=[1.0] * 6, payload={"x": 1}) for i in IDS],
        )
        door.client.create_collection("empty", vectors_config=params)
        run("mirror", "--qdrant", door.url, "--collection", "docs", "--to", "mirror")
        select = ("select", "--qdrant", "mirror", "--collection", "docs", "--queries", "Q.npy")
        run(*select, "--size", 7, "--out", "s.jsonl", "--state", "task.run")
        for name, words in {
            "others": "of 7 selected points 7 have another payload and other vectors",
            "empty": "none of 7 selected points is in collection 'empty'",
        }.items():
            home = ("write-back", "task.run", "--qdrant", door.url, "--collection", name)
            assert words in run(*home, "--name", "task", code=1).stderr
            points = door.client.scroll(name, limit=100)[0]
            assert not [p for p in points if p.payload and "tsds" in p.payload]
        assert not [
            r for r in door.requests if r.writes and "others" in r.path and r.body["points"]
        ]
        client = QdrantClient(path="folder")
        langchain(client, "docs")
        client.close()
        home = ("write-back", "task.run", "--qdrant", "folder", "--collection", "docs")
        assert "which is only read" in run(*home, "--name", "task", code=1).stderr
