"""Collections that frameworks made, as the pool of a call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run
from embeddings_api import serving
from framework_payloads import FRAMEWORKS, made_by
from hashed_words import HashedWords

from tsds_qdrant import ingest, open_collection, select_from
from tsds_qdrant.errors import CollectionMismatchError, InputError, SettingsError

WORDS = ("bread", "court", "rain", "socket", "sea", "wheel")
TEXTS = [f"number {n} is about {WORDS[n % 6]} and {WORDS[(n * 5) % 6]}" for n in range(60)]
TASK = [f"all about {WORDS[0]} and {WORDS[n % 3]}" for n in range(6)]
PROVED = "gives 4 stored texts vectors of cosine 1.000 to what is stored"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "store"


def made(name: str, store: Path, rows: Any = None) -> dict[str, Any]:
    rows = HashedWords().encode(TEXTS) if rows is None else rows
    made_by(name, store, "c", rows, TEXTS).close()
    return {"qdrant": store}


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_points_of_a_collection_are_the_pool(name: str, store: Path) -> None:
    """Selected as by the command line, and the collection stays as it was."""
    place = made(name, store)
    Path("task.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in TASK))
    Path("exam.jsonl").write_text(json.dumps({"text": TEXTS[6]}))
    source = FRAMEWORKS[name].source
    with serving() as api:
        wanted: dict[str, Any] = {"model": api.model, "exclude": "exam.jsonl", "seed": 3}
        found = select_from("collection:c", TASK, 12, **place, **wanted, quota=f"{source}:0.5")
        run(
            *("select", "--qdrant", store, "--collection", "c", "--queries", "task.jsonl"),
            *("--size", 12, "--model", api.model, "--exclude", "exam.jsonl", "--seed", 3),
            *("--quota", f"{source}:0.5", "--out", "o.jsonl"),
        )
    assert [{k: v for k, v in row.items() if k != "index"} for row in found.rows] == rows_of(
        "o.jsonl"
    )
    assert [row["index"] for row in found.rows] == found.ids
    assert 6 not in found.ids
    assert f"'{api.model}' {PROVED}" in found.notes
    frame = found.to_pandas()
    assert frame.index.tolist() == found.ids
    with pytest.raises(SettingsError, match=r"the pool is collection:c, .* take ids"):
        found.indices  # noqa: B018
    with open_collection(store, "c", vector=FRAMEWORKS[name].vector) as pool:
        assert pool.count() == 60
        assert pool.info().metadata == {}


def test_a_model_is_suggested_and_has_to_prove_itself(store: Path) -> None:
    place = made("open-webui", store)
    suggested = FRAMEWORKS["open-webui"].model
    with pytest.raises(
        SettingsError, match=rf"suggests the model '{suggested}': model {suggested}"
    ):
        select_from("collection:c", TASK, 5, **place)
    exam = {"exclude": "exam.jsonl"}
    Path("exam.jsonl").write_text(json.dumps({"text": TEXTS[6]}))
    vectors = HashedWords().encode(TASK)
    with pytest.raises(SettingsError, match=rf"suggests the model '{suggested}'.*exclude_radius 0"):
        select_from("collection:c", vectors, 5, **place, **exam)

    def other(texts: list[str]) -> Any:
        return np.random.default_rng(len(texts)).normal(size=(len(texts), 32))

    for task, more in ((TASK, {}), (vectors, exam)):
        words = r"'.*other' does not make the vectors .*name another model with model \(.*suggests"
        with pytest.raises(CollectionMismatchError, match=words):
            select_from("collection:c", task, 5, model=other, **place, **more)
    found = select_from("collection:c", vectors, 5, model=HashedWords("mine"), **place, **exam)
    assert f"'mine' {PROVED}" in found.notes
    assert 6 not in found.ids


def test_what_is_added_to_the_points_of_a_framework_is_embedded_alike(store: Path) -> None:
    place = {**made("langchain", store), "collection": "c"}
    more = ["a whole new text about bread", "another one about the sea"]
    with pytest.raises(CollectionMismatchError, match="'wrong' does not make the vectors"):
        ingest(more, model=Shuffled("wrong"), **place)
    found = select_from(more, TASK, 1, model=HashedWords("mine"), **place)
    assert found.indices.tolist() == [0]
    with open_collection(store, "c") as pool:
        assert pool.count() == 62
        assert pool.info().model is None


class Shuffled(HashedWords):
    """A model of the same dimension that knows other words."""

    def encode(self, texts: Any, on_batch: Any = None) -> Any:
        return super().encode([text[::-1] for text in texts], on_batch)[:, ::-1]


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({}, SettingsError, "'pool' is collection:c, and nothing says where that is; give qdrant"),
        (
            {"qdrant": "store", "collection": "d"},
            SettingsError,
            "'pool' is collection:c, and collection is 'd'; leave collection out",
        ),
        ({"qdrant": "store", "payloads": [{}]}, InputError, "give them with an array of vectors"),
    ],
)
def test_calls_that_cannot_be(
    given: dict[str, Any], kind: type[Exception], words: str, store: Path
) -> None:
    made("langchain", store)
    with pytest.raises(kind, match=words):
        select_from("collection:c", TASK, 5, **given)


def test_a_collection_is_no_data_to_be_stored(store: Path) -> None:
    with pytest.raises(InputError, match="which is no file"):
        ingest("collection:c", qdrant=store, collection="d")
