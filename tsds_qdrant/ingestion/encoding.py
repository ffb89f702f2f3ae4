"""Texts of items become vectors, and it is known how many of them are cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.distance import checked_vectors
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.ingestion.items import Item
from tsds_qdrant.progress import Progress
from tsds_qdrant.representations.cut import Cut
from tsds_qdrant.representations.text import Embedder, cut_by


@dataclass
class Encoding:
    """Embeds the texts of a run.

    Attributes:
        embedder: makes vectors.
        total: items of the run.
        progress: stages ``ingest`` and ``tokens``.
        cut: how many texts were longer than what the embedder reads, if it says so.
    """

    embedder: Embedder
    total: int
    progress: Progress
    cut: Cut | None = None

    def encoded(self, items: Sequence[Item], done: int, metric: Metric) -> Float32Array:
        """Vectors (n, D) of the texts of ``items``, ``done`` after others.

        Raises:
            InputError: the embedder makes vectors that ``metric`` has no use for.
        """
        embedded = 0

        def on_batch(texts: int) -> None:
            nonlocal embedded
            embedded += texts
            self.progress("ingest", done + embedded, self.total)
            if tokens := int(getattr(self.embedder, "tokens", 0)):
                self.progress("tokens", tokens, 0)

        texts = [item.text for item in items]
        vectors = self.embedder.encode(texts, on_batch)
        cut = cut_by(self.embedder, texts)
        self.cut = cut if cut is None or self.cut is None else self.cut + cut
        checked_vectors(vectors, vectors.shape[1], metric)
        return vectors
