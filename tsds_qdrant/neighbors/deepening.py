"""How far neighbour lists are fetched at first, and on."""

from __future__ import annotations

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.solver.lists import NeighborLists

FIRST_DEPTH = 32


def start(neighborhoods: Neighborhoods, depth: int | None = None) -> None:
    """Fetch the lists that are still empty to a first ``depth``, or as deep as suits the size."""
    depths = neighborhoods.depths
    empty = np.flatnonzero(depths == 0)
    if len(empty):
        if depth is None:
            queries = neighborhoods.queries[empty]
            depth = neighborhoods.searcher.first_depth(queries, FIRST_DEPTH)
        neighborhoods.deepen(empty, np.full(len(empty), depth))


def expand_to_radius(neighborhoods: Neighborhoods, margin: float) -> None:
    """Fetch every list until it ends more than ``margin`` behind its nearest candidate.

    Raises:
        DepthError: the lists would not fit into memory.
    """
    start(neighborhoods)
    while True:
        lists = neighborhoods.lists
        ends = lists.distances[lists.offsets[1:] - 1]
        rows = np.flatnonzero(
            ~lists.complete & (ends <= lists.distances[lists.offsets[:-1]] + margin)
        )
        if not len(rows):
            return
        neighborhoods.deepen(rows, 4 * lists.depths[rows])


def whole_list(neighborhoods: Neighborhoods) -> IntArray:
    """All candidates there are: those of the first list, fetched to its end.

    Raises:
        DepthError: the deployment allows no search that deep.
    """
    if not neighborhoods.complete[0]:
        everything = np.array([neighborhoods.searcher.candidates])
        neighborhoods.deepen(np.zeros(1, np.int64), everything, at_least=True)
    first = neighborhoods.candidates[0]
    return first[~neighborhoods.excluded[first]]


def first_lists(neighborhoods: Neighborhoods) -> tuple[NeighborLists, IntArray]:
    """The lists that a first fetch would give if what is excluded were not stored.

    C and h are derived from them, so they must not depend on how far the lists go on.

    Returns:
        The lists, and the candidates that they depend on: their own, and ties at their ends.
    """
    while True:
        lists = neighborhoods.lists
        fetched = neighborhoods.fetched - neighborhoods.hidden
        rows = np.split(lists.distances, lists.offsets[1:-1])
        ends = [
            _first_depth(row, bool(whole), int(depth))
            for row, whole, depth in zip(rows, lists.complete, fetched, strict=True)
        ]
        short = np.flatnonzero([end is None for end in ends])
        if not len(short):
            break
        neighborhoods.deepen(short, np.maximum(2 * neighborhoods.fetched[short], FIRST_DEPTH))
    candidates = np.split(lists.candidates, lists.offsets[1:-1])
    depths = [end for end in ends if end is not None]
    first = NeighborLists.from_rows(
        [row[:kept] for row, (kept, _) in zip(candidates, depths, strict=True)],
        [row[:kept] for row, (kept, _) in zip(rows, depths, strict=True)],
    )
    behind = [row[:seen] for row, (_, seen) in zip(candidates, depths, strict=True)]
    return first, np.unique(np.concatenate(behind))


def _first_depth(distances: FloatArray, complete: bool, fetched: int) -> tuple[int, int] | None:
    """How much of one list a first fetch keeps, and how much of it that depends on; None: unknown.

    *subtle*: ties with the next candidate are not kept, so if there are any, one of them that
    goes may let others in.

    Args:
        distances: of the list.
        complete: it holds the whole pool.
        fetched: a fetch to that depth gives this list.
    """
    limit = FIRST_DEPTH
    while len(distances) > limit:
        kept = int(np.searchsorted(distances, distances[limit]))
        if kept:
            seen = int(np.searchsorted(distances, distances[limit], side="right"))
            return kept, kept if kept == limit else seen
        limit *= 4
    if complete or (fetched >= limit and len(distances) == limit):
        return len(distances), len(distances)
    return None
