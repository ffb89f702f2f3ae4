"""What a selection is like: how it covers the task, how near it stays, how often it repeats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.collections.protocol import Float32Array, Metric
from tsds_qdrant.lists import FloatArray, IntArray

BLOCK_ENTRIES = 4_000_000
"""Distances held at once: 32 MB."""
TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Quality:
    """Measures of one selection.

    Attributes:
        coverage: mean distance from a task example to the nearest selected candidate.
        covered: share of the task examples that have one within the typical distance.
        distance: mean distance from a selected candidate to the nearest task example.
        near_duplicates: share of the selected with another selected one within the bandwidth.
    """

    coverage: float
    covered: float
    distance: float
    near_duplicates: float


def measure(
    selected: Float32Array,
    queries: Float32Array,
    weights: FloatArray,
    metric: Metric,
    *,
    typical: float,
    bandwidth: float,
) -> Quality:
    """Measure a selection.

    Args:
        selected: (n, D) vectors of the selected candidates.
        queries: (M, D) vectors of the task examples.
        weights: (M,) sum 1; how much each task example counts.
        metric: of the collection.
        typical: the distance within which a task example counts as covered.
        bandwidth: h, the distance within which candidates count as near-duplicates.
    """
    _, to_selected = nearest(queries, selected, metric)
    _, to_queries = nearest(selected, queries, metric)
    return Quality(
        coverage=float(weights @ to_selected),
        covered=float(weights @ (to_selected <= typical)),
        distance=float(to_queries.mean()),
        near_duplicates=near_duplicate_share(selected, bandwidth, metric),
    )


def nearest(
    rows: Float32Array, others: Float32Array, metric: Metric
) -> tuple[IntArray, FloatArray]:
    """Which of ``others`` (k, D) is nearest to each of ``rows`` (n, D), and how far: (n,), (n,)."""
    which = np.empty(len(rows), dtype=np.int64)
    distance = np.empty(len(rows))
    for part, block in distance_blocks(rows, others, metric):
        which[part] = block.argmin(axis=1)
        distance[part] = block[np.arange(len(block)), which[part]]
    return which, distance


def near_duplicate_share(rows: Float32Array, radius: float, metric: Metric) -> float:
    """Share of ``rows`` (n, D) with another row within ``radius``; 0 if that is 0."""
    if radius == 0:
        return 0.0
    repeated = 0
    for part, block in distance_blocks(rows, rows, metric):
        block[np.arange(len(block)), np.arange(part.start, part.stop)] = np.inf
        repeated += int(np.count_nonzero(block.min(axis=1) <= radius))
    return repeated / len(rows)


def distance_blocks(
    rows: Float32Array, others: Float32Array, metric: Metric
) -> Iterator[tuple[slice, FloatArray]]:
    """Distances from ``rows`` (n, D) to ``others`` (k, D) in float64: slices of rows, (b, k)."""
    a, b = _prepared(rows, others, metric)
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


def _prepared(
    rows: Float32Array, others: Float32Array, metric: Metric
) -> tuple[FloatArray, FloatArray]:
    """Both in float64: of unit length where angles count, around their mean under Euclid."""
    a, b = rows.astype(np.float64), others.astype(np.float64)
    if metric in ("Cosine", "Dot"):
        for each in (a, b):
            each /= np.maximum(np.linalg.norm(each, axis=1, keepdims=True), TINY)
        return a, b
    middle = b.mean(axis=0)
    return a - middle, b - middle
