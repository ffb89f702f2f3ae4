"""Counts of hashed n-grams as sparse vectors, and DSIR's importance weights as one search.

The log importance weight of a text (arXiv 2302.03169) is the dot product of its counts with the
log ratio of two distributions over the buckets, that of the task and that of the pool.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.representations.base import Encoded, Examples, Kind, OnBatch, Plain
from tsds_qdrant.representations.shown import texts_of
from tsds_qdrant.representations.words.ngrams import BUCKETS, hashed, smoothed
from tsds_qdrant.sparse import SparseRows

BLOCK_TEXTS = 1_000


class Ngrams(Plain):
    """How often a text has the n-grams of each bucket; of candidates and targets alike.

    Args:
        name: of the space.
    """

    kind: Kind = "sparse"
    metric = "Dot"
    dimension: int | None = None

    def __init__(self, *, name: str = "ngrams") -> None:
        self.name = name

    def manifest(self) -> dict[str, Any]:
        """How n-grams become buckets."""
        return {"kind": "ngrams", "buckets": BUCKETS, "longest": 2, "hash": "crc32"}

    def candidates(self, examples: Examples, on_batch: OnBatch | None = None) -> Encoded:
        """Rows of counts; that of a text without words is empty."""
        texts = texts_of(examples)
        lengths, indices, values = [np.zeros(1, np.int64)], [], []
        for start in range(0, len(texts), BLOCK_TEXTS):
            part = texts[start : start + BLOCK_TEXTS]
            grams = hashed(part)
            owners = np.repeat(np.arange(len(part)), grams.counts)
            found, counts = np.unique(owners * BUCKETS + grams.buckets, return_counts=True)
            lengths.append(np.bincount(found // BUCKETS, minlength=len(part)))
            indices.append(found % BUCKETS)
            values.append(counts)
            if on_batch:
                on_batch(len(part))
        rows = SparseRows(
            np.cumsum(np.concatenate(lengths), dtype=np.int64),
            np.concatenate([np.empty(0, np.int64), *indices]),
            np.concatenate([np.empty(0), *values]).astype(np.float32),
        )
        return Encoded.fine(rows, len(texts))

    targets = candidates


def bucket_counts(rows: SparseRows, weights: FloatArray | None = None) -> FloatArray:
    """(BUCKETS,) counts of all ``rows``, which count by ``weights`` (n,); sums add up.

    Sums of parts of a pool are those of the pool.
    """
    heft = rows.values.astype(np.float64)
    if weights is not None:
        heft *= np.repeat(weights, rows.lengths)
    return np.bincount(rows.indices, weights=heft, minlength=BUCKETS).astype(np.float64)


def log_ratio(task: FloatArray, pool: FloatArray) -> SparseRows:
    """One row of BUCKETS entries whose dot product with counts is their log importance weight.

    A candidate that is not found by it, as it has no n-gram, has the weight 0.

    Args:
        task: (BUCKETS,) counts of the task's texts.
        pool: (BUCKETS,) counts of the candidates.
    """
    gain = np.log(smoothed(task)) - np.log(smoothed(pool))
    return SparseRows(np.array([0, BUCKETS]), np.arange(BUCKETS), gain.astype(np.float32))
