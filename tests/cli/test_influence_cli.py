"""Strategies over gradients and words on the command line, from records to selections."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run
from tiny_models import saved_model

PLACE = ("--qdrant", "store", "--collection", "pool")
QUESTIONS = ("2+3", "4+4", "who", "why", "how")
POOL = [{"prompt": q, "completion": a} for q in QUESTIONS for a in ("yes", "no", "8", "a b", "5")]
PAIRS = [
    {"prompt": "2+3", "chosen": "5", "rejected": "no", "kind": "sums"},
    {"prompt": "4+4", "chosen": "8", "rejected": "no", "kind": "sums"},
    {"prompt": "who", "chosen": "a b", "rejected": "8", "kind": "words"},
]
SAME = {"prompt": "why", "chosen": "yes", "rejected": "yes", "kind": "words"}
TASK = [{**one, "kind": k % 2} for k, one in enumerate(POOL[:4])]


def written(name: str, records: Sequence[Any]) -> str:
    Path(name).write_text("".join(json.dumps(one) + "\n" for one in records))
    return name


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of 25 answers with gradients of a tiny model at two whole models, and words."""
    place = tmp_path_factory.mktemp("influence")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        saved_model(Path("lm"))
        np.save("X.npy", np.random.default_rng(0).normal(size=(len(POOL), 3)).astype("float32"))
        template = ("--template", r"{prompt} {completion}")
        run("ingest", written("pool.jsonl", POOL), "--vectors", "X.npy", *PLACE, *template)
        model = ("--model", "./lm", "--dimension", 64, "--device", "cpu")
        run("represent", "gradient", *PLACE, *model)
        run("represent", "bm25", *PLACE)
        written("task.jsonl", TASK)
        written("pairs.jsonl", PAIRS)
        written("same.jsonl", [*PAIRS, SAME])
    return place


@pytest.fixture(autouse=True)
def _inside(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(store)
    monkeypatch.setenv("XDG_CACHE_HOME", str(store / "cache"))


def select(strategy: str, queries: str, *words: object, size: int = 25, code: int = 0) -> Any:
    asked = ("--queries", queries, "--size", size, "--strategy", strategy, *words)
    asked += ("--keep-task-examples",)
    return run("select", *PLACE, *asked, "--out", f"{strategy}.jsonl", code=code)


def answers(strategy: str) -> list[tuple[str, str]]:
    rows = [one["payload"] for one in rows_of(f"{strategy}.jsonl")]
    return [(one["prompt"], one["completion"]) for one in rows]


def manifest(strategy: str) -> Any:
    return json.loads(Path(f"{strategy}.jsonl.manifest.json").read_text())


@pytest.mark.slow
def test_less_searches_gradients_unless_told_otherwise() -> None:
    select("less", "task.jsonl", "--near-copies", "keep")
    assert manifest("less")["collection"]["vector"] == "gradient"
    assert manifest("less")["search"]["exact"] is True
    rows = rows_of("less.jsonl")
    assert [one["score"] for one in rows] == sorted((one["score"] for one in rows), reverse=True)
    one = {(row["payload"]["prompt"], row["payload"]["completion"]): row["score"] for row in rows}
    select("less", "task.jsonl", "--subtask-field", "kind", "--near-copies", "keep")
    for row in rows_of("less.jsonl"):  # the best of two means is no less than their mean
        key = row["payload"]["prompt"], row["payload"]["completion"]
        assert row["score"] >= one[key] - 1e-6
    select("less", "task.jsonl", "--val-agg", "unit_of_mean")
    assert len(rows_of("less.jsonl")) == 25
    said = select("less", "task.jsonl", "--subtask-field", "nothing", code=1).stderr
    assert "names no sub-task in 'nothing'" in said
    select("less", "X.npy", "--vector", "")
    assert manifest("less")["collection"]["vector"] == ""
    select("less", "X.npy", "--subtask-field", "kind", code=2)


@pytest.mark.slow
def test_rose_takes_preferences() -> None:
    select("rose", "pairs.jsonl", "--near-copies", "keep")
    order = answers("rose")
    for pair in PAIRS[:2]:
        chosen, rejected = ((pair["prompt"], pair[side]) for side in ("chosen", "rejected"))
        assert order.index(chosen) < order.index(rejected)
    scores = [one["score"] for one in rows_of("rose.jsonl")]
    said = select("rose", "same.jsonl", "--near-copies", "keep").stderr
    assert "1 of 4 preferences were left out, as the model reads the same in the chosen" in said
    assert answers("rose") == order
    assert [one["score"] for one in rows_of("rose.jsonl")] == pytest.approx(scores)
    select("rose", "same.jsonl", "--subtask-field", "kind", "--near-copies", "keep")
    by_kind = [one["score"] for one in rows_of("rose.jsonl")]
    assert max(by_kind) > max(scores)
    assert "needs" not in said


def test_rose_refuses_what_is_no_preference() -> None:
    said = select("rose", "task.jsonl", code=1).stderr
    assert "has no 'chosen' and 'rejected' answer; give preferences" in said
    said = select("rose", "pairs.jsonl", "--vector", "bm25", code=1).stderr
    assert "is sparse" in said
    alike = written("alike.jsonl", [SAME])
    said = select("rose", alike, code=1).stderr
    assert "1 of 1 preferences were left out" in said
    compared = run(
        "compare", *PLACE, "--vector", "gradient", "--queries", "task.jsonl", "--size", 5
    )
    assert "left out rose: 'task.jsonl:1' has no 'chosen'" in compared.stderr


def test_runs_keep_preferences() -> None:
    select("rose", "pairs.jsonl", "--state", "rose.run", size=5)
    first = answers("rose")
    run("reselect", "rose.run", "--queries", written("one.jsonl", PAIRS[2:]), "--out", "rose.jsonl")
    assert answers("rose") != first
    again = answers("rose")
    select("rose", "one.jsonl", size=5)
    assert answers("rose") == again
    run("reselect", "rose.run", "--queries", "task.jsonl", code=1)


def test_any_strategy_takes_a_representation() -> None:
    for strategy in ("tsds", "round-robin", "similarity-max"):
        select(strategy, "task.jsonl", "--representation", "gradient", size=5)
        assert manifest(strategy)["collection"]["vector"] == "gradient"
        # Task examples that are in the pool are nearest to themselves.
        assert min(one["distance"] for one in rows_of(f"{strategy}.jsonl")) < 1e-3


def test_bm25_on_the_command_line() -> None:
    select("bm25", "task.jsonl", "--vector", "gradient", "--near-copies", "keep", size=5)
    first = rows_of("bm25.jsonl")
    assert first[0]["payload"]["prompt"] == "2+3"
    assert first[0]["score"] >= first[-1]["score"] > 0
    said = select("perplexity", "task.jsonl", "--vector", "gradient", code=1).stderr
    assert "represent hidden --model MODEL --qdrant" in said
    select(
        "ifd", "task.jsonl", "--vector", "gradient", "--score", "_tsds_made.gradient.loss", code=1
    )
    select(
        "perplexity",
        "task.jsonl",
        *("--vector", "gradient", "--score", "_tsds_made.gradient.loss", "--part", "low"),
        size=4,
    )
    scores = [one["score"] for one in rows_of("perplexity.jsonl")]
    assert scores == sorted(scores)
