"""How far drawn candidates are from the task, where the strategy has not measured it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.neighbors.measure import nearest_to
from tsds_qdrant.pool.pool import vectors_found, vectors_of
from tsds_qdrant.selection.sampling import Sample
from tsds_qdrant.strategies.known import Knowledge


def drawn_ids(known: Knowledge, samples: Mapping[int, Sample]) -> list[PointId]:
    """The ids in the largest of ``samples``; none where there is no sample."""
    if not samples:
        return []
    return known.index.ids(samples[max(samples)].candidates.tolist())


def nearest_of_drawn(
    known: Knowledge, samples: Mapping[int, Sample], reopened: bool
) -> tuple[IntArray, FloatArray]:
    """(n,) nearest task example of each candidate that was drawn, and its distance.

    -1 and NaN for the others; and where the selection is ``reopened``, for points that have left.
    """
    searcher, seen = known.searcher, len(known.index)
    query, distance = np.full(seen, -1, dtype=np.int64), np.full(seen, np.nan)
    ids = drawn_ids(known, samples)
    chosen = known.index.numbers(ids)
    if not ids:
        return query, distance
    if reopened:
        left, rows = vectors_found(searcher.collection, ids, searcher.info)
        chosen = chosen[left]
        ids = known.index.ids(chosen.tolist())
    else:
        rows = vectors_of(searcher.collection, ids, searcher.info)
    if len(rows):
        query[chosen], distance[chosen] = nearest_to(searcher, known.queries, ids, rows)
    return query, distance
