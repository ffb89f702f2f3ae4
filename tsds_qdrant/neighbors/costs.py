"""What a scan and a walk take: which of them serves best is decided by that.

Inside this process that follows from counts, so that the same selection always asks the same; on a
server it is what its searches took so far.
"""

from __future__ import annotations

from tsds_qdrant.collections.values import CollectionInfo

PRODUCT_S = 2e-11
"""Of one number of a stored vector in a matrix product (100 GFLOP/s); graphs and products were
measured on the same two cores at 100,000 x 384."""
PICK_S = 5e-9
"""Of one point, to pick the hits of a product."""
ENGINE_S = 1.1e-10
"""Of one number in the embedded engine's own scan."""
WALK_S, WALKED_S = 1.5e-4, 3.4e-9
"""Of one walk, and of each number in the vectors of the ``ef`` candidates that it keeps."""


class Costs:
    """Seconds of one search in a batch; None as long as they are not known.

    Args:
        info: the searched collection.
    """

    def __init__(self, info: CollectionInfo) -> None:
        self._info = info
        self.timed = "://" in info.location and info.mirror is None
        self._scan: float | None = None
        self._walk: float | None = None

    def learn(self, searches: int, seconds: float, ef: int | None) -> None:
        """Take note of what ``searches`` took, walks with that ``ef`` or (None) scans."""
        if ef is None:
            self._scan = seconds / searches
        else:
            self._walk = seconds / searches / ef

    def scan(self) -> float | None:
        """Of one scan."""
        if self.timed:
            return self._scan
        points, dimension = self._info.count, self._info.dimension
        if self._info.scanner == "numpy":
            return points * (dimension * PRODUCT_S + PICK_S)
        return points * dimension * ENGINE_S

    def walk(self, ef: int) -> float | None:
        """Of one walk with that ``ef``."""
        if self.timed:
            return None if self._walk is None else self._walk * ef
        return WALK_S + WALKED_S * self._info.dimension * ef
