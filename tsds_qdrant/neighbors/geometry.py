"""Distances between rows in memory, and the groups that near rows form.

Rows are as stored and as searched for, and ``metric`` is the collection's geometry.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.distance import cosine_lengths, normalized, score_to_distance
from tsds_qdrant.collections.values import Geometry

BLOCK_ENTRIES = 4_000_000
"""Distances held at once: 32 MB."""
NEAREST_MARGIN = 4e-8
"""Times the coordinates' size and number: so far off a distance by a matrix product may be."""


def pairwise_distances(a: Float32Array, b: Float32Array, metric: Geometry) -> Float32Array:
    """(len(a), len(b)) distances in float32 arithmetic, good to about 1e-3 near zero."""
    if metric == "Manhattan":
        rows = [np.abs(b - row).sum(axis=1) for row in a]
        return np.stack(rows).astype(np.float32, copy=False)
    if metric == "Product":
        chords: Float32Array = np.sqrt(np.maximum(2.0 - 2.0 * (a @ b.T), 0.0))
        return chords
    a, b = normalized(a, metric), normalized(b, metric)
    squared = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b)[None, :]
    squared -= 2 * (a @ b.T)
    distances: Float32Array = np.sqrt(np.maximum(squared, 0.0))
    return distances


def nearest(
    rows: Float32Array, others: Float32Array, metric: Geometry
) -> tuple[IntArray, FloatArray]:
    """Which of ``others`` (k, D) is nearest to each of ``rows`` (n, D), and how far: (n,), (n,).

    *subtle*: a matrix product only finds who can be nearest; those are compared pair by pair, so
    that the answer for a row does not depend on the other rows, and the first of equals is named.
    """
    which = np.empty(len(rows), dtype=np.int64)
    distance = np.empty(len(rows))
    a, b = _prepared(rows, others, metric)
    longest = np.abs(a).max(initial=0.0) + np.abs(b).max(initial=0.0)
    margin = NEAREST_MARGIN * b.shape[1] * float(longest)
    for part, block in _blocks(a, b, metric):
        row, other = np.nonzero(block <= block.min(axis=1, keepdims=True) + margin)
        found = _apart(a[part], b, row, other, metric)
        order = np.lexsort((other, found, row))
        first = order[np.r_[True, np.diff(row[order]) > 0]]
        which[part], distance[part] = other[first], found[first]
    return which, distance


def _apart(
    a: FloatArray, b: FloatArray, row: IntArray, other: IntArray, metric: Geometry
) -> FloatArray:
    """(p,) distances of the pairs (a[row], b[other]); each depends on its pair alone."""
    found = np.empty(len(row))
    step = max(1, BLOCK_ENTRIES // b.shape[1])
    for start in range(0, len(row), step):
        pairs = slice(start, start + step)
        if metric == "Product":
            products = (a[row[pairs]] * b[other[pairs]]).sum(axis=1)
            found[pairs] = score_to_distance(products, metric)
            continue
        between = a[row[pairs]] - b[other[pairs]]
        if metric == "Manhattan":
            found[pairs] = np.abs(between).sum(axis=1)
        else:
            found[pairs] = np.sqrt(np.square(between).sum(axis=1))
    if metric == "Cosine":  # a zero vector is not between two others: its product is 0
        left, right = np.flatnonzero(~a.any(axis=1)), np.flatnonzero(~b.any(axis=1))
        found[np.isin(row, left) | np.isin(other, right)] = np.sqrt(2.0)
    return found


def near_duplicate_share(rows: Float32Array, radius: float, metric: Geometry) -> float:
    """Share of ``rows`` (n, D) with another row within ``radius``; 0 if that is 0."""
    if radius == 0:
        return 0.0
    repeated = 0
    for part, block in distance_blocks(rows, rows, metric):
        block[np.arange(len(block)), np.arange(part.start, part.stop)] = np.inf
        repeated += int(np.count_nonzero(block.min(axis=1) <= radius))
    return repeated / len(rows)


def distance_blocks(
    rows: Float32Array, others: Float32Array, metric: Geometry
) -> Iterator[tuple[slice, FloatArray]]:
    """Distances from ``rows`` (n, D) to ``others`` (k, D) in float64: slices of rows, (b, k)."""
    yield from _blocks(*_prepared(rows, others, metric), metric)


def _blocks(a: FloatArray, b: FloatArray, metric: Geometry) -> Iterator[tuple[slice, FloatArray]]:
    size = max(1, BLOCK_ENTRIES // len(b))
    for start in range(0, len(a), size):
        part = slice(start, min(start + size, len(a)))
        if metric == "Manhattan":
            yield part, np.stack([np.abs(b - row).sum(axis=1) for row in a[part]])
            continue
        products = a[part] @ b.T
        lengths: FloatArray | float = 2.0  # of two unit vectors, squared and added
        if metric == "Euclid":
            lengths = np.square(a[part]).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
        yield part, np.sqrt(np.maximum(lengths - 2.0 * products, 0.0))


def join_groups(groups: IntArray, first: IntArray, second: IntArray) -> None:
    """Join the groups of ``first`` (e,) and ``second`` (e,), pair by pair; in place.

    A group has the number of its smallest member, so ``np.arange(n)`` before the first call says
    that each of n members is alone, and afterwards ``groups`` has their connected components.

    Args:
        groups: (n,) the group of each member.
        first: numbers of members.
        second: the other member of each pair.
    """
    while len(first):
        a, b = groups[first], groups[second]
        apart = a != b
        first, second, a, b = first[apart], second[apart], a[apart], b[apart]
        np.minimum.at(groups, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(groups, upper := groups[groups]):
            groups[:] = upper


def _prepared(
    rows: Float32Array, others: Float32Array, metric: Geometry
) -> tuple[FloatArray, FloatArray]:
    """Both in float64: of unit length where angles count, around their mean under Euclid."""
    a, b = rows.astype(np.float64), others.astype(np.float64)
    if metric in ("Cosine", "Dot"):
        a, b = a / cosine_lengths(a), b / cosine_lengths(b)
    if metric in ("Cosine", "Dot", "Product"):
        return a, b
    middle = b.mean(axis=0)
    return a - middle, b - middle
