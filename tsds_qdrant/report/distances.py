"""Distances to the nearest task example: the selection against the pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import FloatArray

BINS = 40


@dataclass(frozen=True)
class DistanceHistogram:
    """Shares by distance to the nearest task example.

    Attributes:
        edges: (bins + 1,) in the unit of the metric.
        pool: (bins,) share of the pool sample in each bin, sum 1.
        selected: (bins,) share of the selection, sum 1; all 0 where none of it was measured.
        pool_median: median distance of the pool sample.
        selected_median: median distance of the selection; None where none of it was measured.
        measured: how many of the selected candidates have a known distance.
    """

    edges: FloatArray
    pool: FloatArray
    selected: FloatArray
    pool_median: float
    selected_median: float | None
    measured: int


def histogram(pool: FloatArray, selected: FloatArray, weights: FloatArray) -> DistanceHistogram:
    """Compare ``pool`` (n,) with ``selected`` (s,), which have ``weights`` (s,).

    A distance of ``selected`` that is NaN, as of a point that is no longer stored, is left out.
    """
    known = ~np.isnan(selected)
    selected, weights = selected[known], weights[known]
    edges = np.histogram_bin_edges(np.concatenate([pool, selected]), bins=BINS)
    counted = np.histogram(pool, edges)[0] / len(pool)
    pool_median = float(np.median(pool))
    if not len(selected):
        return DistanceHistogram(edges, counted, np.zeros(BINS), pool_median, None, 0)
    weighed = np.histogram(selected, edges, weights=weights)[0] / weights.sum()
    order = np.argsort(selected, kind="stable")
    middle = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    median = float(selected[order][middle])
    return DistanceHistogram(edges, counted, weighed, pool_median, median, len(selected))
