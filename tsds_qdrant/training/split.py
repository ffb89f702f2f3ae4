"""A split into training and validation rows that no pair of near-duplicates straddles.

Rows within the radius of each other form a group, as do rows joined by a chain of such pairs, and
groups are never split. Distances are computed for all pairs, in blocks, so nothing is missed; an
approximate index may miss some.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tsds_qdrant.arrays import BoolArray, Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.distance import normalized
from tsds_qdrant.collections.ids import KeyArray, id_order, uniform_noise
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import InputError
from tsds_qdrant.neighbors.geometry import join_groups
from tsds_qdrant.progress import Progress, silent

BLOCK_ENTRIES = 1 << 23
PAIR_NUMBERS = 1 << 23
"""Maximum number of coordinates compared in float64 at once."""
LOOKED_AT = 500
"""Rows by which a radius is suggested."""
SLACK = 1e-6
"""Pairs this much farther than the radius, in lengths of the vectors, still count as near: the
engine's distances are float32."""


def near_groups(
    vectors: Float32Array, radius: float, metric: Metric, progress: Progress = silent
) -> IntArray:
    """(n,) the group of each row of ``vectors`` (n, D): the number of the group's first row.

    Time grows with n^2 D, memory with n D.

    Args:
        vectors: as stored.
        radius: the bandwidth h, in the unit of ``metric``; 0 joins exact copies only.
        metric: of the collection.
        progress: called as ``progress("groups", rows done, rows)``.
    """
    rows = normalized(np.ascontiguousarray(vectors, dtype=np.float32), metric)
    groups = np.arange(len(rows))
    if not len(rows):
        return groups
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    reach = radius + SLACK * (radius + float(np.sqrt(squares.max())))
    for sure, first, second in _near_pairs(rows, squares, reach, metric, progress):
        join_groups(groups, first[sure], second[sure])
        apart = groups[first] != groups[second]
        first, second = first[apart], second[apart]
        step = max(1, PAIR_NUMBERS // rows.shape[1])
        for start in range(0, len(first), step):
            a, b = first[start : start + step], second[start : start + step]
            near = _distances(rows[a], rows[b], metric) <= reach
            join_groups(groups, a[near], b[near])
    return groups


def usual_radius(vectors: Float32Array, metric: Metric) -> float:
    """Within how far a tenth of the rows of ``vectors`` (n, D) have another, by some of them."""
    rows = normalized(np.ascontiguousarray(vectors[:LOOKED_AT], dtype=np.float32), metric)
    apart = [
        float(_distances(np.repeat(rows[k : k + 1], len(rows), axis=0), rows, metric)[others].min())
        for k in range(len(rows))
        if (others := np.arange(len(rows)) != k).any()
    ]
    return float(np.quantile(apart, 0.1)) if apart else 0.0


def validation_rows(
    groups: IntArray, weights: IntArray, keys: KeyArray, share: float, seed: int
) -> BoolArray:
    """(n,) which rows are for validation: whole groups, in an order that depends on seed and ids.

    A group is taken if the share is not passed by it (by more than half a row); if all groups are
    larger than the share, the smallest one is taken.

    Args:
        groups: (n,) as :func:`near_groups` gives.
        weights: (n,) how often each row counts.
        keys: (n, 3) id keys of the rows.
        share: of the weights, above 0 and below 1.
        seed: the same seed gives the same split.

    Raises:
        InputError: there is only one group.
    """
    by_id = id_order(keys)
    found, first, group_of = np.unique(groups[by_id], return_index=True, return_inverse=True)
    if len(found) < 2:
        raise InputError(
            f"all {len(groups)} rows are near-duplicates of each other, in one group that cannot "
            "be split; leave --validation out, or lower the radius"
        )
    sizes = np.bincount(group_of, weights=weights[by_id])
    # A group stands for its first id, so that large groups are not drawn more often than small.
    order = np.argsort(uniform_noise(keys[by_id[first]], seed), kind="stable")
    room = max(1.0, share * sizes.sum()) + 0.5
    taken = np.zeros(len(found), dtype=np.bool_)
    for group in order.tolist():
        if sizes[group] <= room:
            taken[group] = True
            room -= sizes[group]
    if not taken.any():
        taken[order[np.argmin(sizes[order])]] = True
    if taken.all():
        taken[order[-1]] = False
    chosen = np.empty(len(groups), dtype=np.bool_)
    chosen[by_id] = taken[group_of]
    return chosen


def _near_pairs(
    rows: Float32Array, squares: FloatArray, reach: float, metric: Metric, progress: Progress
) -> Iterator[tuple[BoolArray, IntArray, IntArray]]:
    """Pairs that may be within ``reach``, block by block, and which of them surely are.

    Squared Euclidean distances s come from float32 products, as v = (band l - s) / 2 with l the
    sum of both squared lengths; ``band`` bounds the rounding of s / l. As the Manhattan distance
    lies between the Euclidean one and sqrt(D) times that, they serve it too.
    """
    count, dimension = rows.shape
    band = 4.0 * (dimension + 8) * float(np.finfo(np.float32).eps)
    half = (0.5 * (1.0 - band) * squares).astype(np.float32)
    sure_reach = reach / np.sqrt(dimension) if metric == "Manhattan" else reach
    step = int(np.clip(BLOCK_ENTRIES // count, 16, 2048))
    for start in range(0, count, step):
        block = slice(start, start + step)
        values = rows[block] @ rows[start:].T
        values -= half[block, None]
        values -= half[None, start:]
        near = np.flatnonzero(values >= np.float32(-0.5 * reach**2))
        first, second = np.divmod(near, count - start)
        upper = first < second
        first, second = first[upper], second[upper]
        certain = -2.0 * values[first, second].astype(np.float64)
        first, second = first + start, second + start
        rounding = 2.0 * band * (squares[first] + squares[second])
        yield certain <= sure_reach**2 - rounding, first, second
        progress("groups", min(start + step, count), count)


def _distances(a: Float32Array, b: Float32Array, metric: Metric) -> FloatArray:
    """(n,) distances between rows of equal number, in float64."""
    apart = a.astype(np.float64) - b
    if metric == "Manhattan":
        sums: FloatArray = np.abs(apart).sum(axis=1)
        return sums
    roots: FloatArray = np.sqrt(np.einsum("ij,ij->i", apart, apart))
    return roots
