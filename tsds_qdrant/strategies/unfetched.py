"""Points and neighbour lists: their distances, and what can be said of a point in no list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.collections.values import Record
from tsds_qdrant.neighbors.measure import distances_to
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.solver.lists import NeighborLists

MISSED_MARGIN = 1e-3
"""Engines compute in float32: a point counts as missed where it is nearer by this much."""
UNSEEN = {"missed": "it is near enough, but no search of the run found it"}
"""Verdicts of rankings on points that their lists lack."""
MISSED = "approximate search missed it, or it came after the run's last selection"


@dataclass(frozen=True)
class Unfetched:
    """How far a point that stands in no list is from the lists.

    Attributes:
        query: the task example that is nearest to it.
        text: of that task example; "" where not known.
        distance: between the two.
        depth: how many candidates the list of that task example holds.
        end: the distance at which the list ends; None where it holds every candidate.
        missed_by: a task example whose list ends farther away, so that it should hold the point.
    """

    query: int
    text: str
    distance: float
    depth: int
    end: float | None
    missed_by: int | None


def distances_from(queries: Float32Array, record: Record, searcher: Searcher) -> FloatArray:
    """(M,) distances from ``queries`` (M, D) to a point that has a vector."""
    assert record.vector is not None  # or it would be no candidate
    distances: FloatArray = distances_to(searcher, queries, [record.id], record.vector[None, :])
    return distances[:, 0]


def with_listed(distances: FloatArray, lists: NeighborLists, candidate: int) -> FloatArray:
    """``distances`` (M,) to ``candidate``, as the lists have them where they hold it."""
    entries = np.flatnonzero(lists.candidates == candidate)
    found: FloatArray = distances.copy()
    found[lists.query_of_entry[entries]] = lists.distances[entries]
    return found


def unfetched_of(
    lists: NeighborLists, distances: FloatArray, texts: Mapping[int, str]
) -> Unfetched:
    """What is to be said of a point ``distances`` (M,) away, which no list holds."""
    row = int(np.argmin(distances))
    ends = np.where(lists.complete, np.inf, lists.distances[lists.offsets[1:] - 1])
    missed = np.flatnonzero(distances < ends - MISSED_MARGIN)
    return Unfetched(
        query=row,
        text=texts.get(row, ""),
        distance=float(distances[row]),
        depth=int(lists.depths[row]),
        end=float(ends[row]) if np.isfinite(ends[row]) else None,
        missed_by=int(missed[np.argmin(distances[missed])]) if len(missed) else None,
    )
