"""Texts to vectors by a model of fastembed, which is imported only when used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.errors import EmbeddingError, MissingPackageError
from tsds_qdrant.representations.model_names import FASTEMBED_PREFIX


class FastembedEmbedder:
    """A model of fastembed, loaded at the first use, that embeds passages.

    Args:
        name: ``fastembed:NAME``, as fastembed lists it.
        batch_size: texts in one forward pass.
    """

    def __init__(self, name: str, *, batch_size: int = 64) -> None:
        self.name = name
        self._batch_size = batch_size
        self._model: Any = None

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for all that make the same vectors in the same place."""
        return self.name, self._batch_size

    def encode(
        self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None
    ) -> Float32Array:
        """(n, D) float32 vectors of ``texts`` as passages.

        Raises:
            EmbeddingError: fastembed knows no such model, or it cannot be loaded.
            MissingPackageError: fastembed is not installed.
        """
        model, rows = self._loaded(), []
        for row in model.passage_embed(list(texts), batch_size=self._batch_size):
            rows.append(np.asarray(row, dtype=np.float32))
            if on_batch:
                on_batch(1)
        return np.stack(rows) if rows else np.empty((0, 0), dtype=np.float32)

    def _loaded(self) -> Any:
        if self._model is None:
            try:
                from fastembed import TextEmbedding
            except ImportError as error:
                raise MissingPackageError(
                    f"model '{self.name}' needs the package fastembed, which is not installed; "
                    f"run: pip install 'tsds-qdrant[fastembed]'"
                ) from error
            try:
                self._model = TextEmbedding(model_name=self.name.removeprefix(FASTEMBED_PREFIX))
            except Exception as error:  # whatever the hub client or ONNX raise
                lines = str(error).strip().splitlines() or [type(error).__name__]
                raise EmbeddingError(
                    f"model '{self.name}' cannot be loaded ({lines[0]}); check its name and the "
                    f"network, or give another --model"
                ) from error
        return self._model
