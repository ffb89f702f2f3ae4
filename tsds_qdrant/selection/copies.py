"""Near copies: a ranking whose like candidates come one at a time.

A pure ranking takes every copy of its best candidate. So each candidate that lies within a radius
of one that comes before it, and is no near copy itself, is passed over: it comes behind all that
are none, and is drawn only where these are too few. The order is walked once, so that smaller
samples stay inside of larger ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tsds_qdrant.arrays import BoolArray, Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.distance import cosine_lengths
from tsds_qdrant.collections.ids import PointIndex
from tsds_qdrant.collections.lengths import needs_direction
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.neighbors.geometry import distance_blocks
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.pool.pool import vectors_found

RADIUS = 0.1
"""Between directions: a cosine of .995."""
MOST_COMPARED = 20_000
"""Of more candidates that are no near copies, later ones are compared with these first ones."""
BLOCK = 1_024
MARGIN = 1e-4
"""Squared distances of float32 products are off by less; who is nearer is compared in float64."""


def radius_in(info: CollectionInfo, wanted: float | None) -> float:
    """The distance within which candidates count as near copies; 0: equal vectors alone.

    Where distances are those of directions it is :data:`RADIUS` by default.
    """
    if not info.recomputable:
        return 0.0
    if wanted is not None:
        return wanted
    return RADIUS if needs_direction(info.metric) else 0.0


@dataclass
class NearCopies:
    """Which candidates of a ranking are near copies of others that come before them.

    Attributes:
        searcher: knows the pool.
        radius: see :func:`radius_in`.
        known: id -> whether it is a near copy in the same ranking, as an earlier look has found.
        passed: the same, of all that were looked at.
    """

    searcher: Searcher
    radius: float
    known: Mapping[PointId, bool] = field(default_factory=dict)
    passed: dict[PointId, bool] = field(default_factory=dict)
    _walk: _Walk | None = field(default=None, init=False)

    def among(self, index: PointIndex, candidates: IntArray) -> BoolArray:
        """(c,) which of ``candidates``, best first, are near copies of earlier ones."""
        ids = index.ids(candidates.tolist())
        found: BoolArray
        if self.known and all(one in self.known for one in ids):
            found = np.array([self.known[one] for one in ids], dtype=np.bool_)
        else:
            walk = self._walk
            if walk is None or any(one != other for one, other in zip(ids, walk.ids, strict=False)):
                walk, self.passed = _Walk(self.searcher, self.radius), {}
            walk.go_on(ids)
            self._walk, found = walk, np.array(walk.copies[: len(ids)], dtype=np.bool_)
        # Subtle: where a budget asks for more and then for less, all of it is asked for again.
        self.passed |= dict(zip(ids, found.tolist(), strict=True))
        return found


class _Walk:
    """A walk through a ranking, as far as it has come."""

    def __init__(self, searcher: Searcher, radius: float) -> None:
        self.ids: list[PointId] = []
        self.copies: list[bool] = []
        self._searcher = searcher
        self._info = searcher.info
        self._radius = radius
        self._taken: list[Float32Array] = []
        self._held = 0
        self._seen: set[bytes] = set()

    def go_on(self, ids: list[PointId]) -> None:
        """Go on to all ``ids``, which begin with those that were passed already."""
        for start in range(len(self.ids), len(ids), BLOCK):
            block = ids[start : start + BLOCK]
            has, rows = vectors_found(self._searcher.collection, block, self._info)
            found = np.zeros(len(block), dtype=np.bool_)
            found[has] = self._block(rows)
            self.ids += block
            self.copies += found.tolist()

    def _block(self, rows: Float32Array) -> BoolArray:
        """(b,) which of ``rows`` are near copies; the others are taken."""
        copies = np.zeros(len(rows), dtype=np.bool_)
        for k, row in enumerate(rows):
            mark = row.tobytes()
            copies[k] = mark in self._seen
            self._seen.add(mark)
        if self._radius > 0 and len(rows):
            fresh = np.flatnonzero(~copies)
            copies[fresh] = self._near(rows[fresh])
        return copies

    def _near(self, rows: Float32Array) -> BoolArray:
        near = np.zeros(len(rows), dtype=np.bool_)
        for taken in self._taken:
            left = np.flatnonzero(~near)
            near[left[_pairs(rows[left], taken, self._radius, self._info)[0]]] = True
        later, earlier = _pairs(rows, rows, self._radius, self._info)
        before: dict[int, list[int]] = {}
        for one, other in zip(later.tolist(), earlier.tolist(), strict=True):
            if other < one:
                before.setdefault(one, []).append(other)
        for one in sorted(before):
            near[one] = near[one] or not near[before[one]].all()
        if self._held < MOST_COMPARED:
            self._taken.append(rows[~near])
            self._held += int(np.count_nonzero(~near))
        return near


def _pairs(
    rows: Float32Array, others: Float32Array, radius: float, info: CollectionInfo
) -> tuple[IntArray, IntArray]:
    """Pairs of a row of ``rows`` (n, D) and one of ``others`` (k, D) within ``radius``.

    *subtle*: whether a pair is one depends on its two vectors alone, not on what else is compared.
    """
    nothing = np.empty(0, dtype=np.int64)
    if not len(rows) or not len(others):
        return nothing, nothing
    if not needs_direction(info.metric):
        found = [nothing], [nothing]
        for part, block in distance_blocks(rows, others, info.geometry):
            one, other = np.nonzero(block <= radius)
            found[0].append(one + part.start)
            found[1].append(other)
        return np.concatenate(found[0]), np.concatenate(found[1])
    a, b = _directions(rows), _directions(others)
    products = a.astype(np.float32) @ b.astype(np.float32).T
    one, other = np.nonzero(products >= 1.0 - radius * radius / 2.0 - MARGIN)
    near = np.empty(len(one), dtype=np.bool_)
    for start in range(0, len(one), BLOCK):
        some = slice(start, start + BLOCK)
        between = a[one[some]] - b[other[some]]
        near[some] = np.einsum("ij,ij->i", between, between) <= radius * radius
    return one[near], other[near]


def _directions(rows: Float32Array) -> FloatArray:
    exact = rows.astype(np.float64)
    unit: FloatArray = exact / cosine_lengths(exact)
    return unit
