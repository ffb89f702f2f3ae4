"""What Qdrant's rounding leaves of small distances, and of densities over them.

Where distances follow from products p of unit vectors, as sqrt(2 - 2 p), the error of a product is
that of half a squared distance, however small that is: two copies may lie as far apart as
:func:`smallest_distance`. A kernel of bandwidth h is off by its square over h^2.
"""

from __future__ import annotations

import math

from tsds_qdrant.collections.distance import is_similarity
from tsds_qdrant.collections.values import CollectionInfo

PRODUCT_ERROR = 2.5e-7
"""Largest error of a product of unit vectors in float32, at 32 to 3,072 dimensions."""
HALF_ERROR, HALF_ERROR_MOST = 2.4e-3, 9.8e-4
"""In float16, times one over the root of the dimensions, and at most."""
TOLERATED = 0.01
"""Relative error of a kernel from which on a bandwidth is called narrow."""


def smallest_distance(info: CollectionInfo) -> float:
    """Distances below this one say nothing; 0 where they do."""
    if not is_similarity(info.metric) or not info.recomputable:
        return 0.0
    error = PRODUCT_ERROR
    if info.datatype == "float16":
        error = min(HALF_ERROR_MOST, HALF_ERROR / math.sqrt(info.dimension))
    return math.sqrt(2 * error)


def narrow_bandwidth(info: CollectionInfo, bandwidth: float) -> str:
    """One sentence on a ``bandwidth`` at which rounding shows in densities; "" for others."""
    smallest = smallest_distance(info)
    if not 0 < bandwidth < smallest / math.sqrt(TOLERATED):
        return ""
    error = min(1.0, smallest / bandwidth) ** 2
    enough = math.ceil(1e4 * smallest / math.sqrt(TOLERATED)) / 1e4
    return (
        f"the bandwidth {bandwidth:.3g} is narrow for {info.metric} distances in {info.datatype}, "
        f"of which those below {smallest:.1g} are rounding, exact or not: what a near-duplicate "
        f"adds to a density may be off by {100 * error:.0f} %; set it to {enough:g} or more, or "
        f"to 0"
    )
