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
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import compress
from typing import TypeVar

import numpy as np

from tsds_qdrant.arrays import BoolArray, Float32Array, FloatArray, Int32Array
from tsds_qdrant.collections.edge.compared import Compared
from tsds_qdrant.collections.edge.crowds import crowds
from tsds_qdrant.collections.edge.products import (
    BLOCK_FLOATS,
    INLINE,
    SEARCHES,
    Products,
    Share,
    side_by_side,
)
from tsds_qdrant.collections.edge.ranking import Ranked, ranked_among, ranked_pairs

WHOLE = 8_192
"""Up to this many points the sample is all of them."""
SAMPLED = 16
"""Of more points, one in this many is sampled."""
LARGEST_SAMPLE = 32_768
SLACK = 3.0
"""Standard errors by which a bar is lower than the sample says."""
PAIRS = 16_000_000
"""Pairs that are kept at once; where more reach their bars, the queries are asked in halves."""
RARELY = 10
"""Points near a crowd are compared with each of it in float64, unless one in this many is near."""
Result = TypeVar("Result")


class _TooManyPairsError(Exception):
    """More pairs reach their bars than should be kept at once."""


@dataclass(frozen=True)
class Scan:
    """Searches of all points.

    Attributes:
        compared: the points.
        products: computes products.
    """

    compared: Compared
    products: Products

    def nearest(
        self,
        queries: Float32Array,
        limit: int,
        max_distance: float | None,
        on_batch: Callable[[int], None] | None = None,
    ) -> list[Ranked]:
        """Of each of ``queries`` (B, D) the ``limit`` nearest, and perhaps some that are too far.

        Where too many may be near at once, the queries are asked in halves.
        """
        floor = self.compared.floor(queries, max_distance)
        done = Share(len(queries), on_batch)
        found: list[Ranked] = [(np.empty(0, np.int64), np.empty(0))] * len(queries)
        alone = np.ones(len(queries), dtype=np.bool_)
        for query, one in self._of_crowds(queries, limit, max_distance):
            found[query], alone[query] = one, False
        rank, size = self._first_rank(limit)
        left = np.flatnonzero(alone)
        while len(left):
            bars = np.maximum(floor[left], self._bars(queries[left], rank, size))
            try:
                pairs = self._reaching(queries[left], bars, done)
            except _TooManyPairsError:
                half = len(left) // 2
                for part in (left[:half], left[half:]):
                    more = self.nearest(queries[part], limit, max_distance, done.count)
                    for query, one in zip(part.tolist(), more, strict=True):
                        found[query] = one
                break
            ranked = ranked_pairs(self.compared, queries[left], pairs, limit)
            reached = [
                len(one[0]) == limit and self.compared.value(query, one[1][-1]) >= bar
                for query, one, bar in zip(queries[left], ranked, bars, strict=True)
            ]
            whole: BoolArray = (bars == floor[left]) | np.array(reached)
            for query, one in zip(left[whole], compress(ranked, whole.tolist()), strict=True):
                found[query] = one
            left, rank = left[~whole], 4 * rank
        done.reach(1.0)
        return found

    def _of_crowds(
        self, queries: Float32Array, limit: int, max_distance: float | None
    ) -> Iterator[tuple[int, Ranked]]:
        """Answers to those of ``queries`` that come in crowds, where few points are near them."""
        if max_distance is None:
            return
        compared = self.compared
        met = [*crowds(queries, compared.metric, max_distance)]
        if not met:
            return
        middles = queries[[crowd.middle for crowd in met]]
        bars = compared.floor(middles, np.array([crowd.reach for crowd in met]))
        try:
            search, spots = self._reaching(middles, bars, Share(0, None))
        except _TooManyPairsError:
            return
        most = min(len(compared.rows) // RARELY, BLOCK_FLOATS // queries.shape[1])
        order, ends = np.argsort(search, kind="stable"), np.arange(len(met) + 1)
        spots, ends = spots[order], np.searchsorted(search[order], ends)
        for number, crowd in enumerate(met):
            own = np.sort(spots[ends[number] : ends[number + 1]])
            if len(own) <= most:
                ranked = ranked_among(compared, own, queries[crowd.members], limit, max_distance)
                yield from zip(crowd.members.tolist(), ranked, strict=True)

    def _first_rank(self, limit: int) -> tuple[int, int]:
        """Which value of a sample is the first bar, and the size of the sample."""
        size = len(self.compared.rows)
        if size <= WHOLE:
            return limit, size
        sampled = min(max(WHOLE, size // SAMPLED), LARGEST_SAMPLE)
        expected = limit * sampled / size
        return math.ceil(expected + SLACK * math.sqrt(expected) + SLACK), sampled

    def _bars(self, queries: Float32Array, rank: int, size: int) -> FloatArray:
        """(B,) the value that is ``rank``-th of a sample of ``size`` points."""
        if rank >= size:
            return np.full(len(queries), -np.inf)
        rows = self.compared.rows[np.arange(size) * len(self.compared.rows) // size]
        sample = self.compared.at(rows)
        penalty = self.compared.penalty(sample)
        step = max(1, BLOCK_FLOATS // size)
        starts = range(0, len(queries), step)
        highest = self._side_by_side(
            lambda start: self.products.highest(
                queries[start : start + step], sample, penalty, rank
            ),
            starts,
            len(queries) * size,
        )
        return np.concatenate([*highest]) - 2 * self.compared.margin(queries)

    def _reaching(
        self, queries: Float32Array, bars: FloatArray, done: Share
    ) -> tuple[Int32Array, Int32Array]:
        """Pairs (query, place in the order of rows) that reach the ``bars`` (B,), or nearly."""
        rows, step = self.compared.rows, self.products.block_rows(*queries.shape)
        lowered = bars - self.compared.margin(queries)

        def look(start: int) -> tuple[Int32Array, Int32Array]:
            own = rows[start : start + step]
            block = self.compared.at(own)
            penalty, searches, places = self.compared.penalty(block), [], []
            for first in range(0, len(queries), SEARCHES):
                some = slice(first, first + SEARCHES)
                pair = self.products.reaching(queries[some], block, penalty, lowered[some])
                searches.append((pair[0] + first).astype(np.int32))
                places.append((pair[1] + start).astype(np.int32))
            self.compared.done_with(block.nbytes)
            return np.concatenate(searches), np.concatenate(places)

        starts, kept, found = range(0, len(rows), step), 0, []
        with closing(self._side_by_side(look, starts, len(rows) * len(queries))) as looked:
            for number, pair in enumerate(looked, 1):
                found.append(pair)
                kept += len(pair[0])
                if kept > PAIRS and len(queries) > 1:
                    raise _TooManyPairsError
                if number < len(starts):
                    done.reach(number / len(starts))
        return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])

    def _side_by_side(
        self, work: Callable[[int], Result], items: Sequence[int], products: int
    ) -> Generator[Result, None, None]:
        """``work`` of each of the ``items``, which looks through that many ``products`` in all."""
        return side_by_side(work, items, self.products.workers if products > INLINE else 1)
