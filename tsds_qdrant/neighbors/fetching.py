"""One round of fetching neighbour lists: walks depth by depth, and all scans in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.collections.hits import Hits, first_hits, search_numbers
from tsds_qdrant.collections.ids import sorted_by_distance

if TYPE_CHECKING:
    from tsds_qdrant.neighbors.neighborhoods import Neighborhoods

SPREAD = 8
"""Lists up to that many times as deep as others are scanned in one pass with them, and cut."""


def fetch(near: Neighborhoods, rows: IntArray, limits: IntArray) -> None:
    """Fetch the lists of ``rows`` (r,) to the depths ``limits`` (r,), ties at the ends left out."""
    searcher = near.searcher
    scanned = np.zeros(len(rows), dtype=np.bool_)
    depths = np.zeros(len(rows), dtype=np.int64)
    for limit in np.unique(limits):
        here = limits == limit
        depth = searcher.checked_limit(int(limit), spare=1)
        depths[here] = depth
        scanned[here] = searcher.scans_lists(near.queries[rows[here]], depth)
        if not scanned[here].all():
            _walk(near, rows[here], depth)
    _scan(near, rows[scanned], depths[scanned])
    near.fetched[rows] = limits


def _walk(near: Neighborhoods, rows: IntArray, depth: int) -> None:
    searcher = near.searcher
    hits, _ = searcher.nearest(near.queries[rows], depth)
    whole = depth > searcher.candidates
    _store(near, rows, hits, np.full(len(rows), depth), known=whole)
    short = rows[hits.counts < min(depth, searcher.candidates)]
    if len(short) and searcher.info.limits.exact:
        # A walk that comes back short proves nothing; a scan does.
        again = searcher.repeat_exactly(near.queries[short], depth)
        _store(near, short, again, np.full(len(short), depth), known=True)


def _scan(near: Neighborhoods, rows: IntArray, depths: IntArray) -> None:
    while len(rows):
        deepest = int(depths.max())
        now = depths * SPREAD >= deepest
        hits, _ = near.searcher.nearest(near.queries[rows[now]], deepest)
        _store(near, rows[now], first_hits(hits, depths[now]), depths[now], known=True)
        rows, depths = rows[~now], depths[~now]


def _store(near: Neighborhoods, rows: IntArray, hits: Hits, depths: IntArray, known: bool) -> None:
    """Take over ``hits`` of searches with the limits ``depths`` (r,), ``known`` to lack nothing."""
    near.exact[rows] = known
    if known:
        near.complete[rows] = hits.counts < depths
    numbers = near.index.numbers(hits.ids)
    search = search_numbers(hits)
    order = sorted_by_distance(search, hits.distances, near.index.keys[numbers])
    starts = np.concatenate([[0], np.cumsum(hits.counts)])
    for k, row in enumerate(rows.tolist()):
        part = order[starts[k] : starts[k + 1]]
        distances = hits.distances[part]
        # Subtle: which of the candidates tied at the cut came along is chance (500 copies
        # of one text, say), so all of them wait for the next depth.
        kept = len(part)
        if kept and not near.complete[row]:
            kept = int(np.searchsorted(distances, distances[-1]))
        near.candidates[row] = numbers[part[:kept]]
        near.distances[row] = distances[:kept]
