"""Distances to the nearest task example: the selection against the pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.neighbors.geometry import pairwise_distances

BINS = 40
BLOCK = 4_000_000
"""Maximum number of distances computed at once."""


@dataclass(frozen=True)
class DistanceHistogram:
    """Shares by distance to the nearest task example.

    Attributes:
        edges: (bins + 1,) in the unit of the metric.
        pool: (bins,) share of the pool sample in each bin, sum 1.
        selected: (bins,) share of the selection, sum 1.
        pool_median: median distance of the pool sample.
        selected_median: median distance of the selection.
    """

    edges: FloatArray
    pool: FloatArray
    selected: FloatArray
    pool_median: float
    selected_median: float


def nearest_distances(points: Float32Array, queries: Float32Array, metric: Metric) -> FloatArray:
    """(n,) distance of each of ``points`` (n, D) to the nearest of ``queries`` (M, D)."""
    rows = max(1, BLOCK // len(queries))
    parts = [
        pairwise_distances(points[start : start + rows], queries, metric).min(axis=1)
        for start in range(0, len(points), rows)
    ]
    return np.concatenate(parts).astype(np.float64)


def histogram(pool: FloatArray, selected: FloatArray, weights: FloatArray) -> DistanceHistogram:
    """Compare ``pool`` (n,) with ``selected`` (s,), which have ``weights`` (s,)."""
    both = np.concatenate([pool, selected])
    edges = np.histogram_bin_edges(both, bins=BINS)
    counted = np.histogram(pool, edges)[0] / len(pool)
    weighed = np.histogram(selected, edges, weights=weights)[0] / weights.sum()
    order = np.argsort(selected, kind="stable")
    middle = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    return DistanceHistogram(
        edges, counted, weighed, float(np.median(pool)), float(selected[order][middle])
    )
