"""Texts to vectors by a sentence-transformers model, which is imported only when used."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.errors import EmbeddingError, MissingPackageError
from tsds_qdrant.paths import absolute
from tsds_qdrant.representations.model_names import (
    directory_of,
    lacking,
    loadable,
    remembered_model,
)

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
TOKENIZED_TEXTS = 1_000
SPECIAL_TOKENS = 4
"""Models put no more than that around a text: a beginning, an end, and a mark of a word's begin."""


@dataclass(frozen=True)
class Cut:
    """How many texts a model reads only the beginnings of.

    Attributes:
        longer: how many are longer than what it reads.
        texts: how many there are.
        limit: how many tokens it reads of a text, its special ones among them.
    """

    longer: int
    texts: int
    limit: int

    def __add__(self, other: Cut) -> Cut:
        """Both together, of one model."""
        return Cut(self.longer + other.longer, self.texts + other.texts, self.limit)

    def in_words(self, texts: str = "texts") -> str:
        """One sentence for a person; "" where no text is longer."""
        if not self.longer:
            return ""
        one = self.longer == 1
        return (
            f"{self.longer} of {self.texts} {texts} {'is' if one else 'are'} longer than the "
            f"{self.limit} tokens that the model reads: only {'its' if one else 'their'} "
            f"{'beginning counts' if one else 'beginnings count'}"
        )


def cut_by(embedder: Embedder, texts: Sequence[str]) -> Cut | None:
    """What ``embedder`` does not read of ``texts``; None where it cannot say.

    An embedder can say it by a method ``cut(texts)``, as :meth:`SentenceTransformerEmbedder.cut`.

    Raises:
        EmbeddingError: the model cannot be loaded.
    """
    says: Callable[[Sequence[str]], Cut | None] | None = getattr(embedder, "cut", None)
    return None if says is None else says(texts)


class Embedder(Protocol):
    """Anything that turns texts into vectors; ``name`` is kept with the collection.

    It may say by a method ``cut`` which texts it does not read to their end: see :func:`cut_by`.
    """

    name: str

    def encode(
        self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None
    ) -> Float32Array:
        """(n, D) vectors of ``texts``; ``on_batch`` is called with the texts done each time."""


class SentenceTransformerEmbedder:
    """A sentence-transformers model, loaded at the first use.

    Args:
        name: a model of the Hugging Face hub, a local directory, or ``package:NAME`` for the
            directory ``model`` inside the installed package NAME; a directory is kept by its
            absolute path.
        device: ``cpu``, ``cuda``, ``mps``, ..; the best there is by default.
        batch_size: texts in one forward pass.
    """

    def __init__(self, name: str, *, device: str | None = None, batch_size: int = 64) -> None:
        self.name = remembered_model(name)
        self._device = device
        self._batch_size = batch_size
        self._model: Any = None

    def encode(
        self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None
    ) -> Float32Array:
        """(n, D) float32 vectors of ``texts``, not normalised.

        Raises:
            EmbeddingError: the model cannot be loaded or fails.
        """
        model = self._loaded()
        # Long texts first: equal lengths share a batch, so less padding is computed.
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        vectors: Float32Array | None = None
        for start in range(0, len(order), self._batch_size):
            rows = order[start : start + self._batch_size]
            try:
                batch = model.encode(
                    [texts[row] for row in rows],
                    batch_size=self._batch_size,
                    show_progress_bar=False,
                    convert_to_numpy=True,
                )
            except RuntimeError as error:
                raise EmbeddingError(
                    f"model '{self.name}' failed on a batch of {len(rows)} texts "
                    f"({_first_line(error)}); try a smaller --batch-size or --device cpu"
                ) from error
            if vectors is None:
                vectors = np.empty((len(texts), batch.shape[1]), dtype=np.float32)
            vectors[rows] = batch
            if on_batch:
                on_batch(len(rows))
        return np.empty((0, 0), dtype=np.float32) if vectors is None else vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens the model's tokenizer makes of each of ``texts``, uncut.

        Raises:
            EmbeddingError: the model cannot be loaded.
        """
        return list(self._token_counts(texts, special=False))

    def cut(self, texts: Sequence[str]) -> Cut | None:
        """How many of ``texts`` are longer than what the model reads.

        Returns:
            None where the model has no such limit, or no tokenizer that says how long a text is.

        Raises:
            EmbeddingError: the model cannot be loaded.
        """
        model = self._loaded()
        limit = getattr(model, "max_seq_length", None)
        if not isinstance(limit, int) or not callable(getattr(model, "tokenizer", None)):
            return None
        prompt = (model.prompts or {}).get(model.default_prompt_name) or ""
        # No token of an ASCII text is shorter than a byte; other letters may become several.
        most = limit - SPECIAL_TOKENS - len(prompt)
        doubtful = [prompt + text for text in texts if len(text) > most or not text.isascii()]
        counts = self._token_counts(doubtful, special=True)
        return Cut(sum(count > limit for count in counts), len(texts), limit)

    def _token_counts(self, texts: Sequence[str], *, special: bool) -> Iterator[int]:
        tokenizer = self._loaded().tokenizer
        for start in range(0, len(texts), TOKENIZED_TEXTS):
            batch = list(texts[start : start + TOKENIZED_TEXTS])
            encoded = tokenizer(batch, add_special_tokens=special, truncation=False, verbose=False)
            yield from (len(ids) for ids in encoded["input_ids"])

    def _loaded(self) -> Any:
        if self._model is None:
            # Nothing but our own progress belongs on the terminal.
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
            os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
            os.environ.setdefault("TQDM_DISABLE", "1")
            path = loadable(self.name)
            try:
                from sentence_transformers import SentenceTransformer
            except ImportError as error:
                raise MissingPackageError(
                    f"sentence-transformers cannot be imported ({_first_line(error)}); "
                    f"run: pip install sentence-transformers"
                ) from error
            # After the import: the libraries set their own levels when they are loaded.
            for library in ("sentence_transformers", "transformers", "huggingface_hub"):
                logging.getLogger(library).setLevel(logging.ERROR)
            try:
                self._model = SentenceTransformer(path, device=self._device)
            except Exception as error:  # a missing model raises whatever the hub client raises
                raise EmbeddingError(self._refusal(error)) from error
        return self._model

    def _refusal(self, error: Exception) -> str:
        """Why the model cannot be loaded, and what to do."""
        directory = directory_of(self.name)
        lacks = "" if directory is None else lacking(directory)
        if lacks:
            return f"'{directory}' is no model that can be loaded ({lacks}); give another --model"
        place = f" on device '{self._device}'" if self._device else ""
        said = f"model '{self.name}' cannot be loaded{place} ({_first_line(error)})"
        checks = "the device, " if self._device else ""
        if directory is not None:
            return f"{said}; check {checks}the files in it, or give another --model"
        return (
            f"{said}; check {checks}its name and the network, or give its directory with --model "
            f"(there is none at '{absolute(self.name)}')"
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
