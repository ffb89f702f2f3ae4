"""Mean and covariance of many rows, block by block, in float64."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray


class Moments:
    """Count, mean and scatter of all rows so far.

    Each block is centred by its own mean and merged (Chan, Golub, LeVeque 1983), so nothing
    cancels however far the rows lie from the origin.

    Attributes:
        count: n rows.
        mean: (D,).
        scatter: (D, D) sum of the outer products of the centred rows.
    """

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.mean: FloatArray = np.zeros(dimension)
        self.scatter: FloatArray = np.zeros((dimension, dimension))

    def add(self, rows: Float32Array) -> None:
        """Count the ``rows`` (n, D) in."""
        centred = rows.astype(np.float64)
        mean = centred.mean(axis=0)
        centred -= mean
        total = self.count + len(rows)
        apart = mean - self.mean
        self.scatter += centred.T @ centred
        self.scatter += np.outer(apart, apart) * (self.count * len(rows) / total)
        self.mean += apart * (len(rows) / total)
        self.count = total

    @property
    def covariance(self) -> FloatArray:
        """(D, D) the scatter over n."""
        divided: FloatArray = self.scatter / self.count
        return divided


def ledoit_wolf(
    blocks: Iterable[Float32Array], mean: FloatArray, covariance: FloatArray, count: int
) -> float:
    """The share of the scaled identity that makes a covariance of few rows least wrong.

    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices"
    (2004).

    Args:
        blocks: the ``count`` rows again.
        mean: (D,) of them.
        covariance: (D, D) of them.
    """
    dimension = len(mean)
    fourth = 0.0
    for rows in blocks:
        fourth += float(np.square(np.square(rows - mean).sum(axis=1)).sum())
    square = float(np.square(covariance).sum())
    wanted = square - float(np.trace(covariance)) ** 2 / dimension
    wrong = min((fourth / count - square) / count, wanted)
    return wrong / wanted if wrong > 0 else 0.0
