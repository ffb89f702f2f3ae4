"""Searches with more hits than one request may ask for: again, without those found so far.

Qdrant bounds the hits of one request (``max_query_limit``), not the ids that a filter excludes, or
those by other limits. So a search goes on behind its last hit, wherever scores are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tsds_qdrant.collections.conditions import excluding
from tsds_qdrant.collections.limits import Limits
from tsds_qdrant.collections.server import wire
from tsds_qdrant.collections.server.answers import Answer
from tsds_qdrant.collections.values import Filter, PointId

OnBatch = Callable[[int], None] | None
Ask = Callable[[wire.Search, wire.Rows, wire.Wheres, OnBatch], Answer]


def in_pieces(
    ask: Ask, search: wire.Search, rows: wire.Rows, limits: Limits, on_batch: OnBatch
) -> Answer:
    """The hits of ``search`` for each of ``rows`` (B), at most ``limits.limit`` by one request.

    ``ask`` is given a search, rows, and a filter for each of these. The limits must allow the
    hits, see :meth:`~tsds_qdrant.collections.limits.Limits.depth`.
    """
    most = limits.excludable(search.where)
    found: list[dict[PointId, float]] = [{} for _ in range(len(rows))]
    left, wheres, moved = list(range(len(rows))), None, 0
    while left:
        known = max(len(found[row]) for row in left)
        page = replace(search, limit=_piece(search.limit, known, limits.limit, most))
        answer = ask(page, wire.taken(rows, left), wheres, None)
        moved += answer.moved
        ends = np.cumsum(answer.counts).tolist()
        going = []
        for row, start, end in zip(left, [0, *ends], ends, strict=False):
            known = len(found[row])
            hits = zip(answer.ids[start:end], answer.scores[start:end].tolist(), strict=True)
            found[row].update((hit, score) for hit, score in hits if hit not in found[row])
            full = end - start == page.limit
            if full and known < len(found[row]) < search.limit:
                going.append(row)
        if on_batch:
            on_batch(len(left) - len(going))
        left = going
        wheres = [excluding(search.where, [*found[row]], limits.condition_size) for row in left]
    return _joined(found, search, moved)


def _piece(wanted: int, known: int, limit: int | None, most: int | None) -> int:
    """How many hits to ask for when ``known`` are there and at most ``most`` can be excluded."""
    assert limit is not None
    if known + limit >= wanted or most is None:
        return limit
    return max(1, min(limit, most - known))


def listed_ids(where: Filter) -> int:
    """How many ids :func:`excluding` listed."""
    return sum(len(listed["has_id"]) for listed in where["must_not"])


def _joined(found: list[dict[PointId, float]], search: wire.Search, moved: int) -> Answer:
    """The best hits of every row; an approximate search may find a better one in a later piece."""
    ids: list[PointId] = []
    scores: list[float] = []
    for hits in found:
        best = sorted(hits, key=lambda hit: _rank(hits[hit], search.descending))[: search.limit]
        ids += best
        scores += [hits[hit] for hit in best]
    counts = np.array([min(len(hits), search.limit) for hits in found], dtype=np.int64)
    return Answer(ids, np.array(scores, dtype=np.float64), counts, moved)


def _rank(score: float, descending: bool) -> float:
    """Where Qdrant puts a score: NaN before all others, so that it shows."""
    if np.isnan(score):
        return -np.inf
    return -score if descending else score
