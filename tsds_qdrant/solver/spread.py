"""How far probabilities must spread for a selection of n candidates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import FloatArray


def effective_sample_size(probabilities: FloatArray) -> float:
    """1 / sum p^2 of ``probabilities`` (N,) that sum to 1 (Kish)."""
    return float(1.0 / np.dot(probabilities, probabilities))


@dataclass(frozen=True)
class Spread:
    """What p must reach for n candidates: one of two numbers, as multiples of n.

    Attributes:
        different: of 1 / sum p^2 density, in which near-duplicates count as one: the inverse of
            the mean mass of the neighbourhoods (a similarity-sensitive diversity of order 2, as
            in Leinster and Cobbold 2012).
        effective: of the effective sample size, 1 / sum p^2.
    """

    different: float = math.inf
    effective: float = 1.0

    def enough_for(self, probabilities: FloatArray, densities: FloatArray) -> float:
        """The largest n for which p (N,) has spread far enough."""
        found = effective_sample_size(probabilities) / self.effective
        if math.isfinite(self.different):
            repeated = float(np.dot(probabilities * densities, probabilities))
            found = max(found, 1.0 / repeated / self.different)
        return found


PLAIN = Spread()
"""The effective sample size is n."""
