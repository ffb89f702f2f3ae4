"""The model of a call: a name, or an object that the caller has loaded."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.errors import EmbeddingError, SettingsError
from tsds_qdrant.notebook.frames import array_of, class_names
from tsds_qdrant.representations.model_names import remembered_model
from tsds_qdrant.representations.text import (
    DEFAULT_MODEL,
    Embedder,
    SentenceTransformerEmbedder,
)
from tsds_qdrant.settings.fields import changed
from tsds_qdrant.task.proof import Prompted
from tsds_qdrant.task.settings import Reading


class Loaded(SentenceTransformerEmbedder):
    """A model of sentence-transformers that the caller has loaded."""

    def __init__(self, model: Any, name: str, batch_size: int) -> None:
        super().__init__(name, batch_size=batch_size)
        self._model = model

    @property
    def fingerprint(self) -> None:
        """Nobody knows what the caller has done with it."""


class Encoding:
    """Anything that makes vectors of texts.

    Attributes:
        name: kept with the collection.
    """

    def __init__(self, encode: Callable[[list[str]], Any], name: str, batch_size: int) -> None:
        self.name = name
        self._encode = encode
        self._batch_size = batch_size

    def encode(
        self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None
    ) -> Float32Array:
        """(n, D) vectors of ``texts``.

        Raises:
            EmbeddingError: what was made of them is no array of n rows.
        """
        parts: list[Float32Array] = []
        for start in range(0, len(texts), self._batch_size):
            batch = list(texts[start : start + self._batch_size])
            parts.append(self._rows(self._encode(batch), len(batch)))
            if on_batch:
                on_batch(len(batch))
        if len({part.shape[1] for part in parts}) > 1:
            sizes = ", ".join(str(size) for size in sorted({part.shape[1] for part in parts}))
            raise EmbeddingError(
                f"the model '{self.name}' made vectors of {sizes} dimensions; "
                f"let it make the same of every text"
            )
        return np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)

    def _rows(self, made: Any, count: int) -> Float32Array:
        try:
            array = array_of(made)
            if array is None:
                array = np.array([row if array_of(row) is None else array_of(row) for row in made])
            rows = np.asarray(array, dtype=np.float32)
        except (TypeError, ValueError):
            rows = np.empty(0, dtype=np.float32)
        if rows.ndim != 2 or len(rows) != count or not rows.shape[1]:
            shape = f"an array of shape {rows.shape}" if rows.size else f"{made!r:.40}"
            raise EmbeddingError(
                f"the model '{self.name}' made {shape} of {count} texts; let it make an array "
                f"({count}, dimension) of numbers"
            )
        return rows


@dataclass(frozen=True)
class OwnReading(Reading):
    """How texts are made and embedded, by a model that is there already.

    Attributes:
        own: the model.
    """

    own: Embedder | None = None

    def embedder(self, model: str, stored: Mapping[str, Any] | None = None) -> Any:
        """The model of the call, or the one of that name; see :meth:`Reading.embedder`."""
        if self.own is None:
            return super().embedder(model, stored)
        prompt = (stored or {}).get("prompt")
        if prompt is not None and isinstance(self.own, Prompted):
            return self.own.with_prompt(prompt)
        return self.own

    def counter(self) -> Callable[[Sequence[str]], list[int]] | None:
        """What counts tokens: the model of the call, if it can."""
        count: Callable[[Sequence[str]], list[int]] | None
        count = getattr(self.own, "count_tokens", None)
        return super().counter() if self.own is None else count


def reading_with(reading: Reading, model: Any) -> OwnReading:
    """``reading`` with the ``model`` of a call: its name, an object, or None for the default.

    Raises:
        SettingsError: it is nothing of the kind, or settings of a model by name come with it.
    """
    said = dict(vars(reading))
    if model is None or isinstance(model, (str, os.PathLike)):
        name = None if model is None else os.fspath(model)
        if name is not None and not name.strip():
            raise SettingsError("model is an empty text; name a model, or leave it out")
        return OwnReading(**{**said, "model": name})
    own = _own(model, reading.batch_size)
    named_only = [name for name in ("max_length", "backend", "device") if name in changed(reading)]
    if named_only:
        raise SettingsError(
            f"{named_only[0]} is for a model that is given by its name, and this one is loaded; "
            f"leave it out, and set it on the model"
        )
    return OwnReading(**{**said, "model": own.name}, own=own)


def default_name(reading: Reading, stored: Mapping[str, Any]) -> str:
    """The name of the model that makes the vectors of a pool."""
    return str(reading.model or stored.get("model") or DEFAULT_MODEL)


def _own(model: Any, batch_size: int) -> Embedder:
    if ("sentence_transformers", "SentenceTransformer") in class_names(model):
        return Loaded(model, _name_of(model), batch_size)
    encode = getattr(model, "encode", None)
    if callable(encode):
        own: Embedder = model
        takes = inspect.signature(encode).parameters
        if "on_batch" in takes and isinstance(getattr(model, "name", None), str):
            return own
        return Encoding(encode, _name_of(model), batch_size)
    if callable(model):
        return Encoding(model, _name_of(model), batch_size)
    raise SettingsError(
        f"model is {model!r}; give the name of a model, an object with encode, or a function that "
        f"makes an array (n, D) of n texts"
    )


def _name_of(model: Any) -> str:
    """The name that a collection keeps: its own, where it was loaded from, or that of its class."""
    name = getattr(model, "name", None)
    if isinstance(name, str) and name.strip():
        return name
    place = getattr(getattr(model, "tokenizer", None), "name_or_path", None)
    if isinstance(place, str) and place.strip():
        return remembered_model(place)
    kind = model if hasattr(model, "__qualname__") else type(model)
    return f"{kind.__module__}.{kind.__qualname__}"
