"""What ``check`` shows, and the exit code that it ends with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from commands import rows_of, run
from qdrant_client import QdrantClient, models

from tsds_qdrant.collections.edge.collection import EdgeCollection

COUNT = 90
ROWS = np.random.default_rng(2).normal(size=(COUNT, 6)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)


def stored(place: Path, vectors: Any, vector_of: Callable[[int], Any]) -> list[str]:
    """A collection of points that ``vector_of`` gives by their number, and how to name it."""
    edge.EdgeShard.create(str(place / "c"), edge.EdgeConfig(vectors=vectors)).close()
    pool = EdgeCollection.open(str(place), "c", vector="text" if isinstance(vectors, dict) else "")
    points = [edge.Point(k, vector_of(k), {"n": k}) for k in range(COUNT)]
    pool._write(edge.UpdateOperation.upsert_points(points))
    pool.close()
    return ["--qdrant", str(place), "--collection", "c"]


def params(metric: Any = edge.Distance.Cosine, **more: Any) -> edge.EdgeVectorParams:
    return edge.EdgeVectorParams(6, metric, **more)


def test_a_third_lacks_the_vector(tmp_path: Path) -> None:
    def vector_of(k: int) -> Any:
        named = {"image": [1.0, float(k)]}
        return named if k % 3 == 0 else {**named, "text": ROWS[k].tolist()}

    image = edge.EdgeVectorParams(2, edge.Distance.Euclid)
    place = stored(tmp_path, {"text": params(on_disk=True), "image": image}, vector_of)
    place += ["--vector", "text"]
    talk = run("check", *place)
    assert "90, of which 60 (67%) have a vector 'text', 0 in an HNSW graph" in talk.stdout
    assert "Cosine, named 'text', on disk" in talk.stdout
    assert "30 of 90 points have no vector 'text': they are no candidates" in talk.stdout
    assert talk.stderr == "selection will work\n"
    shown = json.loads(run("check", *place, "--json").stdout)
    figures = (shown["points"], shown["points_with_vector"], shown["verdict"], shown["on_disk"])
    assert figures == (90, 60, "works", True)
    np.save(tmp_path / "q.npy", ROWS[:3])
    task = ["--queries", tmp_path / "q.npy", "--keep-task-examples"]
    chosen = run("select", *place, *task, "--ratio", "1", "--out", tmp_path / "o.jsonl")
    assert "selected 60 of 60 candidates" in chosen.stderr
    assert all(row["id"] % 3 for row in rows_of(tmp_path / "o.jsonl"))


@pytest.mark.parametrize("metric", ["Cosine", "Dot"])
def test_zero_vectors_are_a_warning(tmp_path: Path, metric: str) -> None:
    rows = ROWS.copy()
    rows[::10] = 0
    distance = getattr(edge.Distance, metric)
    place = stored(tmp_path, params(distance), lambda k: rows[k].tolist())
    talk = run("check", *place, code=4)
    assert "9 points have a vector of zeros (0, 10, 20, ..)" in talk.stdout
    assert talk.stderr == "selection will work, but see the warnings\n"
    shown = json.loads(run("check", *place, "--json", code=4).stdout)
    assert shown["zero_vectors"] == {"count": 9, "ids": list(range(0, 90, 10))}
    assert (shown["verdict"], shown["ok"]) == ("works with a warning", True)


def test_a_long_vector_under_dot_is_a_problem(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[77] *= 2
    place = stored(tmp_path, params(edge.Distance.Dot), lambda k: rows[k].tolist())
    talk = run("check", *place, code=1)
    assert "point 77 has length 2, not 1" in talk.stdout
    assert talk.stderr == "selection will not work\n"
    shown = json.loads(run("check", *place, "--json", code=1).stdout)
    assert (shown["verdict"], shown["ok"], shown["search"]["ef"]) == ("does not work", False, None)


def test_the_graph_that_is_not_built_is_named(tmp_path: Path) -> None:
    hnsw = edge.HnswIndexConfig(0, 100, 10_000, payload_m=16)
    place = stored(tmp_path, params(hnsw_config=hnsw), lambda k: ROWS[k].tolist())
    talk = run("check", *place)
    assert "HNSW graph: none, as m is 0; payload_m 16" in talk.stdout
    assert json.loads(run("check", *place, "--json").stdout)["graph"] == {"m": 0, "payload_m": 16}


def test_a_folder_of_the_client_says_the_same(tmp_path: Path) -> None:
    client = QdrantClient(path=str(tmp_path / "folder"))
    vectors = {
        "text": models.VectorParams(size=6, distance=models.Distance.COSINE),
        "image": models.VectorParams(size=2, distance=models.Distance.EUCLID),
    }
    client.create_collection("c", vectors_config=vectors)
    rows = ROWS.copy()
    rows[:12] = 0
    points = [
        models.PointStruct(
            id=k, vector={"text": row} if k % 3 else {"image": [1.0, 2.0]}, payload={"n": k}
        )
        for k, row in enumerate(rows.tolist())
    ]
    client.upsert("c", points)
    client.close()
    place = ["--qdrant", tmp_path / "folder", "--collection", "c", "--vector", "text"]
    shown = json.loads(run("check", *place, "--json", code=4).stdout)
    assert (shown["points"], shown["points_with_vector"]) == (90, 60)
    assert shown["zero_vectors"] == {"count": 8, "ids": [1, 2, 4, 5, 7, 8, 10, 11]}
    assert shown["expected"]["size"] == 52
    assert "of 52 for 200 task examples takes" in run("check", *place, code=4).stdout
    np.save(tmp_path / "q.npy", ROWS[:3])
    for strategy in ("tsds", "random"):
        words = ["--queries", tmp_path / "q.npy", "--ratio", "1", "--out", tmp_path / "o.jsonl"]
        run("select", *place, *words, "--strategy", strategy)
        kept = {row["id"] for row in rows_of(tmp_path / "o.jsonl")}
        assert kept == {k for k in range(12, COUNT) if k % 3}
