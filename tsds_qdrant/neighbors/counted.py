"""Searches of one selection: asked, counted, and kept; what they find are candidates."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.distance import checked_vectors, normalized
from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.collections.limits import check_depth
from tsds_qdrant.collections.values import CollectionInfo, Filter, PointId, Record
from tsds_qdrant.neighbors.allowed import EF_LADDER, check_searchable
from tsds_qdrant.neighbors.costs import Costs
from tsds_qdrant.neighbors.remembering import Memory, Remembering
from tsds_qdrant.neighbors.usable import unusable, usable_hits
from tsds_qdrant.pool.members import Members
from tsds_qdrant.pool.pool import as_directions
from tsds_qdrant.progress import Progress


@dataclass(frozen=True)
class SearchCounts:
    """Work done: searches by kind, hits received, bytes on the wire, and seconds waited.

    ``kept_searches`` were not asked: an earlier attempt at the same selection had kept the answers.
    ``rows_scanned`` are pairs of a search and a point that were compared because all points were,
    or all of those that the search was about: an exact search counts every candidate, one among
    listed points these, one of the HNSW graph none.
    """

    neighbor_searches: int = 0
    density_searches: int = 0
    probe_searches: int = 0
    kept_searches: int = 0
    rows_scanned: int = 0
    hits: int = 0
    bytes: int = 0
    seconds: float = 0.0


class CountedSearches:
    """Runs searches over one collection and filter.

    Attributes:
        collection: what is searched.
        info: what is known of it.
        members: the candidates.
        where: payload filter of the searches, which find only what has the vector.
        progress: called as searches go on.
        counts: what was done so far.
        ef: of approximate searches; None as long as none is chosen.
        costs: seconds of scans and walks.
    """

    def __init__(
        self,
        members: Members,
        info: CollectionInfo,
        where: Filter | None,
        progress: Progress,
        memory: Memory | None = None,
    ) -> None:
        self.collection = members.collection
        self.info = info
        self.members = members
        self.where = where
        self.progress = progress
        self.counts = SearchCounts()
        self.ef: int | None = None
        self.costs = Costs(info)
        self._zero = frozenset(members.zero)
        self.remember(memory)

    def remember(self, memory: Memory | None) -> None:
        """Let ``memory`` keep answers from now on, and give those that it has."""
        self._memory = memory
        self._remembering = Remembering(memory)

    def stored(self, ids: Sequence[PointId]) -> list[Record]:
        """The points ``ids`` with their vectors, to search around."""
        records = self.collection.retrieve(ids, payloads=False, vectors=True)
        if self._memory is not None:
            self._memory.look_at(records)
        return as_directions(records, self.info)

    def compared(self, pairs: int) -> None:
        """Count ``pairs`` of a row and a point that were compared without a search."""
        self.counts = replace(self.counts, rows_scanned=self.counts.rows_scanned + pairs)

    def listable(self, most: int) -> int:
        """How many ids, at most ``most``, one search can be about; 0 if none."""
        limits = self.info.limits
        return limits.ids_listed(min(most, limits.limit or most))

    @property
    def depth(self) -> int | None:
        """How many hits the deployment gives of one search; None if any number."""
        return self.info.limits.depth(self.where)

    def _run(
        self,
        vectors: Float32Array,
        *,
        limit: int,
        exact: bool,
        kind: str,
        radius: float | None = None,
        ef: int | None = None,
        ids: list[PointId] | None = None,
    ) -> Hits:
        """Hits that are candidates (among ``ids`` if given), at most ``limit`` of each row."""

        def ask(depth: int) -> Hits:
            if depth > limit:
                check_depth(depth, self.info.limits, self.where, self.info.name)
            return self._ask(
                vectors, limit=depth, exact=exact, kind=kind, radius=radius, ef=ef, ids=ids
            )

        return usable_hits(
            ask, limit, lambda hits: unusable(hits, self.info, self._zero, exact=exact)
        )

    def _ask(
        self,
        vectors: Float32Array,
        *,
        limit: int,
        exact: bool,
        kind: str,
        radius: float | None,
        ef: int | None,
        ids: list[PointId] | None,
    ) -> Hits:
        check_searchable(self.info, self.where)
        done = 0
        stage = {"neighbor_searches": "neighbours", "density_searches": "densities"}.get(kind, "")

        def on_batch(searches: int) -> None:
            nonlocal done
            done += searches
            if stage:
                self.progress(stage, done, len(vectors))

        if self.info.metric == "Dot" and not self.info.any_length:
            # Products of unit vectors alone are distances.
            if not self.info.recomputable:  # read back roughly
                vectors = normalized(vectors, "Cosine")
            checked_vectors(vectors, self.info.dimension, self.info.metric, what="query")
        shared: dict[str, Any] = {
            "limit": limit,
            "max_distance": radius,
            "exact": exact,
            "ef": max(ef or self.ef or EF_LADDER[0], 2 * limit) if not exact else None,
            "where": self.where if ids is None else {"must": [{"has_id": ids}]},
        }
        length = np.float32(self.info.length)  # so that products are those of unit vectors
        started, moved = time.perf_counter(), self.collection.bytes_moved
        hits, known = self._remembering.ask(
            lambda rows: self.collection.search(rows / length, **shared, on_batch=on_batch),
            vectors,
            shared,
            self.info.metric,
            on_batch,
        )
        asked, looked_at = len(vectors) - known, self.members.count if exact else 0
        seconds = time.perf_counter() - started
        if ids is None and not known and len(vectors):
            self.costs.learn(len(vectors), seconds, shared["ef"])
        self.counts = replace(
            self.counts,
            **{kind: getattr(self.counts, kind) + asked},
            rows_scanned=self.counts.rows_scanned
            + asked * (looked_at if ids is None else len(ids)),
            kept_searches=self.counts.kept_searches + known,
            hits=self.counts.hits + len(hits.ids),
            bytes=self.counts.bytes + self.collection.bytes_moved - moved,
            seconds=self.counts.seconds + seconds,
        )
        return hits
