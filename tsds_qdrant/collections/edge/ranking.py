"""Those who can be near, ranked by scores in float64: pair by pair, or all at once if faster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray, Int32Array, IntArray
from tsds_qdrant.collections.edge.compared import LOOSE, RESCORED, Compared
from tsds_qdrant.collections.edge.products import (
    BLOCK_FLOATS,
    INLINE,
    TILE_FLOATS,
    blas_threads,
    side_by_side,
)

TOGETHER = 32
"""Queries whose pairs are ranked at once."""
SHARED = 256
"""Pairs of a query, on average, from which on it is looked whether others have the same points."""
FASTER = 6
"""A product of all with all may hold that many times the pairs that are wanted."""
Ranked = tuple[IntArray, FloatArray]
"""Places of hits among the points, nearest first, and their scores."""


def ranked_pairs(
    compared: Compared, queries: Float32Array, pairs: tuple[Int32Array, Int32Array], limit: int
) -> list[Ranked]:
    """Of each of ``queries`` (B, D) the ``limit`` nearest of its ``pairs``.

    Args:
        compared: the points.
        queries: as they were asked.
        pairs: (n,) numbers of queries, and (n,) places in the order of rows.
        limit: hits of a query, at most.
    """
    search, spots = pairs
    order = np.argsort(search, kind="stable")
    spots, ends = spots[order], np.searchsorted(search[order], np.arange(len(queries) + 1))

    def rank(first: int) -> list[Ranked]:
        found, last = [], min(first + TOGETHER, len(queries))
        own = [spots[ends[query] : ends[query + 1]] for query in range(first, last)]
        for near, scores in zip(own, _scores(compared, queries[first:last], own), strict=True):
            number, real = compared.order[near], np.isfinite(scores)
            if not real.all():
                scores, number = scores[real], number[real]
            nearest = np.lexsort((number, compared.ranking(scores)))[:limit]
            found.append((number[nearest], scores[nearest]))
        return found

    workers = blas_threads() if len(spots) * queries.shape[1] > INLINE else 1
    return [*chain.from_iterable(side_by_side(rank, range(0, len(queries), TOGETHER), workers))]


def ranked_among(
    compared: Compared,
    spots: Int32Array,
    queries: Float32Array,
    limit: int,
    max_distance: float,
) -> Iterator[Ranked]:
    """Of each of ``queries`` (B, D) the ``limit`` nearest of the points at ``spots`` (n,).

    Those farther than ``max_distance`` are left out; ``spots`` are in the order of rows.
    """
    order = np.argsort(compared.order[spots])
    places = compared.order[spots][order]
    points = compared.at(compared.rows[spots]).astype(np.float64)[order]
    reach = max_distance * (1 + LOOSE)
    step = max(1, TILE_FLOATS // max(1, len(points)))

    def rank(start: int) -> list[Ranked]:
        scores, found = compared.table(queries[start : start + step], points), []
        for row, distances in zip(scores, compared.ranking(scores), strict=True):
            near = np.flatnonzero(distances <= reach)
            nearest = near[np.argsort(distances[near], kind="stable")[:limit]]
            found.append((places[nearest], row[nearest]))
        return found

    workers = blas_threads() if len(points) * len(queries) > INLINE else 1
    return chain.from_iterable(side_by_side(rank, range(0, len(queries), step), workers))


def _scores(
    compared: Compared, queries: Float32Array, spots: Sequence[Int32Array]
) -> list[FloatArray]:
    """Scores of each of ``queries`` (B, D) and the points at its own ``spots``.

    Where the queries share most of their points, all are compared with all of these.
    """
    pairs = sum(map(len, spots))
    if pairs > SHARED * len(queries):
        every = np.unique(np.concatenate(spots))
        if len(every) * len(queries) <= min(FASTER * pairs, BLOCK_FLOATS):
            scores = np.empty((len(queries), len(every)))
            for start in range(0, len(every), RESCORED):
                part = slice(start, start + RESCORED)
                points = compared.at(compared.rows[every[part]]).astype(np.float64)
                scores[:, part] = compared.table(queries, points)
            return [scores[k, np.searchsorted(every, own)] for k, own in enumerate(spots)]
    return [
        compared.scores(query, compared.rows[own])
        for query, own in zip(queries, spots, strict=True)
    ]
