"""Task examples that are candidates too: which points of the pool they are.

A point is a task example where its distance to one is what rounding leaves of 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.collections.conditions import excluding
from tsds_qdrant.collections.distance import is_similarity
from tsds_qdrant.collections.hits import search_numbers
from tsds_qdrant.collections.matching import matching
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.neighbors.geometry import distance_blocks
from tsds_qdrant.neighbors.rounding import smallest_distance
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.progress import notice

FIRST_LIST, DEEPER = 4, 8
"""How many of the nearest candidates are looked at, and by what factor more if all are copies."""
ROUNDINGS = 2.0
"""Times the smallest distance that says anything: a model makes no vector twice to the last bit."""
REMADE = {"float16": 2e-3}
"""Where distances are not rounded: times the length of an example; for float32 1e-5."""
PAGE = 1_000


@dataclass(frozen=True)
class TaskPoints:
    """The points of a pool that are task examples.

    Attributes:
        ids: theirs; several may be copies of one example.
        examples: how many task examples are there.
        left_out: they are no candidates; otherwise they stay.
    """

    ids: frozenset[PointId] = frozenset()
    examples: int = 0
    left_out: bool = True

    @classmethod
    def of(
        cls,
        searcher: Searcher,
        queries: Float32Array,
        own: frozenset[PointId] = frozenset(),
        *,
        left_out: bool = True,
    ) -> TaskPoints:
        """Look for the task examples ``queries`` (M, D), one batch of searches.

        Spaces whose products are no distances, and sparse ones, are not searched.

        Args:
            searcher: knows the pool.
            queries: the task examples.
            own: points that are known to be task examples; those that are candidates count.
            left_out: what becomes of them.
        """
        there = set(matching(searcher.collection, searcher.where, sorted(own, key=str)))
        found, examples = set(there), len(there)
        if _compares(searcher.info):
            near = np.zeros(len(queries), dtype=np.bool_)
            radii, depth = radii_of(queries, searcher.info), FIRST_LIST
            rows = np.arange(len(queries))
            while len(rows):
                hits, _ = searcher.nearest(queries[rows], min(depth, searcher.candidates))
                owner = search_numbers(hits)
                close = np.flatnonzero(hits.distances <= radii[rows][owner])
                found.update(hits.ids[place] for place in close.tolist())
                counts = np.bincount(owner[close], minlength=len(rows))
                near[rows[counts > 0]] = True
                rows = rows[counts == depth] if depth < searcher.candidates else rows[:0]
                depth *= DEEPER
            examples = max(examples, int(near.sum()))
        return cls(frozenset(found), examples, left_out)

    def after(
        self,
        searcher: Searcher,
        queries: Float32Array,
        came: Sequence[PointId],
        gone: Sequence[PointId],
    ) -> TaskPoints:
        """The same after points came or changed, and others left; no search is needed.

        The number of examples stays that of the first look.
        """
        ids = {*self.ids} - {*came, *gone}
        if _compares(searcher.info):
            radii, rest = radii_of(queries, searcher.info), iter(came)
            while page := list(islice(rest, PAGE)):
                stored = searcher.collection.retrieve(page, payloads=False, vectors=True)
                rows = {one.id: one.vector for one in stored if one.vector is not None}
                if rows:
                    ids.update(_copies(rows, queries, radii, searcher.info))
        return TaskPoints(frozenset(ids), self.examples, self.left_out)

    @property
    def in_order(self) -> list[PointId]:
        """``ids``, numbers first, ascending."""
        return sorted(self.ids, key=lambda one: (isinstance(one, str), one))

    def in_words(self, examples: int) -> str:
        """One sentence on them, of ``examples`` in all; "" where none is in the pool."""
        if not self.ids:
            return ""
        one = self.examples == 1
        there = f"{self.examples} of {examples} task examples {'is' if one else 'are'} in the pool"
        points = f"{len(self.ids)} {'point' if len(self.ids) == 1 else 'points'}"
        if self.left_out:
            return f"{there} ({points}), and left out; --keep-task-examples keeps them"
        return f"{there} ({points}), at distance 0, and may be selected"

    def facts(self) -> dict[str, Any]:
        """What a manifest says of them."""
        return {
            "in_the_pool": self.examples,
            "points": len(self.ids),
            "left_out": self.left_out,
        }

    def stored(self) -> dict[str, Any]:
        """Plain values for :meth:`restored`."""
        return {"ids": self.in_order, "examples": self.examples, "left_out": self.left_out}

    @classmethod
    def restored(cls, stored: Mapping[str, Any] | None) -> TaskPoints | None:
        """What :meth:`stored` said; None where nobody looked for them."""
        if stored is None:
            return None
        return cls(frozenset(stored["ids"]), stored["examples"], stored["left_out"])


def without_task_points(
    searcher: Searcher,
    search: SearchSettings,
    queries: Float32Array,
    own: frozenset[PointId] = frozenset(),
) -> tuple[SearchSettings, TaskPoints]:
    """``search`` among all candidates but the task examples; for what is asked once, not kept.

    Where the deployment allows no filter that lists them, they stay, and a notice says so.

    Args:
        searcher: knows the pool as ``search`` has it.
        search: which points are candidates.
        queries: (M, D) the task examples.
        own: points that are known to be task examples.
    """
    found = TaskPoints.of(searcher, queries, own)
    if not found.ids:
        return search, found
    most = searcher.info.limits.excludable(search.where)
    if most is not None and len(found.ids) > most:
        notice(
            "task points",
            f"{len(found.ids)} candidates are task examples themselves, and stay, as strict mode "
            f"allows no filter that lists them",
        )
        return search, replace(found, left_out=False)
    where = excluding(search.where, found.in_order, searcher.info.limits.condition_size)
    return replace(search, where=where), found


def radii_of(queries: Float32Array, info: CollectionInfo) -> FloatArray:
    """(M,) within what distance of a task example a point is that example."""
    if is_similarity(info.metric) and info.recomputable:
        return np.full(len(queries), ROUNDINGS * smallest_distance(info))
    lengths = np.abs(queries.astype(np.float64))
    size = lengths.sum(axis=1) if info.metric == "Manhattan" else np.sqrt((lengths**2).sum(axis=1))
    if info.metric == "Cosine":
        size = np.ones(len(queries))
    return REMADE.get(info.datatype, 1e-5) * np.asarray(size)


def _compares(info: CollectionInfo) -> bool:
    return info.dimension > 0 and not info.any_length


def _copies(
    rows: Mapping[PointId, Float32Array],
    queries: Float32Array,
    radii: FloatArray,
    info: CollectionInfo,
) -> list[PointId]:
    ids, near = list(rows), np.zeros(len(rows), dtype=np.bool_)
    for part, block in distance_blocks(np.stack([*rows.values()]), queries, info.geometry):
        near[part] = (block <= radii).any(axis=1)
    return [ids[row] for row in np.flatnonzero(near).tolist()]
