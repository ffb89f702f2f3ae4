"""Kernel density of candidates: how many near-duplicates each one has.

    density_j = sum over x' in the pool of max(0, 1 - dist(x_j, x')^2 / h^2)

the Epanechnikov kernel of bandwidth h (arXiv 2410.11303, Section 4.2). The candidate itself
counts 1, so a density is at least 1; h = 0 makes every density 1.
"""

from __future__ import annotations

import numpy as np

from tsds_qdrant.arrays import BoolArray, FloatArray, IntArray
from tsds_qdrant.errors import SettingsError


def kernel(distances: FloatArray, bandwidth: float) -> FloatArray:
    """Epanechnikov kernel values of ``distances`` (n,): 1 at zero, 0 from ``bandwidth`` on.

    At bandwidth 0 every value is 0, even that of an exact copy.
    """
    if bandwidth == 0:
        return np.zeros(len(distances))
    with np.errstate(over="ignore"):  # far beyond a tiny bandwidth
        values: FloatArray = np.maximum(0.0, 1.0 - np.square(distances / bandwidth))
    return values


def densities_of(
    distances: FloatArray, counts: IntArray, is_self: BoolArray, bandwidth: float
) -> FloatArray:
    """Densities (B,) from the neighbourhoods of B candidates, one after the other.

    Args:
        distances: (n,) distances to the neighbours found.
        counts: (B,) neighbours of each candidate.
        is_self: (n,) where the neighbour is the candidate itself; left out and counted as 1, as
            an approximate search need not find it.
        bandwidth: h.
    """
    values = np.where(is_self, 0.0, kernel(distances, bandwidth))
    owner = np.repeat(np.arange(len(counts)), counts)
    sums = np.bincount(owner, weights=values, minlength=len(counts))
    return 1.0 + sums.astype(np.float64, copy=False)


def checked_bandwidth(bandwidth: float) -> float:
    """``bandwidth`` if it is finite and not negative.

    Raises:
        SettingsError: it is not.
    """
    if not 0.0 <= bandwidth < float("inf"):
        raise SettingsError(f"bandwidth is {bandwidth:g}; it must be 0 or more")
    return bandwidth
