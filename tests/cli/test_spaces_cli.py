"""Every command goes on as before after other vectors were added to an ingested collection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tsds_qdrant.cli import app
from tsds_qdrant.collections import create_collection, open_collection
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.sparse import SparseRows

PLACE = ("--qdrant", "store", "--collection", "pool")
TASK = (*PLACE, "--queries", "Q.npy")
COUNT = 200
INGEST = ("ingest", "pool.jsonl", "--vectors", "X.npy", "--id-field", "text", *PLACE, "--json")


def run(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.stdout if not code else result.stderr


def rows(path: str) -> list[tuple[Any, ...]]:
    """What was selected, with everything that the vectors decide."""
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return [(line["id"], line["probability"], line["distance"]) for line in lines]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, 8))
    vectors = centres[np.arange(COUNT) % 10] + 0.3 * rng.normal(size=(COUNT, 8))
    np.save("X.npy", vectors.astype(np.float32))
    np.save("Q.npy", centres[[0, 0, 1]] + 0.3 * rng.normal(size=(3, 8)))
    texts = (json.dumps({"text": f"text {k}", "group": k % 10}) + "\n" for k in range(COUNT))
    Path("pool.jsonl").write_text("".join(texts))
    assert json.loads(run(*INGEST))["added"] == COUNT
    return tmp_path


def add_spaces() -> None:
    """A dense vector of another dimension and metric for most points, and a sparse one."""
    with open_collection("store", "pool") as pool:
        ids = [point_id for page in pool.scroll_ids() for point_id in page]
        grads = np.random.default_rng(1).normal(size=(COUNT, 5)).astype(np.float32)
        pool.add_space(Space.dense("grad", 5, "Dot"))
        pool.add_space(Space.sparse("words"))
        pool.set_vectors(ids[20:], grads[20:], space="grad")
        bags = SparseRows.of([{k % 7: 1.0, 9 + k: -1.0} for k in range(COUNT)])
        pool.set_vectors(ids, bags, space="words")
        pool.optimize()


def grads_of() -> dict[Any, list[float]]:
    with open_collection("store", "pool", vector="grad") as pool:
        ids = [point_id for page in pool.scroll_ids() for point_id in page]
        stored = pool.retrieve(ids, payloads=False, vectors=True)
        return {record.id: list(record.vector) for record in stored if record.vector is not None}


def outputs(label: str) -> dict[str, Any]:
    """What every command says and writes; ``label`` names its files."""
    made: dict[str, Any] = {"check": json.loads(run("check", *PLACE, "--json"))}
    run("select", *TASK, "--size", 12, "--out", f"{label}.jsonl", "--state", f"{label}.run")
    made["select"] = rows(f"{label}.jsonl")
    run("select", *TASK, "--size", 9, "--method", "similarity-max", "--out", f"{label}-max.jsonl")
    made["simple"] = [line["id"] for line in map(json.loads, open_lines(f"{label}-max.jsonl"))]
    made["path"] = run("path", *TASK, "--alphas", ".5,.9")
    run("compare", *TASK, "--size", 12, "--seeds", 1, "--out", f"{label}-methods.jsonl")
    made["compare"] = [
        {key: value for key, value in json.loads(line).items() if key != "seconds"}
        for line in open_lines(f"{label}-methods.jsonl")
    ]
    run("reselect", f"{label}.run", "--out", f"{label}-again.jsonl")
    made["reselect"] = rows(f"{label}-again.jsonl")
    run("watch", f"{label}.run", "--once")
    made["explain"] = json.loads(
        run("explain", f"{label}.run", "--id", made["select"][0][0], "--json")
    )
    run("export", f"{label}.run", "--validation", ".2", "--out", f"{label}-train.jsonl")
    made["export"] = open_lines(f"{label}-train.jsonl")
    return made


def open_lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


@pytest.mark.slow
def test_commands_go_on_as_before(store: Path) -> None:
    before = outputs("before")
    add_spaces()
    kept = grads_of()
    assert len(kept) == COUNT - 20
    after = outputs("after")
    assert after["check"]["ok"]
    assert after["check"]["vector"] == ""
    for command in ("select", "simple", "compare", "reselect", "export", "path"):
        assert after[command] == before[command], command
    # A run that was begun before goes on as well.
    run("reselect", "before.run", "--out", "late.jsonl")
    assert rows("late.jsonl") == before["select"]
    run("watch", "before.run", "--once")
    assert json.loads(run("explain", "before.run", "--id", before["select"][0][0], "--json"))
    # Neither ingesting the same again nor other payloads and vectors touch the gradients.
    told = json.loads(run(*INGEST))
    assert (told["added"], told["updated"], told["unchanged"]) == (0, 0, COUNT)
    assert grads_of() == kept
    vectors = np.load("X.npy")
    vectors[:50] += 0.1
    np.save("X.npy", vectors)
    told = json.loads(run(*INGEST))
    assert (told["added"], told["updated"], told["unchanged"]) == (0, 50, COUNT - 50)
    assert grads_of() == kept
    run("reselect", "before.run", "--out", "changed.jsonl")


def test_another_space_is_searched_by_its_name(store: Path) -> None:
    add_spaces()
    np.save("G.npy", np.eye(5)[:2])
    said = run(
        *("select", *PLACE, "--queries", "G.npy", "--vector", "grad", "--size", 5),
        *("--out", "grad.jsonl"),
        code=1,
    )
    assert "compares by dot product, and point" in said
    assert "use a collection with the Cosine metric" in said
    said = run("check", *PLACE, "--vector", "words", code=1)
    assert "vector 'words' of collection 'pool' is sparse" in said


def test_products_of_any_length_are_refused_by_every_command_that_needs_distances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with create_collection("store", "pool", dimension=3, metric="Dot") as pool:
        pool.upsert(range(9), np.arange(27, dtype=np.float32).reshape(9, 3) + 1)
    np.save("Q.npy", np.eye(3)[:2])
    for words in (
        ("select", *TASK, "--size", 3, "--out", "s.jsonl"),
        ("select", *TASK, "--size", 3, "--out", "s.jsonl", "--method", "random"),
        ("path", *TASK),
        ("compare", *TASK, "--size", 3),
    ):
        assert "has length 3.742, not 1, so products are no distances" in run(*words, code=1)
    said = CliRunner().invoke(app, ["check", *PLACE]).stdout
    assert "problem: 'pool' compares by dot product" in said
    assert not Path("s.jsonl").exists()
