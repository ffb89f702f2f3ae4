"""How far stored points are from vectors: computed from their own where these say it.

Where vectors are read back roughly (Turbo datatypes), Qdrant is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.hits import search_numbers
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.neighbors.geometry import distance_blocks, nearest
from tsds_qdrant.neighbors.search import Searcher

PAGE = 500
"""Points that one request asks about."""


def distances_to(
    searcher: Searcher, queries: Float32Array, ids: Sequence[PointId], rows: Float32Array
) -> FloatArray:
    """(M, n) distances from ``queries`` (M, D) to the points ``ids`` with the vectors ``rows``.

    Infinite where Qdrant is asked and the point has gone meanwhile.
    """
    if searcher.info.recomputable:
        blocks = distance_blocks(queries, rows, searcher.info.geometry)
        return np.concatenate([block for _, block in blocks])
    found = np.full((len(queries), len(ids)), np.inf)
    for start in range(0, len(ids), PAGE):
        page = ids[start : start + PAGE]
        column = {point_id: start + k for k, point_id in enumerate(page)}
        hits = searcher.among(queries, page, kind="probe_searches")
        found[search_numbers(hits), [column[point_id] for point_id in hits.ids]] = hits.distances
    return found


def nearest_to(
    searcher: Searcher, queries: Float32Array, ids: Sequence[PointId], rows: Float32Array
) -> tuple[IntArray, FloatArray]:
    """(n,) which of ``queries`` (M, D) is nearest to each of the points ``ids``, and how far."""
    if searcher.info.recomputable:
        return nearest(rows, queries, searcher.info.geometry)
    distances = distances_to(searcher, queries, ids, rows)
    return distances.argmin(axis=0), distances.min(axis=0)
