"""Texts to vectors by a sentence-transformers model, which is imported only when used."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, Protocol

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.errors import EmbeddingError
from tsds_qdrant.representations.backends import Backend
from tsds_qdrant.representations.batches import CPU_TOKENS, batches_by_length
from tsds_qdrant.representations.cut import Cut
from tsds_qdrant.representations.loading import ModelSource, first_line
from tsds_qdrant.representations.model_prints import model_print
from tsds_qdrant.representations.prompts import passage_prompts

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
TOKENIZED_TEXTS = 1_000


def cut_by(embedder: Embedder, texts: Sequence[str]) -> Cut | None:
    """What ``embedder`` does not read of ``texts``; None where it cannot say.

    An embedder can say it by a method ``cut(texts)``, as :meth:`SentenceTransformerEmbedder.cut`.

    Raises:
        EmbeddingError: the model cannot be loaded.
    """
    says: Callable[[Sequence[str]], Cut | None] | None = getattr(embedder, "cut", None)
    return None if says is None else says(texts)


def made_with(embedder: Embedder) -> dict[str, Any]:
    """What the vectors of ``embedder`` depend on besides its name, as a collection keeps it."""
    own: Mapping[str, Any] = getattr(embedder, "made_with", {})
    return dict(own)


class Embedder(Protocol):
    """Anything that turns texts into vectors; ``name`` is kept with the collection.

    It may say by a method ``cut`` which texts it does not read to their end (see :func:`cut_by`),
    by ``made_with`` what else its vectors depend on (see :func:`made_with`), and by ``tokens`` how
    many it has read.
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
        device: ``cpu``, ``cuda``, ``mps``, ..; the best there is by default. On several, between
            commas, a process each embeds a share (the calling script needs the usual
            ``if __name__ == "__main__"``).
        batch_size: texts in one forward pass; fewer where texts are long, on a processor.
        backend: what computes: ``torch``, ``onnx`` or ``openvino``.
        max_length: tokens that are read of a text, those around it among them; the model's own
            limit by default.
        prompt: before each text; None for what the model puts there by itself.

    Attributes:
        tokens: how many were embedded so far; 0 where the model has no tokenizer that says so.
    """

    def __init__(
        self,
        name: str,
        *,
        device: str | None = None,
        batch_size: int = 64,
        backend: Backend = "torch",
        max_length: int | None = None,
        prompt: str | None = None,
    ) -> None:
        self._given = prompt
        self._source = ModelSource.of(name, device, backend, max_length)
        self.name = self._source.name
        self.tokens = 0
        self._batch_size = batch_size
        self._model: Any = None
        self._pool: Any = None
        self._counted: tuple[Sequence[str], list[int]] | None = None

    @property
    def made_with(self) -> dict[str, Any]:
        """What vectors depend on besides the name: see :func:`made_with`."""
        backend, length = self._source.backend, self._source.max_length
        other: dict[str, Any] = {} if backend == "torch" else {"backend": backend}
        other |= {} if self._given is None else {"prompt": self._given}
        return other if length is None else {**other, "max_length": length}

    @property
    def fingerprint(self) -> list[Any] | None:
        """Another whenever it may make other vectors, or None; nothing is loaded for it."""
        found = model_print(self.name)
        return None if found is None else [self.made_with, found]

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for all that make the same vectors in the same place."""
        return self._source, self._batch_size, self._given

    def passage_prompts(self) -> tuple[str, ...]:
        """What the model may want before passages: a prompt of its own, or of its name."""
        own = self._loaded().prompts or {}
        named = [own[name] for name in ("document", "passage", "corpus") if own.get(name)]
        return tuple(dict.fromkeys((*named, *passage_prompts(self.name))))

    def with_prompt(self, prompt: str | None) -> SentenceTransformerEmbedder:
        """The same model, loaded once, with another prompt."""
        self._loaded()
        other = copy(self)
        other._given, other._counted = prompt, None
        return other

    def encode(
        self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None
    ) -> Float32Array:
        """(n, D) float32 vectors of ``texts``, not normalised.

        Raises:
            EmbeddingError: the model cannot be loaded or fails.
        """
        model = self._loaded()
        lengths, says = [len(text) for text in texts], self._limit() is not None
        if says:
            lengths = [min(count, model.max_seq_length) for count in self._lengths(texts)]
        on_cpu = says and getattr(model.device, "type", "") == "cpu"
        vectors: Float32Array | None = None
        for rows in self._passes(lengths, on_cpu=on_cpu):
            batch = self._encoded([texts[row] for row in rows])
            if vectors is None:
                vectors = np.empty((len(texts), batch.shape[1]), dtype=np.float32)
            vectors[rows] = batch
            self.tokens += sum(lengths[row] for row in rows) if says else 0
            if on_batch:
                on_batch(len(rows))
        return np.empty((0, 0), dtype=np.float32) if vectors is None else vectors

    def _passes(self, lengths: Sequence[int], *, on_cpu: bool) -> Iterator[list[int]]:
        if len(self._source.devices) > 1:
            # The processes share what they get at once, in the order in which it comes.
            return batches_by_length(lengths, len(lengths))
        return batches_by_length(lengths, self._batch_size, CPU_TOKENS if on_cpu else None)

    def _encoded(self, texts: list[str]) -> Float32Array:
        own: dict[str, Any] = {}
        if len(self._source.devices) > 1:
            own = {"pool": self._processes(), "chunk_size": self._batch_size}
        try:
            vectors: Float32Array = self._by_model(
                texts,
                batch_size=self._batch_size,
                show_progress_bar=False,
                convert_to_numpy=True,
                **own,
            )
        except RuntimeError as error:
            raise EmbeddingError(
                f"model '{self.name}' failed on a batch of {len(texts)} texts "
                f"({first_line(error)}); try a smaller --batch-size or --device cpu"
            ) from error
        return vectors

    def _by_model(self, texts: list[str], **own: Any) -> Float32Array:
        if self._given is not None:
            own["prompt"] = self._given
        vectors: Float32Array = self._model.encode(texts, **own)
        return vectors

    def _prompt(self) -> str:
        """What is put before each text."""
        if self._given is not None:
            return self._given
        model = self._loaded()
        return (model.prompts or {}).get(model.default_prompt_name) or ""

    def _processes(self) -> Any:
        """The processes of several devices, which end with this object."""
        if self._pool is None:
            model = self._model
            try:
                self._pool = model.start_multi_process_pool(list(self._source.devices))
            except Exception as error:
                raise EmbeddingError(
                    f"model '{self.name}' cannot be started on the devices "
                    f"{', '.join(self._source.devices)} ({first_line(error)}); name one --device"
                ) from error
            weakref.finalize(self, model.stop_multi_process_pool, self._pool)
        return self._pool

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
        limit = self._limit()
        if limit is None:
            return None
        lengths, self._counted = self._lengths(texts), None
        return Cut(sum(count > limit for count in lengths), len(texts), limit)

    def _limit(self) -> int | None:
        """Tokens that the model reads of a text; None where that is not known."""
        model = self._loaded()
        limit = getattr(model, "max_seq_length", None)
        known = isinstance(limit, int) and callable(getattr(model, "tokenizer", None))
        return limit if known else None

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each of ``texts`` and around it, uncut; those of :meth:`encode` are kept for
        :meth:`cut`.
        """
        if self._counted is None or self._counted[0] is not texts:
            prompt = self._prompt()
            counts = self._token_counts([prompt + text for text in texts], special=True)
            self._counted = texts, list(counts)
        return self._counted[1]

    def _token_counts(self, texts: Sequence[str], *, special: bool) -> Iterator[int]:
        tokenizer = self._loaded().tokenizer
        for start in range(0, len(texts), TOKENIZED_TEXTS):
            batch = list(texts[start : start + TOKENIZED_TEXTS])
            encoded = tokenizer(batch, add_special_tokens=special, truncation=False, verbose=False)
            yield from (len(ids) for ids in encoded["input_ids"])

    def _loaded(self) -> Any:
        if self._model is None:
            self._model = self._source.loaded()
        return self._model
