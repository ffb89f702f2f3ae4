"""Scans of an embedded collection: who is near by float32 products, how near in float64.

The engine scans with one core and holds the interpreter lock; a matrix product does the same work
many times as fast once the vectors are in memory, or mapped into it. The product, in float32, only
finds who can be near: distances are then computed pair by pair in float64 and rounded as Qdrant's
scores are, so that a distance depends on its two vectors alone and never on what else was asked,
nor on what computed the products.

Whoever is among the nearest L of N points is found without sorting N values: the products with a
sample of the points say at what value about L of them lie, all points are compared with that bar
in one pass, and where fewer than L turn out to reach it, the bar is lowered for those queries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import TypeVar

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray, Int32Array, IntArray
from tsds_qdrant.collections.distance import is_similarity, normalized, score_to_distance
from tsds_qdrant.collections.edge.products import (
    BLOCK_FLOATS,
    EPS,
    SEARCHES,
    Share,
    side_by_side,
)
from tsds_qdrant.collections.hits import Hits, within
from tsds_qdrant.collections.ids import taken
from tsds_qdrant.collections.scanning import CPU
from tsds_qdrant.collections.values import Geometry, PointId

WHOLE = 8_192
"""Up to this many points the sample is all of them."""
SAMPLED = 16
"""Every which point is sampled of more."""
LARGEST_SAMPLE = 65_536
SLACK = 3.0
"""Standard errors by which a bar is lower than the sample says."""
PAIRS = 16_000_000
"""Pairs that are kept at once; where more reach their bars, the queries are asked in halves."""
RESCORED = 4_096
LOOSE = 1e-6
"""Relative: distances are rounded to float32 before they are compared with a maximum."""


INLINE = 1_000_000
"""Products up to this many are looked through by one thread: a second one costs more to start."""
Result = TypeVar("Result")
Ranked = tuple[IntArray, FloatArray]
"""Places of hits among the points, nearest first, and their scores."""


class _TooManyPairsError(Exception):
    """More pairs reach their bars than should be kept at once."""


@dataclass(frozen=True)
class LoadedVectors:
    """Points in memory, or mapped into it.

    Attributes:
        ids: (n,) their ids.
        matrix: (m, D) vectors, of unit length under Cosine.
        metric: Cosine, Dot, Product (all of unit length, but for rounding) or Euclid.
        rows: (n,) where in ``matrix`` the vector of each is; None if it is (n, D) and in order.
        device: what computes products; see :class:`~..scanning.Scanning`.
        release: called with bounds of rows that are done with for now; None keeps them mapped.
    """

    ids: Sequence[PointId]
    matrix: Float32Array
    metric: Geometry
    rows: IntArray | None = None
    device: str = CPU
    release: Callable[[int, int], None] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def search(
        self,
        queries: Float32Array,
        limit: int,
        max_distance: float | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Hits:
        """The ``limit`` nearest points of every row of ``queries`` (B, D); see Collection."""
        rows, limit = normalized(queries, self.metric), min(limit, len(self))
        step = len(rows) if max_distance is not None else max(1, PAIRS // max(1, 2 * limit))
        found: list[Ranked] = []
        for start in range(0, len(rows) if limit else 0, max(1, step)):
            part = rows[start : start + step]
            found += self._nearest(part, limit, max_distance, on_batch)
        found = found or [(np.empty(0, np.int64), np.empty(0))] * len(rows)
        places = np.concatenate([np.empty(0, np.int64), *(places for places, _ in found)])
        scores = np.concatenate([np.empty(0), *(scores for _, scores in found)])
        counts = np.array([len(places) for places, _ in found], dtype=np.int64)
        hits = Hits.of_scores(taken(self.ids, places), scores, counts, self.metric)
        return within(hits, max_distance)

    def _nearest(
        self,
        queries: Float32Array,
        limit: int,
        max_distance: float | None,
        on_batch: Callable[[int], None] | None,
    ) -> list[Ranked]:
        """Of each of ``queries`` (B, D) the hits, in halves where there are too many at once."""
        floor = self._floor(queries, max_distance)
        done = Share(len(queries), on_batch)
        found: list[Ranked] = [(np.empty(0, np.int64), np.empty(0))] * len(queries)
        rank, size = self._first_rank(limit)
        left = np.arange(len(queries))
        while len(left):
            bars = np.maximum(floor[left], self._bars(queries[left], rank, size))
            try:
                pairs = self._reaching(queries[left], bars, done)
            except _TooManyPairsError:
                half = len(queries) // 2
                parts = (queries[:half], queries[half:])
                return [x for q in parts for x in self._nearest(q, limit, max_distance, done.count)]
            ranked = self._ranked(queries[left], pairs, limit)
            whole = [
                bar == low or (len(one[0]) == limit and self._value(query, one[1][-1]) >= bar)
                for query, one, bar, low in zip(
                    queries[left], ranked, bars, floor[left], strict=True
                )
            ]
            for query, one in zip(left[whole], compress(ranked, whole), strict=True):
                found[query] = one
            left, rank = left[~np.array(whole)], 4 * rank
        done.reach(1.0)
        return found

    def _floor(self, queries: Float32Array, max_distance: float | None) -> FloatArray:
        """(B,) the value that everything within ``max_distance`` reaches; see :meth:`_value`."""
        if max_distance is None:
            return np.full(len(queries), -np.inf)
        reach = np.square(max_distance * (1 + LOOSE))
        if is_similarity(self.metric):
            return np.full(len(queries), 1.0 - reach / 2 - LOOSE)
        return (_squares(queries) - reach) / 2

    def _value(self, query: Float32Array, score: float) -> float:
        """What is compared with bars: the product, less half of the point's square if it counts."""
        if is_similarity(self.metric):
            return score
        return float(_squares(query[None, :])[0] - score * score) / 2

    def _first_rank(self, limit: int) -> tuple[int, int]:
        """Which value of a sample is the first bar, and the size of the sample."""
        size = len(self)
        if size <= WHOLE:
            return limit, size
        sampled = min(max(WHOLE, size // SAMPLED), LARGEST_SAMPLE)
        expected = limit * sampled / size
        return math.ceil(expected + SLACK * math.sqrt(expected) + SLACK), sampled

    def _bars(self, queries: Float32Array, rank: int, size: int) -> FloatArray:
        """(B,) the value that is ``rank``-th of a sample of ``size`` points."""
        if rank >= size:
            return np.full(len(queries), -np.inf)
        rows = self._order[1][np.arange(size) * len(self) // size]
        sample = self._rows(rows)
        penalty = self._penalty(sample)
        step = max(1, BLOCK_FLOATS // size)
        starts = range(0, len(queries), step)
        highest = self._side_by_side(
            lambda start: self._engine.highest(
                queries[start : start + step], sample, penalty, rank
            ),
            starts,
            len(queries) * size,
        )
        return np.concatenate([*highest]) - 2 * self._margin(queries)

    def _reaching(
        self, queries: Float32Array, bars: FloatArray, done: Share
    ) -> tuple[Int32Array, Int32Array]:
        """Pairs (query, place in the order of rows) that reach the ``bars`` (B,), or nearly."""
        rows, step = self._order[1], self._engine.block_rows(*queries.shape)
        lowered = bars - self._margin(queries)

        def look(start: int) -> tuple[Int32Array, Int32Array]:
            own = rows[start : start + step]
            block = self._rows(own)
            penalty, searches, places = self._penalty(block), [], []
            for first in range(0, len(queries), SEARCHES):
                some = slice(first, first + SEARCHES)
                pair = self._engine.reaching(queries[some], block, penalty, lowered[some])
                searches.append((pair[0] + first).astype(np.int32))
                places.append((pair[1] + start).astype(np.int32))
            if self.release is not None:
                self.release(int(own[0]), int(own[-1]) + 1)
            return np.concatenate(searches), np.concatenate(places)

        starts, kept, found = range(0, len(rows), step), 0, []
        for number, pair in enumerate(
            self._side_by_side(look, starts, len(rows) * len(queries)), 1
        ):
            found.append(pair)
            kept += len(pair[0])
            if kept > PAIRS and len(queries) > 1:
                raise _TooManyPairsError
            done.reach(0.95 * number / len(starts))
        return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])

    def _ranked(
        self, queries: Float32Array, pairs: tuple[Int32Array, Int32Array], limit: int
    ) -> list[Ranked]:
        """Places and float64 scores of the ``limit`` nearest of the ``pairs``, query by query."""
        search, spots = pairs
        order = np.argsort(search, kind="stable")
        spots, ends = spots[order], np.searchsorted(search[order], np.arange(len(queries) + 1))
        places, rows = self._order

        def rank(query: int) -> Ranked:
            own = spots[ends[query] : ends[query + 1]]
            scores = self._scores(queries[query], rows[own])
            number = places[own]
            if not (real := np.isfinite(scores)).all():
                scores, number = scores[real], number[real]
            nearest = np.lexsort((number, score_to_distance(scores, self.metric)))[:limit]
            return number[nearest], scores[nearest]

        work = len(spots) * queries.shape[1]
        return [*self._side_by_side(rank, range(len(queries)), work)]

    def _scores(self, query: Float32Array, rows: IntArray) -> FloatArray:
        """(n,) scores of ``query`` (D,) and ``rows`` (n,); each depends on its pair alone."""
        exact, scores = query.astype(np.float64), np.empty(len(rows))
        for start in range(0, len(rows), RESCORED):
            part = slice(start, start + RESCORED)
            points = self._rows(rows[part]).astype(np.float64)
            if is_similarity(self.metric):
                scores[part] = np.einsum("ij,j->i", points, exact)
            else:
                points -= exact
                scores[part] = np.sqrt(np.einsum("ij,ij->i", points, points))
        return scores

    def _rows(self, rows: IntArray) -> Float32Array:
        """The vectors at ``rows`` (n,), which need no copy where they stand side by side."""
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return self.matrix[int(rows[0]) : int(rows[-1]) + 1]
        return self.matrix[rows]

    def _penalty(self, block: Float32Array) -> FloatArray | None:
        """(n,) half the square of each point less its part of the error; None if it is no part."""
        if is_similarity(self.metric):
            return None
        return _squares(block) * (0.5 - self._error)

    def _margin(self, queries: Float32Array) -> FloatArray:
        """(B,) the part of the error of a value that does not depend on the point."""
        of_points = 1.0 if is_similarity(self.metric) else 0.0
        return self._error * (_squares(queries) / 2 + of_points)

    @property
    def _error(self) -> float:
        return (self.matrix.shape[1] + 2) * EPS

    def _side_by_side(
        self, work: Callable[[int], Result], items: Sequence[int], products: int
    ) -> Iterator[Result]:
        workers = self._engine.workers if products > INLINE else 1
        return side_by_side(work, items, workers)

    @cached_property
    def _order(self) -> tuple[IntArray, IntArray]:
        """(n,) places of the points in the order of their rows, and these rows."""
        rows = np.arange(len(self)) if self.rows is None else self.rows
        order = np.argsort(rows, kind="stable")
        return order, rows[order]


def _squares(rows: Float32Array) -> FloatArray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.einsum("ij,ij->i", rows, rows).astype(np.float64)
