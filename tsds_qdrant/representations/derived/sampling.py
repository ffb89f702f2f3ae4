"""A seeded sample of what comes block by block."""

from __future__ import annotations

import numpy as np

from tsds_qdrant.arrays import IntArray


class Sampled:
    """Which of ``count`` items, counted as they come, belong to a sample.

    The same seed gives the same items, however they come.

    Args:
        count: how many items there are.
        most: how many of them are taken; all where there are no more.
    """

    def __init__(self, count: int, most: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        size = min(count, most)
        self._taken = np.sort(rng.choice(count, size=size, replace=False, shuffle=False))
        self._seen = 0

    def of(self, count: int) -> IntArray:
        """Numbers of the sampled ones among the ``count`` items that come next."""
        bounds = np.searchsorted(self._taken, [self._seen, self._seen + count])
        found: IntArray = self._taken[bounds[0] : bounds[1]] - self._seen
        self._seen += count
        return found
