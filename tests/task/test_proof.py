"""Models prove to make the vectors of collections that do not name them, or are refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run
from embeddings_api import SECRET, Api, serving_with_key
from framework_payloads import FRAMEWORKS, made_by
from hashed_words import HashedWords
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pool_oracle import edge_pool
from profiles import examples

from tsds_qdrant.errors import CollectionMismatchError
from tsds_qdrant.progress import notices_to
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.representations.endpoint import KEY_VARIABLE
from tsds_qdrant.representations.prompts import passage_prompts
from tsds_qdrant.task.proof import Proof, info_proved, proof_of
from tsds_qdrant.task.suggestion import suggestion_for

TEXTS = [f"about {word} and {word}s alone" for word in ("bread", "court", "rain", "socket", "sea")]
WAY = TextTemplate("page_content")


class Prompted(HashedWords):
    """Hashed words of a text and of a prompt before it."""

    prompt = ""

    def passage_prompts(self) -> Sequence[str]:
        return ("passage: it says that ",)

    def with_prompt(self, prompt: str | None) -> Prompted:
        other = Prompted(self.name)
        other.prompt = prompt or ""
        return other

    def encode(
        self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        return super().encode([self.prompt + text for text in texts], on_batch)


def pool_of(rows: Any, texts: Sequence[str] = TEXTS) -> Any:
    payloads: list[dict[str, Any]] = [{"page_content": text} for text in texts]
    return edge_pool(np.asarray(rows), metric="Cosine", payloads=payloads)


def proof(rows: Any, embedder: Any) -> Proof:
    with pool_of(rows) as pool:
        found = proof_of(pool, pool.info(), embedder, WAY)
    assert found is not None
    return found


def test_the_model_itself_is_proved() -> None:
    said: list[str] = []
    model = HashedWords("words")
    with pool_of(model.encode(TEXTS)) as pool, notices_to(said.append):
        info = pool.info()
        assert info_proved(pool, info, model, WAY) == info
    assert said == ["'words' gives 4 stored texts vectors of cosine 1.000 to what is stored"]


def test_another_model_is_refused() -> None:
    rows = np.random.default_rng(0).normal(size=(len(TEXTS), 32))
    model = HashedWords("words")
    with pool_of(rows) as pool, pytest.raises(CollectionMismatchError) as caught:
        info_proved(pool, pool.info(), model, WAY)
    assert "'words' does not make the vectors without a name of collection 'pool'" in str(
        caught.value
    )
    assert "name another model with --model" in str(caught.value)
    with (
        pool_of(rows[:, :8]) as pool,
        pytest.raises(CollectionMismatchError, match=r"32 dimensions, and .* holds those of 8"),
    ):
        info_proved(pool, pool.info(), model, WAY)


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32), dimension=st.sampled_from([8, 32, 384]))
def test_chance_is_no_proof(seed: int, dimension: int) -> None:
    """Unrelated vectors are not taken for those of the model, however few numbers they have."""
    rng = np.random.default_rng(seed)
    near, others = rng.normal(size=(2, 1_000, 4)).mean(axis=2) / dimension**0.5
    taken = [
        Proof("x", 4, dimension, one, other).holds
        for one, other in zip(near.tolist(), (others / 3**0.5).tolist(), strict=True)
    ]
    assert sum(taken) <= 25
    assert Proof("x", 4, dimension, 0.995, 0.99).holds


def test_vectors_of_other_texts_are_refused() -> None:
    model = HashedWords("words")
    with (
        pool_of(model.encode(TEXTS), TEXTS[::-1]) as pool,
        pytest.raises(CollectionMismatchError, match="--text-field"),
    ):
        info_proved(pool, pool.info(), model, WAY)


def test_more_than_the_text_was_embedded() -> None:
    """As LlamaIndex does, which puts metadata before texts."""
    found = proof(HashedWords().encode([f"source: news {text}" for text in TEXTS]), HashedWords())
    assert found.holds
    assert 0.7 < found.cosine < 0.99
    assert "so more than that text was embedded" in found.in_words


@pytest.mark.parametrize("prompt", ["", "passage: it says that "])
def test_the_prompt_of_the_pool_is_found(prompt: str) -> None:
    said: list[str] = []
    rows = HashedWords().encode([prompt + text for text in TEXTS])
    model = Prompted("words")
    with pool_of(rows) as pool, notices_to(said.append):
        info = info_proved(pool, pool.info(), model, WAY)
    assert info.metadata.get("prompt", "") == prompt
    assert "cosine 1.000" in said[0]
    assert ("behind the prompt 'passage: it says that '" in said[0]) == bool(prompt)


def test_without_texts_nothing_is_proved() -> None:
    said: list[str] = []
    with edge_pool(np.eye(4), payloads=[{"n": 1}] * 4) as pool, notices_to(said.append):
        info_proved(pool, pool.info(), HashedWords("words"), WAY)
    assert said == [
        "collection 'pool' has no texts that could show whether 'words' made its vectors"
    ]


def test_prompts_of_models_by_name() -> None:
    for name in ("intfloat/multilingual-e5-small", "/models/e5-base-v2", "intfloat/e5-large"):
        assert passage_prompts(name) == ("passage: ",)
    assert passage_prompts("nomic-ai/nomic-embed-text-v1.5") == ("search_document: ",)
    for name in ("BAAI/bge-small-en", "intfloat/multilingual-e5-large-instruct", "x/me5-base"):
        assert passage_prompts(name) == ()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_what_frameworks_suggest(name: str, tmp_path: Path) -> None:
    with made_by(name, tmp_path, "c", np.eye(5), TEXTS) as pool:
        found = suggestion_for(pool, pool.info())
    assert (found.model if found else "") == FRAMEWORKS[name].model


def test_suggestions_that_are_none() -> None:
    for config in ({"model": ""}, {"model": 3}, "x", {"model": "a\x1b[31m"}, None):
        payloads = [{"metadata": {"embedding_config": config}}] * 3
        with edge_pool(np.eye(3), payloads=payloads) as pool:
            assert suggestion_for(pool, pool.info()) is None
    config = {"engine": "ollama", "model": "nomic-embed-text"}
    payloads = [{"metadata": {"embedding_config": config}}] * 3
    with edge_pool(np.eye(3), payloads=payloads) as pool:
        found = suggestion_for(pool, pool.info())
    assert found is not None
    assert found.in_words == (
        "the payload field 'metadata.embedding_config.model' suggests the model "
        "'nomic-embed-text' by ollama: --model 'http://HOST/v1#nomic-embed-text'"
    )
    with edge_pool(np.eye(3), payloads=payloads) as pool:
        for name, model in (
            ("fast-some-model", "fastembed:ORGANISATION/some-model"),
            ("fast-all-minilm-l6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
            ("fast-nomic-embed-text-v1.5-q", "fastembed:nomic-ai/nomic-embed-text-v1.5-Q"),
        ):
            found = suggestion_for(pool, replace(pool.info(), vector=name))
            assert found is not None
            assert found.flag == f"--model {model}"


# The command line


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Api]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tsds_qdrant.representations.endpoint.PATIENCE_S", 0.2)
    with serving_with_key(monkeypatch) as served:
        yield served


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A pool of LangChain's in ``store``, and 150 task examples in ``task.jsonl``."""
    texts = [f"{text} {n % 7}" for n in range(40) for text in TEXTS]
    made_by("langchain", tmp_path / "store", "c", HashedWords().encode(texts), texts).close()
    lines = (json.dumps({"text": f"{text} {n}"}) for n in range(30) for text in TEXTS)
    (tmp_path / "task.jsonl").write_text("\n".join(lines))
    return tmp_path


def words(store: Path, api: Api, *more: object) -> list[object]:
    return [
        *("select", "--qdrant", store / "store", "--collection", "c", "--size", 20),
        *("--queries", store / "task.jsonl", "--model", api.model, "--out", store / "o.jsonl"),
        "--keep-task-examples",
        *more,
    ]


def test_task_examples_embedded_by_an_endpoint(store: Path, api: Api) -> None:
    done = run(*words(store, api))
    assert "cosine 1.000 to what is stored" in done.stderr
    assert "'page_content' is taken" in done.stderr
    own = HashedWords()
    rows = rows_of(store / "o.jsonl")
    assert len(rows) == 20
    examples = own.encode([row["text"] for row in rows_of(store / "task.jsonl")])
    examples /= np.linalg.norm(examples, axis=1, keepdims=True)
    for row in rows:
        one = own.encode([row["payload"]["page_content"]])[0]
        far = np.sqrt(np.maximum(0, 2 - 2 * examples @ (one / np.linalg.norm(one))))
        assert row["distance"] == pytest.approx(far.min(), abs=1e-3)
    told = (store / "o.jsonl.manifest.json").read_text()
    assert api.model in told
    assert SECRET not in told + done.stderr + done.stdout


def test_test_items_beside_ready_vectors_want_the_same_proof(store: Path, api: Api) -> None:
    own = HashedWords()
    np.save(store / "q.npy", own.encode([f"{text} 3" for text in TEXTS]))
    (store / "exam.jsonl").write_text(json.dumps({"text": f"{TEXTS[0]} 4"}))
    asked = ["--queries", store / "q.npy", "--size", 20, "--out", store / "o.jsonl"]
    asked += ["--exclude", store / "exam.jsonl"]
    place = ["select", "--qdrant", store / "store", "--collection", "c"]
    done = run(*place, *asked, "--model", api.model).stderr
    assert "cosine 1.000 to what is stored" in done
    assert not [
        row
        for row in rows_of(store / "o.jsonl")
        if row["payload"]["page_content"] == f"{TEXTS[0]} 4"
    ]
    rows = np.random.default_rng(0).normal(size=(len(TEXTS), 32))
    made_by("langchain", store / "other", "c", rows, TEXTS).close()
    place[2] = store / "other"
    failed = run(*place, *asked[:3], 2, *asked[4:], "--model", api.model, code=1).stderr
    assert "does not make the vectors without a name of collection 'c'" in failed
    run(*place, *asked[:3], 2, *asked[4:], "--exclude-radius", 0)


def test_a_run_goes_on_where_the_endpoint_went_away(store: Path, api: Api) -> None:
    """Four proving texts, and batches of 64: the third of these fails."""
    api.failures = [None, None, None, *[(500, {}, SECRET.encode())] * 9]
    failed = run(*words(store, api, "--state", store / "r.run"), code=3)
    assert "HTTP 500 (***)" in failed.stderr
    assert "run the same command again" in failed.stderr
    assert not (store / "o.jsonl").exists()
    sent = [len(batch) for batch in api.texts]
    assert sent == [4, 64, 64]
    api.failures.clear()
    api.texts.clear()
    run(*words(store, api, "--state", store / "r.run"))
    assert [len(batch) for batch in api.texts] == [4, 22]
    files = [path for path in store.rglob("*") if path.is_file()]
    assert files
    assert not any(SECRET.encode() in path.read_bytes() for path in files)


def test_what_the_endpoint_refuses(store: Path, api: Api) -> None:
    api.key = "another"
    for more in ((), ("--json",)):
        failed = run(*words(store, api, *more), code=1)
        assert "HTTP 401" in failed.output
        assert f"set {KEY_VARIABLE} to another key" in failed.output
        assert SECRET not in failed.output
    api.key = SECRET

    def short(made: Any) -> Any:
        return {"data": [{**one, "embedding": one["embedding"][:9]} for one in made["data"]]}

    api.failures = [short]
    failed = run(*words(store, api), code=1)
    assert "makes vectors of 9 dimensions, and collection 'c' holds those of 32" in failed.stderr


def test_a_model_of_no_name_is_asked_for_with_what_is_known(store: Path) -> None:
    made = FRAMEWORKS["open-webui"]
    made_by("open-webui", store / "store", "w", HashedWords().encode(TEXTS), TEXTS).close()
    task = ["--queries", store / "task.jsonl", "--size", 2, "--out", store / "o.jsonl"]
    place = ["--qdrant", store / "store", "--collection", "w"]
    flag = f"--model {made.model}"
    failed = run("select", *place, *task, code=2)
    assert f"suggests the model '{made.model}': {flag}, or give the task" in failed.stderr
    assert flag in run("check", *place).stdout
    told = json.loads(run("check", *place, "--json").stdout)
    assert told["model_suggestion"]["model"] == made.model


def test_tokens_of_an_endpoint_are_not_known(store: Path, api: Api) -> None:
    failed = run(*words(store, api, "--budget-tokens", 100), code=2)
    assert "no tokenizer is known for the texts of collection 'c'" in failed.stderr


def test_a_pool_embedded_by_an_endpoint_names_it(store: Path, api: Api) -> None:
    """Further task examples need no flag, and the key is nowhere."""
    place = ["--qdrant", store / "store", "--collection", "own"]
    task = store / "task.jsonl"
    run("ingest", task, *place, "--text-field", "text", "--model", api.model)
    out = store / "o.jsonl"
    asked = ["--queries", task, "--size", 5, "--out", out, "--keep-task-examples"]
    done = run("select", *place, *asked, "--json")
    assert json.loads(done.stdout)["collection"]["model"] == api.model
    assert max(row["distance"] for row in rows_of(out)) < 1e-3
    files = [path for path in store.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
