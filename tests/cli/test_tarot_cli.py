"""``select --strategy tarot``: with a size and without, and on which vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from commands import rows_of, run

from tsds_qdrant import create_collection, open_collection

COUNT = 300
PLACE = ("--qdrant", "store", "--collection", "pool")
TAROT = (
    *("select", *PLACE, "--queries", "Q.npy", "--keep-task-examples"),
    *("--strategy", "tarot"),
)


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Vectors of which one direction outweighs the rest."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(COUNT, 4)) * [9, 1, 1, 1]).astype(np.float32)
    collection = create_collection("store", "pool", dimension=4)
    collection.upsert(range(COUNT), rows, [{"text": f"t{k}"} for k in range(COUNT)])
    collection.close()
    np.save("Q.npy", rows[:8] + 0.1)
    return rows


def manifest_of(path: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(Path(f"{path}.manifest.json").read_text())
    return told


@pytest.mark.slow
def test_without_a_size_folds_choose_it(rows: Any) -> None:
    done = run(*TAROT, "--out", "own.jsonl", "--state", "own.run", "--folds", 4)
    told = manifest_of("own.jsonl")
    size = len(rows_of("own.jsonl"))
    assert told["transport"]["size"] == size
    assert told["transport"]["ratio"] == size / COUNT
    assert "4 folds of the task examples chose the" in done.stderr
    assert f"{size} candidates, {size / COUNT:.2%} of the pool" in done.stderr
    assert all(step["size"] for fold in told["transport"]["folds"] for step in fold["curve"])
    again = json.loads(run("reselect", "own.run", "--json", "--out", "again.jsonl").stdout)
    assert again["searches"] == 0
    assert rows_of("again.jsonl") == rows_of("own.jsonl")
    run("report", "own.run", "--out", "R.html")
    page = Path("R.html").read_text(encoding="utf-8")
    assert "How many candidates the folds chose" in page
    assert '"plot-folds"' in page
    run(*TAROT, "--config", "own.jsonl.manifest.json", "--out", "config.jsonl")
    assert rows_of("config.jsonl") == rows_of("own.jsonl")
    collection = open_collection("store", "pool")
    collection.upsert([COUNT], rows[:1] + 0.1, [{"text": "new"}])
    collection.close()
    run("reselect", "own.run", "--out", "later.jsonl")
    run(*TAROT, "--folds", 4, "--out", "fresh.jsonl")
    assert rows_of("later.jsonl") == rows_of("fresh.jsonl")
    assert COUNT in [row["id"] for row in rows_of("later.jsonl")]


def test_a_size_repeats_and_words(rows: Any) -> None:
    done = run(*TAROT, "--size", "4,12", "--repeats", 3, "--out", "s.jsonl")
    assert "selected 4 (in" in done.stderr
    assert sum(row["weight"] for row in rows_of("s-12.jsonl")) == 36
    assert "12 candidates in" in done.stderr
    assert "transport distance to the task" in done.stderr
    assert manifest_of("s.jsonl")["transport"]["rows_with_repeats"] == 36
    told = run(*TAROT, "--size", 4, "--repeats", "many", "--out", "s.jsonl", code=2).stderr
    assert "--repeats is 'many', which is no number" in told
    told = run(*TAROT, "--folds", 9, "--out", "s.jsonl", code=2).stderr
    assert "8 task examples cannot be parted into 9 folds; give at most --folds 8" in told
    run(*TAROT, "--folds", 8, "--out", "s.jsonl")
    told = run(*TAROT[:-1], "uot", "--out", "s.jsonl", code=2).stderr
    assert "no size is given" in told
    done = run(*TAROT[:-1], "uot", "--size", 5, "--depth", 40, "--out", "u.jsonl")
    assert "mass on" in done.stderr


def test_whitened_vectors_are_searched_where_there_are_some(rows: Any) -> None:
    run(*TAROT, "--size", 9, "--out", "plain.jsonl")
    assert manifest_of("plain.jsonl")["collection"]["vector"] == ""
    run("represent", "whitened", *PLACE, "--of", "")
    done = run(*TAROT, "--size", 9, "--out", "white.jsonl", "--state", "white.run")
    assert "the strategy 'tarot' searches the vectors 'whitened'" in done.stderr
    assert manifest_of("white.jsonl")["collection"]["vector"] == "whitened"
    named = run(*TAROT, "--size", 9, "--vector", "whitened", "--out", "named.jsonl")
    assert "searched are" not in named.stderr
    assert rows_of("named.jsonl") == rows_of("white.jsonl")
    run(*TAROT, "--size", 9, "--vector", "", "--out", "raw.jsonl")
    assert rows_of("raw.jsonl") == rows_of("plain.jsonl")
    run("reselect", "white.run", "--out", "again.jsonl")
    assert rows_of("again.jsonl") == rows_of("white.jsonl")
    run("select", *TAROT[1:-1], "round-robin", "--size", 9, "--out", "turns.jsonl")
    assert manifest_of("turns.jsonl")["collection"]["vector"] == ""


def test_whitened_vectors_among_several_named_ones(rows: Any) -> None:
    params = edge.EdgeVectorParams(4, edge.Distance.Cosine)
    config = edge.EdgeConfig(vectors={"one": params, "two": params, "whitened": params})
    shard = edge.EdgeShard.create("store/several", config)
    points = [
        edge.Point(k, dict.fromkeys(("one", "two", "whitened"), row), {})
        for k, row in enumerate(rows.tolist())
    ]
    shard.update(edge.UpdateOperation.upsert_points(points))
    shard.close()
    asked = ("--qdrant", "store", "--collection", "several", "--queries", "Q.npy", "--size", 3)
    run("select", *asked, "--strategy", "tarot", "--out", "s.jsonl")
    assert manifest_of("s.jsonl")["collection"]["vector"] == "whitened"
    told = run("select", *asked, "--strategy", "uot", "--out", "u.jsonl", code=1).stderr
    assert "choose one with --vector" in told
