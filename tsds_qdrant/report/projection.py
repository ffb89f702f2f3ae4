"""A map of the pool, the task and the selection in two dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.collections.distance import normalized
from tsds_qdrant.collections.values import Metric

FITTED = 1_000
"""The axes are fitted to at most this many points."""


@dataclass(frozen=True)
class Projection:
    """Points on the two principal axes.

    Attributes:
        places: (n, 2) coordinates.
        variance: share of the points' variance that the two axes show.
        fitted: how many of the points the axes were fitted to.
    """

    places: FloatArray
    variance: float
    fitted: int


def project(vectors: Float32Array, metric: Metric, seed: int) -> Projection:
    """Principal components of ``vectors`` (n, D), by a singular value decomposition."""
    points = normalized(vectors, metric).astype(np.float64)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(points))[:FITTED])
    points -= points[rows].mean(axis=0)
    _, _, axes = np.linalg.svd(points[rows], full_matrices=False)
    axes = axes[:2]
    # A decomposition leaves the signs open: the largest part of an axis is positive here.
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]
    places = np.zeros((len(points), 2))
    places[:, : len(axes)] = points @ axes.T
    total = float(np.square(points).sum())
    shown = float(np.square(places).sum()) / total if total else 1.0
    return Projection(places, shown, len(rows))
