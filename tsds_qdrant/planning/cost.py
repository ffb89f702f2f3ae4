"""Cost: what a selection will take on a collection, from a few searches timed there.

The number of searches follows from the task and the size alone, see
:func:`~tsds_qdrant.neighbors.expected.expected_searches`. How long one takes is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.neighbors.deepening import FIRST_DEPTH
from tsds_qdrant.neighbors.expected import expected_searches
from tsds_qdrant.neighbors.search import Searcher

REPEATED_EXACTLY = 64
"""Scans that choose ef and measure recall, where searches are approximate."""
LIMIT = 64


@dataclass(frozen=True)
class SearchCost:
    """What one search takes in a batch.

    Attributes:
        scan: milliseconds of a search that scans everything; None if that is not allowed.
        walk: milliseconds of a search in the HNSW graph; None where everything is scanned.
        typical: median distance from what was searched around to the 32nd neighbour.
    """

    scan: float | None
    walk: float | None
    typical: float = 0.0

    def expected(self, task_examples: int, size: int) -> tuple[int, float]:
        """Searches and seconds of a selection of ``size`` for that many ``task_examples``."""
        searches = expected_searches(task_examples, size)
        return round(searches) + self._repeated, self.seconds(searches)

    def seconds(self, searches: float) -> float:
        """Seconds of a selection of ``searches``, and of what chooses ef and measures recall."""
        scan = self.scan or 0.0
        return (searches * (self.walk or scan) + self._repeated * scan) / 1000

    @property
    def _repeated(self) -> int:
        return REPEATED_EXACTLY if self.walk and self.scan else 0


def measure_cost(searcher: Searcher, vectors: Float32Array) -> SearchCost:
    """Time searches around ``vectors`` (n, D), the way a selection would run them.

    Scans and walks are timed by the same batch, as one search takes less in a larger one.
    """
    limit = min(LIMIT, searcher.depth or LIMIT)
    hits, _ = searcher.nearest(vectors, limit)  # which chooses ef, and warms caches
    radius = float(np.median(hits.distances))
    ends = np.cumsum(hits.counts) - hits.counts + np.minimum(hits.counts, FIRST_DEPTH) - 1
    typical = float(np.median(hits.distances[ends[hits.counts > 0]]))
    usual = _milliseconds(lambda: searcher.around(vectors, limit, radius), len(vectors))
    if searcher.is_exact(limit):
        return SearchCost(usual, None, typical)
    if not searcher.info.limits.exact:
        return SearchCost(None, usual, typical)
    scan = _milliseconds(lambda: searcher.around(vectors, limit, radius, exact=True), len(vectors))
    return SearchCost(scan, usual, typical)


def _milliseconds(search: Callable[[], object], searches: int) -> float:
    started = time.perf_counter()
    search()
    return (time.perf_counter() - started) / searches * 1000
