"""Units of distance that a pool and a task set by themselves."""

from __future__ import annotations

import numpy as np

from tsds_qdrant.solver.lists import NeighborLists

BANDWIDTH_SHARE = 0.45
"""Derived bandwidth over typical distance; the reason is in
tsds_qdrant/strategies/README.md, "Choosing alpha, C and h"."""


def typical_distance(lists: NeighborLists) -> float:
    """The median distance at which the first ``lists`` of the task examples end."""
    ends = lists.distances[lists.offsets[1:] - 1]
    typical = float(np.median(ends))
    return typical or float(ends.max()) or 1.0
