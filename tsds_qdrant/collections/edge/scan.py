"""Scans of a small embedded collection in numpy, on all cores.

The engine scans with one core and holds the interpreter lock; a matrix product does the same work
several times as fast once the vectors are in memory. The product, in float32, only finds who can
be near: distances are then computed pair by pair in float64 and rounded as Qdrant's scores are,
so that a distance depends on its two vectors alone and never on what else was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.distance import is_similarity, normalized, score_to_distance
from tsds_qdrant.collections.hits import Hits, within
from tsds_qdrant.collections.values import Geometry, Metric, PointId

SCANNED_POINTS = 10_000
SCANNED_FLOATS = 16_000_000
"""Collections up to both are scanned here: at most 64 MB are held."""
BLOCK_FLOATS = 4_000_000


def fits(points: int, dimension: int, metric: Metric) -> bool:
    """Whether a collection of that size is scanned here rather than by the engine."""
    small = points <= SCANNED_POINTS and points * dimension <= SCANNED_FLOATS
    return small and metric != "Manhattan"


@dataclass(frozen=True)
class LoadedVectors:
    """Points held in memory.

    Attributes:
        ids: (n,) their ids.
        matrix: (n, D) their vectors, of unit length under Cosine.
        metric: Cosine, Dot, Product (all of unit length, but for rounding) or Euclid.
    """

    ids: Sequence[PointId]
    matrix: Float32Array
    metric: Geometry

    def search(
        self,
        queries: Float32Array,
        limit: int,
        max_distance: float | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Hits:
        """The ``limit`` nearest points of every row of ``queries`` (B, D); see Collection."""
        rows = normalized(queries, self.metric)
        lengths = np.einsum("ij,ij->i", self.matrix, self.matrix)
        if self.metric == "Cosine":  # a vector of zeros is at the chord of product 0
            lengths[lengths < np.finfo(np.float32).eps] = 1.0
        block = max(1, BLOCK_FLOATS // max(1, len(self.ids)))
        parts = []
        for start in range(0, len(rows), block):
            part = rows[start : start + block]
            parts.append(self._block(part, lengths, limit, max_distance))
            if on_batch:
                on_batch(len(part))
        found = [*np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)]).tolist()]
        scores = np.concatenate([np.empty(0), *(part[1] for part in parts)])
        counts = np.concatenate([np.empty(0, np.int64), *(part[2] for part in parts)])
        ids = [self.ids[row] for row in found]
        return within(Hits.of_scores(ids, scores, counts, self.metric), max_distance)

    def _block(
        self,
        queries: Float32Array,
        lengths: Float32Array,
        limit: int,
        max_distance: float | None,
    ) -> tuple[IntArray, FloatArray, IntArray]:
        """Rows and scores (n,) of the hits of ``queries``, and counts (B,)."""
        own = np.einsum("ij,ij->i", queries, queries)
        if self.metric in ("Dot", "Product"):  # where products alone say how far two rows are
            own, lengths = np.ones_like(own), np.ones_like(lengths)
        with np.errstate(over="ignore", invalid="ignore"):  # stored NaN is nobody's neighbour
            squared = queries @ self.matrix.T
            squared *= -2
            squared += own[:, None]
            squared += lengths
            scale = np.nanmax(own, initial=0) + np.nanmax(lengths, initial=0)
            margin = 4 * self.matrix.shape[1] * np.finfo(np.float32).eps * scale
            farthest = np.inf if max_distance is None else np.square(max_distance) + margin
            near = squared <= farthest if np.isfinite(farthest) else np.isfinite(squared)
            if limit < squared.shape[1]:
                full = np.flatnonzero(np.count_nonzero(near, axis=1) > limit)
                entries = np.where(near[full], squared[full], np.inf)
                last = np.partition(entries, limit - 1, axis=1)[:, limit - 1]
                near[full] &= entries <= last[:, None] + 2 * margin
        search, found = np.nonzero(near)
        scores = self._scores(queries, search, found)
        order = np.lexsort((found, score_to_distance(scores, self.metric), search))
        counts = np.bincount(search, minlength=len(queries))
        place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        order = order[place < limit]
        return found[order], scores[order], np.minimum(counts, limit)

    def _scores(self, queries: Float32Array, search: IntArray, found: IntArray) -> FloatArray:
        """(n,) scores of the pairs (``search``, ``found``); each depends on its pair alone."""
        step = max(1, BLOCK_FLOATS // max(1, self.matrix.shape[1]))
        scores = np.empty(len(search))
        for start in range(0, len(search), step):
            pairs = slice(start, start + step)
            a = queries[search[pairs]].astype(np.float64)
            b = self.matrix[found[pairs]].astype(np.float64)
            if is_similarity(self.metric):
                scores[pairs] = (a * b).sum(axis=1)
            else:
                scores[pairs] = np.sqrt(np.square(a - b).sum(axis=1))
        return scores
