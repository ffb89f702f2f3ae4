"""The points of the two-dimensional map, with their texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.report.projection import project

EXAMPLE_POINTS = 500
SELECTED_POINTS = 1_000


@dataclass(frozen=True)
class Layer:
    """Points of one kind.

    Attributes:
        places: (n, 2) coordinates.
        labels: n labels.
        total: how many points of this kind there are, shown or not.
    """

    places: FloatArray
    labels: list[str]
    total: int


@dataclass(frozen=True)
class PointMap:
    """Pool, task examples and selection in one plane.

    Attributes:
        pool, examples, selected: the layers, from back to front.
        variance: share of the points' variance that the plane shows.
        fitted: how many points the plane was fitted to.
    """

    pool: Layer
    examples: Layer
    selected: Layer
    variance: float
    fitted: int


@dataclass(frozen=True)
class Points:
    """Vectors (n, D) with their labels, of ``total`` points of their kind."""

    vectors: Float32Array
    labels: list[str]
    total: int


def point_map(
    pool: Points, examples: Points, selected: Points, metric: Metric, seed: int
) -> PointMap:
    """Project three kinds of points into one plane."""
    kinds: Sequence[Points] = (pool, examples, selected)
    projection = project(np.concatenate([kind.vectors for kind in kinds]), metric, seed)
    cuts = np.cumsum([len(kind.vectors) for kind in kinds])[:-1]
    back, middle, front = (
        Layer(places, kind.labels, kind.total)
        for places, kind in zip(np.split(projection.places, cuts), kinds, strict=True)
    )
    return PointMap(back, middle, front, projection.variance, projection.fitted)
