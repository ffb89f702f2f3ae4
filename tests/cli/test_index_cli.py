"""``index``, ``ingest --index``, and what slow selections advise."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from door import open_door
from qdrant_client import QdrantClient, models
from typer.testing import CliRunner

from tsds_qdrant.cli import app

COUNT = 500
ROWS = np.random.default_rng(7).normal(size=(COUNT, 16)).astype(np.float32)
PLACE = ("--qdrant", "a store", "--collection", "pool")
SELECT = ("select", *PLACE, "--queries", "Q.npy", "--size", "20", "--out", "o.jsonl")


def run(*words: object, code: int = 0) -> Any:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty collection whose graph begins at a few points, and vectors beside it."""
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", ROWS)
    np.save("Q.npy", ROWS[:10])
    little = edge.EdgeOptimizersConfig(indexing_threshold=1)
    vectors = edge.EdgeVectorParams(16, edge.Distance.Cosine)
    Path("a store").mkdir()
    edge.EdgeShard.create(
        "a store/pool", edge.EdgeConfig(vectors=vectors, optimizers=little)
    ).close()


def held() -> int:
    return json.loads(run("check", *PLACE, "--json").stdout)["indexed_vectors"]


def test_a_graph_is_built_by_either_command() -> None:
    said = run("ingest", "--vectors", "X.npy", *PLACE).stderr
    assert "index" not in said
    assert held() == 0
    said = run("index", *PLACE).stderr
    assert f"pool: {COUNT} vectors of {COUNT} points in an HNSW graph" in said
    told = json.loads(run("index", *PLACE, "--json").stdout)
    assert (told["indexed_vectors"], told["points"]) == (COUNT, COUNT)


@pytest.mark.parametrize("flag", ["--index", "--wait-index"])
def test_ingest_builds_one_where_that_is_asked_for(flag: str) -> None:
    assert ", index " in run("ingest", "--vectors", "X.npy", *PLACE, flag).stderr
    assert held() == COUNT


def test_an_engine_that_makes_none_is_no_failure() -> None:
    usual = ("--qdrant", "usual", "--collection", "pool")
    run("ingest", "--vectors", "X.npy", *usual)
    said = run("index", *usual).stderr
    assert "pool: 0 vectors of 500 points" in said
    assert "ingest builds one as soon as there are enough" in said


def test_none_is_promised_where_m_is_0() -> None:
    none = edge.HnswIndexConfig(0, 100, 10)
    vectors = edge.EdgeVectorParams(16, edge.Distance.Cosine)
    edge.EdgeShard.create("a store/m", edge.EdgeConfig(vectors=vectors, hnsw_config=none)).close()
    place = ("--qdrant", "a store", "--collection", "m")
    run("ingest", "--vectors", "X.npy", *place)
    assert "searches scan: its vectors get no HNSW graph, as m is 0" in run("index", *place).stderr


def test_a_folder_that_is_only_read_is_refused() -> None:
    client = QdrantClient(path="folder")
    client.create_collection(
        "pool", vectors_config=models.VectorParams(size=16, distance=models.Distance.COSINE)
    )
    client.close()
    assert "only read" in run("index", "--qdrant", "folder", "--collection", "pool", code=1).stderr


def test_a_server_is_waited_for() -> None:
    with open_door() as door:
        place = ("--qdrant", door.url, "--collection", "pool")
        run("ingest", "--vectors", "X.npy", *place)
        said = run("index", *place).stderr
        assert "the server builds its graph by itself; this has only waited for it" in said
        assert not [one for one in door.requests if one.method == "PATCH"]


@pytest.mark.parametrize("words", [("index", "--qdrant", "a store", "--collection", "none")])
def test_what_is_not_there_gets_no_graph(words: tuple[str, ...]) -> None:
    assert "no collection 'none'" in run(*words, code=1).stderr


@pytest.mark.slow
def test_a_slow_selection_advises_a_graph_and_a_walk_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("neighbors.search", "planning.findings", "planning.graph_cost"):
        monkeypatch.setattr(f"tsds_qdrant.{module}.SCAN_COUNT", 100)
    run("ingest", "--vectors", "X.npy", *PLACE)
    assert "graph" not in run(*SELECT).stderr.replace("no HNSW graph", "")
    monkeypatch.setattr("tsds_qdrant.cli.graph_words.SLOW_S", 0.0)
    json.loads(run(*SELECT, "--json").stdout)
    assert not run(*SELECT, "--json").stderr
    lines = [line for line in run(*SELECT).stderr.splitlines() if line.startswith("the scans took")]
    assert len(lines) == 1
    assert "a graph would take about" in lines[0]
    advised = re.search(r"\((tsds-qdrant .*)\)$", lines[0])
    assert bool(advised) == ("it would pay after about" in lines[0])
    run(*(shlex.split(advised[1])[1:] if advised else ("index", *PLACE)))
    assert "the scans took" not in run(*SELECT, "--recall", "0.1").stderr
    assert "the scans took" not in run(*SELECT, "--exact").stderr


@pytest.mark.slow
def test_none_is_advised_where_it_would_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsds_qdrant.cli.graph_words.SLOW_S", 0.0)
    run("ingest", "--vectors", "X.npy", *PLACE)
    assert "the scans took" not in run(*SELECT).stderr  # 500 points
    for module in ("neighbors.search", "planning.graph_cost"):
        monkeypatch.setattr(f"tsds_qdrant.{module}.SCAN_COUNT", 100)
    unindexed = json.dumps({"must_not": [{"key": "a", "match": {"value": 1}}]})
    assert "the scans took" not in run(*SELECT, "--filter", unindexed).stderr
    assert "the scans took" in run(*SELECT).stderr
