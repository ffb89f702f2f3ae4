"""A collection gets vectors of a model behind an endpoint, beside those that it has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run
from embeddings_api import SECRET, Api, serving_with_key
from framework_payloads import made_by
from hashed_words import HashedWords

from tsds_qdrant import open_collection
from tsds_qdrant.errors import EmbeddingError, SettingsError
from tsds_qdrant.progress import notices_to
from tsds_qdrant.representations.base import Shown
from tsds_qdrant.representations.text_vectors import TextVectors

WORDS = ("bread", "court", "rain", "socket", "sea", "wheel")
TEXTS = [f"number {n} is about {WORDS[n % 6]} and {WORDS[(n * 5) % 6]}" for n in range(300)]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Api]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tsds_qdrant.representations.endpoint.PATIENCE_S", 0.2)
    monkeypatch.chdir(tmp_path)
    with serving_with_key(monkeypatch) as served:
        yield served


def unit(texts: list[str]) -> Any:
    rows = HashedWords().encode(texts)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def stored() -> dict[Any, Any]:
    with open_collection("store", "c", vector="hosted") as pool:
        return {r.id: r.vector for r in pool.retrieve(range(len(TEXTS)), vectors=True)}


def test_it_goes_on_where_the_endpoint_went_away(api: Api) -> None:
    """Parts that are stored are not paid for twice, and the key is nowhere."""
    made_by("langchain", Path("store"), "c", np.ones((len(TEXTS), 4)), TEXTS).close()
    words: list[object] = [
        "represent",
        "text",
        "--qdrant",
        "store",
        "--collection",
        "c",
        "--name",
        "hosted",
    ]
    words += ["--model", api.model, "--batch-size", 20]
    api.failures = [None] * 7 + [(500, {}, SECRET.encode())] * 99
    failed = run(*words, code=3)
    assert "HTTP 500 (***)" in failed.stderr
    assert "run the same command again" in failed.stderr
    before = {one for one, row in stored().items() if row is not None}
    assert 64 <= len(before) < 300
    api.failures.clear()
    api.texts.clear()
    done = run(*words)
    asked = [text for batch in api.texts for text in batch if text != "x"]
    assert sorted(asked) == sorted(text for k, text in enumerate(TEXTS) if k not in before)
    assert max(map(len, api.texts)) <= 20
    rows = stored()
    assert np.array([rows[k] for k in range(len(TEXTS))]) == pytest.approx(unit(TEXTS), abs=1e-6)
    api.texts.clear()
    run(*words)
    assert api.texts in ([], [["x"]])

    task = [f"all about {WORDS[0]} and {WORDS[n % 3]}" for n in range(6)]
    Path("task.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in task))
    chosen = ["--queries", "task.jsonl", "--vector", "hosted", "--size", 12, "--out", "o.jsonl"]
    told = run("select", "--qdrant", "store", "--collection", "c", *chosen)
    for row in rows_of("o.jsonl"):
        near = unit(task) @ unit([row["payload"]["page_content"]])[0]
        assert row["distance"] == pytest.approx(np.sqrt(2 - 2 * near.max()), abs=1e-3)
    everything = failed.output + done.output + told.output
    assert SECRET not in everything
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in path.read_bytes() for path in files)


def test_texts_are_sent_as_they_are_unless_prompts_are_named(api: Api) -> None:
    said: list[str] = []
    with notices_to(said.append):
        made = TextVectors(api.model, prompt="passage: ", query_prompt="query: ", truncate_dim=8)
        made.candidates([Shown("rain")]), made.targets([Shown("rain")])
        TextVectors(api.model).candidates([Shown("rain")])
    assert api.texts == [["x"], ["passage: rain"], ["query: rain"], ["x"], ["rain"]]
    assert made.dimension == 8
    assert said == []
    one, other = TextVectors(api.model).manifest(), made.manifest()
    assert one["model"] == other["model"] == api.model
    assert (other["prompt"], other["query_prompt"]) == ("passage: ", "query: ")
    with notices_to(said.append):
        TextVectors(f"{api.url}/v1#intfloat/e5-small").embedder("document")
    assert "was trained with 'passage: ' before documents" in said[0]


def test_an_endpoint_that_becomes_another_model_is_refused(api: Api) -> None:
    def longer(made: Any) -> Any:
        return {"data": [{**one, "embedding": one["embedding"] * 2} for one in made["data"]]}

    api.failures = [None, longer]
    with pytest.raises(EmbeddingError, match="vectors of 32 dimensions, and makes some of 64 now"):
        TextVectors(api.model).candidates([Shown("rain")])
    with pytest.raises(SettingsError, match="--max-length is for models of sentence-transformers"):
        TextVectors(api.model, max_length=9)
