"""Task examples by language models: a record has the vector that it has as a candidate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run
from tiny_models import saved_model, tiny_model

from tsds_qdrant import create_collection, open_collection
from tsds_qdrant.errors import CollectionMismatchError
from tsds_qdrant.representations.language.model import LanguageModel
from tsds_qdrant.task.settings import Reading
from tsds_qdrant.task.sources import task_examples

COUNT = 12
PLACE = ("--qdrant", "store", "--collection", "pool")


def record(k: int) -> dict[str, Any]:
    question = {"role": "user", "content": f"What is {k} and {k}?"}
    return {"messages": [question, {"role": "assistant", "content": f"It is {2 * k}, of course."}]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Hidden states, gradients, and whitened gradients of a few dialogues."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("language")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        saved_model(place / "model")
        with create_collection("store", "pool", dimension=2) as pool:
            rows = np.random.default_rng(0).normal(size=(COUNT, 2)).astype(np.float32)
            pool.upsert(range(COUNT), rows, [record(k) for k in range(COUNT)])
        run("represent", "hidden", *PLACE, "--model", "model")
        run("represent", "gradient", *PLACE, "--model", "model", "--dimension", "32")
        run("represent", "whitened", *PLACE, "--of", "gradient")
        Path("task.jsonl").write_text("".join(json.dumps(record(k)) + "\n" for k in (3, 7)))
        yield place
    torch.set_num_threads(threads)


def stored(vector: str, ids: list[int]) -> Any:
    with open_collection("store", "pool", vector=vector) as pool:
        return np.stack([one.vector for one in pool.retrieve(ids, vectors=True)])  # type: ignore[arg-type,misc]


@pytest.mark.slow
@pytest.mark.parametrize("vector", ["hidden", "gradient", "whitened"])
def test_a_task_of_candidates_has_their_vectors(
    made: Path, vector: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_collection("store", "pool", vector=vector) as pool:
        found = task_examples("task.jsonl", pool.info(), collection=pool)
    expected = stored(vector, [3, 7])
    own = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)
    assert own == pytest.approx(
        expected / np.linalg.norm(expected, axis=1, keepdims=True), abs=1e-4
    )
    np.save("Q.npy", expected)
    asked = ("select", *PLACE, "--vector", vector, "--size", 4)

    def fails(*_: Any) -> None:
        raise AssertionError("the model is loaded a second time")

    monkeypatch.setattr(LanguageModel, "model", property(fails))
    run(*asked, "--queries", "task.jsonl", "--out", "a.jsonl")
    run(*asked, "--queries", "Q.npy", "--out", "b.jsonl")
    assert [row["id"] for row in rows_of("a.jsonl")] == [row["id"] for row in rows_of("b.jsonl")]


def test_a_model_that_was_moved_is_known_by_its_weights(made: Path) -> None:
    shutil.copytree("model", "elsewhere")
    saved_model(made / "other", tiny_model(seed=1))
    Path("new.jsonl").write_text(json.dumps(record(5)) + "\n")
    with open_collection("store", "pool", vector="hidden") as pool:
        found = task_examples("new.jsonl", pool.info(), Reading(model="elsewhere"), collection=pool)
        assert found.vectors == pytest.approx(stored_beside(pool, 5), abs=1e-5)
        with pytest.raises(
            CollectionMismatchError, match=r"the task.s vectors .hidden.*\(weights\)"
        ):
            task_examples("new.jsonl", pool.info(), Reading(model="other"), collection=pool)


def stored_beside(pool: Any, point: int) -> Any:
    (found,) = pool.retrieve([point], vectors=True)
    return found.vector[None, :]


def test_a_model_that_is_gone_is_asked_for(made: Path) -> None:
    Path("late.jsonl").write_text(json.dumps(record(6)) + "\n")
    asked = ("select", *PLACE, "--vector", "hidden", "--queries", "late.jsonl", "--size", 3)
    Path("model").rename("moved")
    try:
        said = run(*asked, "--out", "late-out.jsonl", code=1).stderr
        assert "give the place where it is now with --model" in said
        run(*asked, "--model", "moved", "--out", "late-out.jsonl")
    finally:
        Path("moved").rename("model")
