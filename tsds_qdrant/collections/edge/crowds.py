"""Crowds: queries so close together that the same few points are near to all of them.

Near-copies come by the hundred, and the density of each is wanted. Whatever lies within a radius of
one of them lies within that radius, and the farthest of the crowd, of the crowd's middle, as
distances obey the triangle inequality. So one query finds the points that any of them can find.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.distance import is_similarity
from tsds_qdrant.collections.values import Geometry

SMALLEST = 32
"""Queries of a crowd, at least."""
LOOKED_AT = 8
"""One query in this many may be the middle of a crowd."""
TOGETHER = 1_024
"""Queries that crowds are looked for among at once."""
SLACK = 1e-4
"""Relative: by so much more is asked for than the triangle inequality says, because of rounding."""
METRICS: tuple[Geometry, ...] = ("Cosine", "Euclid")
"""Those under which equal vectors are at distance 0, whatever rounding does to their lengths."""


@dataclass(frozen=True)
class Crowd:
    """Some of the queries.

    Attributes:
        middle: number of the query that the others lie around.
        members: (n,) numbers of all of them.
        reach: distance from the middle within which lies whatever one of them finds.
    """

    middle: int
    members: IntArray
    reach: float


def crowds(queries: Float32Array, metric: Geometry, radius: float) -> Iterator[Crowd]:
    """Crowds among ``queries`` (B, D), of unit length under Cosine, within ``radius`` of a middle.

    Every query is in one of them at most.
    """
    if metric not in METRICS or not radius > 0:
        return
    for start in range(0, len(queries), TOGETHER):
        block = queries[start : start + TOGETHER]
        if len(block) < SMALLEST:
            return
        distances = _distances(block[::LOOKED_AT], block, metric)
        near = distances <= radius
        while True:
            counts = near.sum(axis=1)
            row = int(counts.argmax())
            if counts[row] < SMALLEST:
                break
            members = np.flatnonzero(near[row])
            reach = (radius + float(distances[row, members].max())) * (1 + SLACK)
            yield Crowd(start + LOOKED_AT * row, start + members, reach)
            near[:, members] = False


def _distances(rows: Float32Array, others: Float32Array, metric: Geometry) -> FloatArray:
    """(n, m) distances of ``rows`` and ``others``, in float64."""
    a, b = rows.astype(np.float64), others.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        products = a @ b.T
        if is_similarity(metric):
            squares = 2.0 - 2.0 * products
        else:
            one, other = np.einsum("ij,ij->i", a, a), np.einsum("ij,ij->i", b, b)
            squares = one[:, None] + other - 2.0 * products
        found: FloatArray = np.sqrt(np.maximum(squares, 0.0))
    return found
