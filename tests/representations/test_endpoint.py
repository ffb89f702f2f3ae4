"""An endpoint of embeddings: asked in batches, asked again, believed only where it may be."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest
from embeddings_api import CUT, SECRET, Api, serving_with_key
from hashed_words import HashedWords

from tsds_qdrant.errors import (
    EmbeddingError,
    MissingPackageError,
    ModelUnreachableError,
    SettingsError,
)
from tsds_qdrant.progress import notices_to
from tsds_qdrant.representations.endpoint import KEY_VARIABLE, EndpointEmbedder
from tsds_qdrant.representations.model_names import is_gone, loadable, remembered_model, same_model
from tsds_qdrant.representations.named import embedder_named

TEXTS = [f"text {k} of some words" for k in range(7)]
EXPECTED = HashedWords().encode(TEXTS)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    with serving_with_key(monkeypatch) as served:
        yield served


def embedded(api: Api, batch_size: int = 3) -> tuple[Any, list[float], list[str]]:
    """Vectors of TEXTS, the pauses that were made, and what was said."""
    pauses: list[float] = []
    said: list[str] = []
    model = EndpointEmbedder(api.model, batch_size=batch_size, sleep=pauses.append)
    with notices_to(said.append):
        rows = model.encode(TEXTS)
    assert SECRET not in "".join(said)
    return rows, pauses, said


def refusal(api: Api, batch_size: int = 3) -> tuple[str, list[float]]:
    pauses: list[float] = []
    model = EndpointEmbedder(api.model, batch_size=batch_size, sleep=pauses.append)
    with pytest.raises(EmbeddingError) as caught:
        model.encode(TEXTS)
    assert SECRET not in str(caught.value)
    return str(caught.value), pauses


def test_batches_come_back_in_order(api: Api) -> None:
    done: list[int] = []
    model = EndpointEmbedder(api.model, batch_size=3)
    np.testing.assert_array_equal(model.encode(TEXTS, done.append), EXPECTED)
    assert done == [3, 3, 1]
    assert [len(batch) for batch in api.texts] == done
    assert model.tokens == 21
    assert model.encode([]).shape == (0, 0)
    assert model.with_prompt("passage: ").encode(["x"]).shape == (1, 32)
    assert api.texts[-1] == ["passage: x"]
    assert all(one["Authorization"] == f"Bearer {SECRET}" for one in api.headers)


@pytest.mark.parametrize(
    "failure",
    [
        (429, {"Retry-After": "7"}, b"slow down"),
        (500, {}, b"oops"),
        (503, {}, {"error": {"message": "loading"}}),
        CUT,
        (200, {}, b'{"data": [{"index": 0, "embe'),
        (200, {}, {"data": []}),
        (200, {}, {"object": "list"}),
        lambda made: {"data": made["data"][1:]},
        lambda made: {"data": [{"index": one["index"], "embedding": []} for one in made["data"]]},
    ],
)
def test_what_may_pass_is_asked_again(api: Api, failure: Any) -> None:
    """Only the batch that failed is; what came before stays."""
    usual = len(embedded(api)[0])
    api.texts.clear()
    model = EndpointEmbedder(api.model, batch_size=3, sleep=lambda _: None)
    first = model.encode(TEXTS[:3])
    api.failures = [failure, failure]
    rows, pauses, said = embedded(api)
    np.testing.assert_array_equal(rows, EXPECTED)
    np.testing.assert_array_equal(first, EXPECTED[:3])
    assert len(rows) == usual
    asked = 7.0 if isinstance(failure, tuple) and failure[0] == 429 else 0.0
    assert pauses == [max(0.5, asked), max(1.0, asked)]
    assert len(said) == 1
    assert f"asked again in {pauses[0]:.3g} s" in said[0]


def test_a_date_to_wait_for(api: Api) -> None:
    later = datetime.now(timezone.utc) + timedelta(seconds=60)
    api.failures = [(429, {"Retry-After": format_datetime(later, usegmt=True)}, b"")]
    _, (pause,), _ = embedded(api)
    assert 50 < pause <= 60
    api.failures = [(429, {"Retry-After": "soon"}, b""), (429, {"Retry-After": "-3"}, b"")]
    assert embedded(api)[1] == [0.5, 1.0]


def test_longer_waits_than_anybody_has(api: Api) -> None:
    api.failures = [(429, {"Retry-After": "3600"}, b"quota")]
    said, pauses = refusal(api)
    assert "HTTP 429 (quota) and asks to wait 3600 s for texts 0 to 2 of 7" in said
    assert "run the same command again" in said
    assert not pauses


def test_it_gives_up_after_a_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsds_qdrant.representations.endpoint.PATIENCE_S", 3.0)
    api.failures = [(500, {}, b"oops")] * 50
    said, pauses = refusal(api)
    assert "answers with HTTP 500 (oops) for texts 0 to 2 of 7, 4 times" in said
    assert pauses == [0.5, 1.0, 2.0]


def test_a_wait_is_never_silent_for_long() -> None:
    """Nothing listens there; time passes in the pauses alone."""
    now, lines = [0.0], [0.0]
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        lines.append(now[0])

    def sleep(seconds: float) -> None:
        now[0] += seconds

    model = EndpointEmbedder("http://127.0.0.1:9/v1#m", sleep=sleep, clock=lambda: now[0])
    with notices_to(say), pytest.raises(ModelUnreachableError) as caught:
        model.encode(["x"])
    assert (caught.value.exit_code, caught.value.retryable) == (3, True)
    assert caught.value.kind == "model_unreachable"
    assert "asked again in 0.5 s, for 120 s more at most" in said[0]
    assert "asked again in 16 s, for 104 s more at most" in said[1]
    assert np.diff([*lines, now[0]]).max() <= 30.0
    assert 3 <= len(said) <= 8


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("localhost:9/v1#foo", "http://localhost:9/v1#foo"),
        ("localhost:9/v1", "http://localhost:9/v1#NAME"),
        ("10.0.0.3:8000/v1#org/model", "http://10.0.0.3:8000/v1#org/model"),
        ("api.example.com/v1#m", "http://api.example.com/v1#m"),
    ],
)
def test_an_address_without_its_scheme(name: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=f"did you mean {re.escape(meant)}\\?"):
        embedder_named(name).encode(["x"])


@pytest.mark.parametrize("name", ["BAAI/bge-small-en-v1.5", "all-MiniLM-L6-v2", "a.b/c", "x"])
def test_other_names_are_no_addresses(name: str) -> None:
    assert loadable(name) == name


def test_an_answer_of_another_form_is_nothing_that_passes(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsds_qdrant.representations.endpoint.PATIENCE_S", 0.1)
    api.failures = [(200, {}, b"<html>")] * 5
    with pytest.raises(EmbeddingError, match="of another form") as caught:
        EndpointEmbedder(api.model).encode(["x"])
    assert caught.value.exit_code == 1


def test_a_key_that_is_refused_is_not_repeated(api: Api) -> None:
    """This endpoint repeats the key in its answer, and nobody sees it."""
    api.key = "another"
    said, pauses = refusal(api)
    assert 'HTTP 401 ({"error":{"message":"Incorrect API key provided: Bearer ***' in said
    assert said.endswith(f"set {KEY_VARIABLE} to another key")
    assert not pauses


def test_a_key_that_is_missing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    assert refusal(api)[0].endswith(f"set {KEY_VARIABLE} to a key")
    assert "Authorization" not in api.headers[-1]


def test_requests_that_are_too_large_are_halved(api: Api) -> None:
    api.most = 2
    rows, pauses, _ = embedded(api, batch_size=7)
    np.testing.assert_array_equal(rows, EXPECTED)
    assert [len(batch) for batch in api.texts] == [1, 2, 2, 2]
    assert not pauses
    api.most = 0
    said, _ = refusal(api, batch_size=7)
    assert "HTTP 413 (too large) for text 0 of 7; check --model, or shorten" in said


def test_models_that_are_not_there(api: Api) -> None:
    with pytest.raises(EmbeddingError, match=r"404 .*no model other.* behind # in --model"):
        EndpointEmbedder(f"{api.url}/v1#other").encode(["x"])
    with pytest.raises(EmbeddingError, match=r"404 \(not found\).*check the URL"):
        EndpointEmbedder(f"{api.url}/v2#hashed").encode(["x"])


def test_vectors_of_several_dimensions(api: Api) -> None:
    def shorter(made: Any) -> Any:
        return {"data": [{**one, "embedding": one["embedding"][:5]} for one in made["data"]]}

    api.failures = [None, shorter]
    said, _ = refusal(api)
    assert "gives vectors of 32 and of 5 dimensions" in said
    api.failures = [lambda made: {"data": [{**made["data"][0], "embedding": [1e60]}]}]
    with pytest.raises(EmbeddingError, match="not finite for text 0 of 1"):
        EndpointEmbedder(api.model).encode(["x"])


def test_an_endpoint_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsds_qdrant.representations.endpoint.PATIENCE_S", 0.1)
    model = EndpointEmbedder("http://127.0.0.1:9/v1#m")
    with pytest.raises(EmbeddingError, match="cannot be reached"):
        model.encode(["x"])


@pytest.mark.parametrize(
    "name", ["http://host/v1", "http://host/v1#", "http:///v1#m", "https://#m"]
)
def test_names_that_name_no_model(name: str) -> None:
    with pytest.raises(SettingsError, match="write http://host/v1#NAME"):
        EndpointEmbedder(name)


@pytest.mark.parametrize(
    "name", [f"http://me:{SECRET}@host/v1#m", f"http://host/v1?key={SECRET}#m"]
)
def test_names_that_hold_a_key(name: str) -> None:
    with pytest.raises(SettingsError, match="TSDS_QDRANT_MODEL_KEY") as caught:
        EndpointEmbedder(name)
    assert SECRET not in str(caught.value)


def test_names_are_remembered_as_they_are() -> None:
    name = "http://host:11434/v1/#org/model"
    assert remembered_model(name) == name
    assert not is_gone(name)
    assert same_model(name, name)
    assert not same_model(name, "http://other/v1#org/model")
    assert isinstance(embedder_named(name), EndpointEmbedder)
    for given in ({"device": "cpu"}, {"max_length": 99}, {"backend": "onnx"}):
        with pytest.raises(SettingsError, match="leave it out"):
            embedder_named(name, **given)  # type: ignore[arg-type]


def test_fastembed_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastembed", None)
    model = embedder_named("fastembed:BAAI/bge-small-en")
    with pytest.raises(MissingPackageError, match=r"pip install 'tsds-qdrant\[fastembed\]'"):
        model.encode(["x"])
    with pytest.raises(SettingsError, match="--max-length"):
        embedder_named("fastembed:BAAI/bge-small-en", max_length=9)
