"""Points that one search finds twice: while Qdrant reshards, or as one id lies under two keys.

Each counts once, and a list that was cut before such points were dropped is no complete one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tsds_qdrant.collections.cluster import ShardKey
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.server import answers, wire
from tsds_qdrant.collections.values import PointId, Record
from tsds_qdrant.errors import UnsupportedCollectionError
from tsds_qdrant.sparse import SparseRows

SAME = 1e-5
"""Difference of numbers that two nodes may make of one vector as they bring it to unit length."""
Ask = Callable[[wire.Search, wire.Rows], answers.Answer]
Fetch = Callable[[Sequence[PointId], ShardKey | None], Mapping[PointId, Record]]


class Copies:
    """Knows under which shard key each point was found first."""

    def __init__(self, place: Place, fetch: Fetch) -> None:
        """``fetch`` gives points with their vectors, of one shard key."""
        self._place = place
        self._fetch = fetch
        self._key_of: dict[PointId, ShardKey | None] = {}
        self._equal: set[PointId] = set()

    def check(self, answer: answers.Answer) -> None:
        """Check that no id of ``answer`` stands for several points.

        Raises:
            UnsupportedCollectionError: one is stored under two shard keys with other vectors.
        """
        twice: dict[tuple[ShardKey | None, ShardKey | None], set[PointId]] = {}
        for point_id, key in zip(answer.ids, answer.keys, strict=False):
            known = self._key_of.setdefault(point_id, key)
            if known != key and point_id not in self._equal:
                twice.setdefault((known, key), set()).add(point_id)
        for (one, other), ids in twice.items():
            wanted = sorted(ids, key=str)
            here, there = self._fetch(wanted, one), self._fetch(wanted, other)
            for point_id in wanted:
                if not _same(here.get(point_id), there.get(point_id)):
                    raise UnsupportedCollectionError(
                        f"point {point_id} of {self._place} is stored under the shard keys "
                        f"'{one}' and '{other}' with different vectors, so that its id says "
                        f"nothing; choose one of them with --shard-key"
                    )
            self._equal |= ids


def once_each(ask: Ask, search: wire.Search, rows: wire.Rows) -> answers.Answer:
    """The answer to ``search``, asked for by ``ask``, with every point once.

    A list that came back full, and is not once its repeats are dropped, is asked for again with a
    larger limit.

    Raises:
        DepthError: no such limit is allowed.
    """
    answer = ask(search, rows)
    found = answers.without_repeats(answer)
    short = np.flatnonzero((answer.counts >= search.limit) & (found.counts < search.limit))
    if not len(short):
        return found
    limit = search.limit + 2 * int((answer.counts - found.counts).max())
    again = replace(search, limit=limit, ef=search.ef and max(search.ef, limit))
    part = rows.take(short.tolist()) if isinstance(rows, SparseRows) else rows[short]
    more = answers.first(once_each(ask, again, part), search.limit)
    whole = answers.parts(found)
    for row, one in zip(short.tolist(), answers.parts(more), strict=True):
        whole[row] = one
    return answers.joined(whole)


def _same(one: Record | None, other: Record | None) -> bool:
    """Whether two points have one vector; what was deleted meanwhile has none."""
    if one is None or other is None or one.vector is None or other.vector is None:
        return True
    return np.allclose(one.vector, other.vector, rtol=SAME, atol=SAME)
