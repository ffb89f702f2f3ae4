"""Task examples embedded by an endpoint stay embedded: batches are kept where the user's cache is.

What an endpoint has answered is paid for. Where it goes away in the middle, the same command goes
on behind the last whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.representations.base import Shown
from tsds_qdrant.representations.endpoint import EndpointEmbedder
from tsds_qdrant.representations.text import Embedder
from tsds_qdrant.represented.queries import key_of, recalled, remember

BATCH = 64


class Remembered:
    """An endpoint whose answers are kept, batch by batch.

    Args:
        endpoint: makes those that are not there.
    """

    def __init__(self, endpoint: EndpointEmbedder) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint

    @property
    def made_with(self) -> dict[str, Any]:
        """What vectors depend on besides the name."""
        return self._endpoint.made_with

    def encode(
        self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None
    ) -> Float32Array:
        """(n, D) vectors of ``texts``; raises as the endpoint does."""
        parts = [np.empty((0, 0), dtype=np.float32)]
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            key = key_of(["endpoint", self.name, self.made_with], [Shown(text) for text in batch])
            rows = recalled(key, len(batch))
            if rows is None:
                rows = self._endpoint.encode(batch)
                remember(key, rows)
            parts.append(rows)
            if on_batch:
                on_batch(len(batch))
        return np.concatenate(parts[1:]) if len(parts) > 1 else parts[0]


def kept(embedder: Embedder) -> Embedder:
    """``embedder``, whose answers are kept where it is an endpoint."""
    return Remembered(embedder) if isinstance(embedder, EndpointEmbedder) else embedder
