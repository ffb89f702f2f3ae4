"""Repair: bring fetched lists and densities up to date with a changed pool.

Points that left are taken out. For points that came, arithmetic on their vectors shows which
lists and places they can touch; only those are asked, and only about the new points. The values
always come from the engine, so that a repaired problem equals one fetched again to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import BoolArray, Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.neighbors.geometry import pairwise_distances
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.pool.pool import with_direction

PAGE = 1_000
NEW_SHARE = 0.3
"""Above this share of new points, starting again takes fewer searches: at 100,000 candidates a
page of new points touches about 40 lists and places, and a selection from scratch asks 2,300."""
MOST_PIECES = 50
"""The same where a deployment lets few ids be asked about at once, or none."""
MARGIN = 1e-3
"""Local distances are float32: a new point this much farther still counts as near."""


@dataclass(frozen=True)
class RepairReport:
    """What a repair touched.

    Attributes:
        came: points that are new or changed.
        gone: points in use that left.
        lists: lists that were asked about new points.
        places: densities that were asked about new points.
        from_scratch: everything was forgotten instead, as too much had come.
    """

    came: int
    gone: int
    lists: int
    places: int
    from_scratch: bool = False


def repair(
    neighborhoods: Neighborhoods, came: Sequence[PointId], gone: Sequence[PointId]
) -> RepairReport:
    """Apply changes to ``neighborhoods``.

    Args:
        neighborhoods: as fetched before the changes; changed in place.
        came: points that are new, or whose vector changed, and that match the filter.
        gone: points that were deleted, or no longer match.
    """
    searcher = neighborhoods.searcher
    few = MOST_PIECES * searcher.listable(PAGE)
    if len(came) > min(NEW_SHARE * searcher.candidates, few):
        neighborhoods.forget()
        return RepairReport(len(came), len(gone), 0, 0, from_scratch=True)
    index = neighborhoods.index
    known = index.lookup([*gone, *came])
    neighborhoods.drop(known[known >= 0])
    lists = places = 0
    collection = searcher.collection
    for start in range(0, len(came), PAGE):
        records = collection.retrieve(came[start : start + PAGE], payloads=False, vectors=True)
        records = with_direction(records, neighborhoods.searcher.info)
        if not records:
            continue
        vectors = np.stack([record.vector for record in records if record.vector is not None])
        ids = [record.id for record in records]
        lists += _into_lists(neighborhoods, ids, vectors)
        places += _into_places(neighborhoods, ids, vectors)
    return RepairReport(len(came), len(gone), lists, places)


def _into_lists(neighborhoods: Neighborhoods, ids: Sequence[PointId], vectors: Float32Array) -> int:
    ends, searcher = neighborhoods.ends, neighborhoods.searcher
    near = _may_reach(neighborhoods.queries, vectors, ends[:, None], searcher)
    rows = np.flatnonzero(near.any(axis=1))
    if len(rows):
        hits = searcher.among(
            neighborhoods.queries[rows], _chosen(ids, near), kind="neighbor_searches"
        )
        neighborhoods.insert(rows, hits)
    return len(rows)


def _into_places(
    neighborhoods: Neighborhoods, ids: Sequence[PointId], vectors: Float32Array
) -> int:
    vicinities = neighborhoods.vicinities
    if vicinities.bandwidth == 0 or not vicinities.places:
        return 0
    around = np.stack([place.vector for place in vicinities.places])
    bandwidth, searcher = vicinities.bandwidth, neighborhoods.searcher
    near = _may_reach(around, vectors, np.array(bandwidth), searcher)
    rows: IntArray = np.flatnonzero(near.any(axis=1))
    if len(rows):
        hits = searcher.among(
            around[rows], _chosen(ids, near), kind="density_searches", radius=bandwidth
        )
        vicinities.insert(rows.tolist(), hits)
    return len(rows)


def _may_reach(
    around: Float32Array, vectors: Float32Array, reach: FloatArray, searcher: Searcher
) -> BoolArray:
    """(len(around), len(vectors)) what may be within ``reach``, as far as vectors say that."""
    info = searcher.info
    if not info.recomputable:
        return np.ones((len(around), len(vectors)), dtype=np.bool_)
    searcher.compared(len(around) * len(vectors))
    near: BoolArray = pairwise_distances(around, vectors, info.geometry) <= reach + MARGIN
    return near


def _chosen(ids: Sequence[PointId], near: BoolArray) -> list[PointId]:
    return [ids[column] for column in np.flatnonzero(near.any(axis=0)).tolist()]
