"""Collections that differ in what makes search approximate, and tasks over them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge
from bench.pools import Float32Array

from tsds_qdrant.collections.edge.collection import EdgeCollection

IntArray = npt.NDArray[np.int64]
NEIGHBORHOOD = 4
"""A task's examples are drawn from this many times as many rows of one label or neighbourhood."""
EF_CONSTRUCT, FULL_SCAN_KB = 100, 10_000
FINISHED = "finished"


@dataclass(frozen=True)
class Build:
    """How a collection is made.

    Attributes:
        title: what is special; graphs built twice differ, so several may be alike but for it.
        scored: the scores of its codes alone tell distances; those of single bits do not.
        m: edges of a point in the HNSW graph.
        parts: upserted and optimised one after the other, into as many segments.
        deleted: share of the points that is deleted after the graph was built.
        upserted: share that is written again after it, and so lies outside the graph.
    """

    title: str
    quantization: edge.QuantizationConfigType | None = None
    scored: bool = field(default=True, repr=False)
    m: int = 16
    parts: int = 1
    deleted: float = 0.0
    upserted: float = 0.0

    @property
    def name(self) -> str:
        """Of the collection."""
        return re.sub(r"\W+", "-", self.title)

    def gone(self, count: int) -> IntArray:
        """Rows of ``count`` that are deleted, the same for every build with that share."""
        return np.random.default_rng(1).permutation(count)[: round(self.deleted * count)]

    def make(self, store: Path, pool: Float32Array) -> None:
        """Build the collection of ``pool`` in ``store`` unless it is there; point k is row k."""
        path = store / self.name
        finished, mark = path / FINISHED, f"{self!r} {crc32(pool.tobytes()):08x}\n"
        if finished.exists() and finished.read_text(encoding="utf-8") == mark:
            return
        shutil.rmtree(path, ignore_errors=True)
        config = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(pool.shape[1], edge.Distance.Cosine),
            hnsw_config=edge.HnswIndexConfig(self.m, EF_CONSTRUCT, FULL_SCAN_KB),
            quantization_config=self.quantization,
            optimizers=edge.EdgeOptimizersConfig(default_segment_number=self.parts),
        )
        edge.EdgeShard.create(str(path), config).close()
        collection = EdgeCollection.open(str(store), self.name)
        for rows in np.array_split(np.arange(len(pool)), self.parts):
            collection.upsert(rows.tolist(), pool[rows])
            collection.optimize()
        collection.delete(self.gone(len(pool)).tolist())
        again = np.random.default_rng(2).permutation(len(pool))[: round(self.upserted * len(pool))]
        collection.upsert(again.tolist(), pool[again])
        collection.close()
        finished.write_text(mark, encoding="utf-8")


PLAIN = (Build("plain"), Build("plain, built again"), Build("plain, built a third time"))
CHANGED = (
    Build("m 8", m=8),
    Build("m 32", m=32),
    Build("4 segments", parts=4),
    Build("10 % deleted", deleted=0.1),
    Build("30 % deleted", deleted=0.3),
    Build("5 % upserted again", upserted=0.05),
    Build("20 % upserted again", upserted=0.2),
)
QUANTIZED = (
    Build("int8", edge.ScalarQuantizationConfig(edge.ScalarType.Int8)),
    Build("binary", edge.BinaryQuantizationConfig(), scored=False),
    Build("product x16", edge.ProductQuantizationConfig(edge.CompressionRatio.X16)),
    Build("turbo 4 bits", edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits4)),
    Build(
        "turbo 1 bit",
        edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits1),
        scored=False,
    ),
)


def tasks_from(
    vectors: Float32Array, labels: Sequence[str] | None, count: int, examples: int, seed: int = 0
) -> tuple[Float32Array, list[tuple[str, Float32Array]]]:
    """The pool without the task examples, and ``count`` tasks (name, (M, D) vectors).

    A task is ``examples`` seeded rows of one label that has enough of them, or, without
    ``labels``, of the neighbourhood of a seeded row.
    """
    rng = np.random.default_rng(seed)
    left = np.ones(len(vectors), dtype=bool)
    tasks: list[tuple[str, Float32Array]] = []
    names, label_of = np.unique(labels or [""] * len(vectors), return_inverse=True)
    enough = np.flatnonzero(np.bincount(label_of) >= NEIGHBORHOOD * examples)
    order = rng.permutation(enough) if labels else rng.permutation(len(vectors))
    for chosen in order[:count].tolist():
        if labels:
            name, near = str(names[chosen]), np.flatnonzero((label_of == chosen) & left)
        else:
            similar = np.where(left, vectors @ vectors[chosen], -np.inf)
            near = np.argsort(-similar, kind="stable")[: NEIGHBORHOOD * examples]
            name = f"around row {chosen}"
        rows = rng.permutation(near)[:examples]
        left[rows] = False
        tasks.append((name, vectors[rows]))
    return vectors[left], tasks
