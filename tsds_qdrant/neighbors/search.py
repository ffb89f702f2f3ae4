"""Searches of one selection: exact or HNSW, with which ef, and how many there were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.filter_keys import filtered_fields
from tsds_qdrant.collections.graph import no_graph
from tsds_qdrant.collections.hits import Hits, beside, first_hits, recall_of
from tsds_qdrant.collections.limits import check_depth
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import InputError
from tsds_qdrant.neighbors.allowed import EF_LADDER, check_exact, ladder, too_low
from tsds_qdrant.neighbors.counted import CountedSearches
from tsds_qdrant.neighbors.remembering import Memory
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.pool.members import members, no_candidate
from tsds_qdrant.progress import Progress, silent

LISTS_EF = (4, 8, 16)
"""Factors on the ef of the ladder, or on the limit, for neighbour lists: they are few beside
densities, and a neighbour that is missed moves p more than one that a density lacks. Lists that
are deeper than probed so far take the first factor that reaches the recall there."""
TRUTH_DEPTH = 512
"""A scan to this depth takes no longer than one to the depth of the first lists, and serves the
probes of deeper ones."""
PROBED_SEARCHES = 16
SCAN_COUNT = 10_000
"""Up to this many points a scan costs no more than a walk (and Qdrant scans by itself)."""
SCAN_SHARE = 0.03
"""From this share of the pool on, a scan is as fast as a walk with a limit that large."""


class Searcher(CountedSearches):
    """Decides how the searches of one selection are run: by scans, or by walks with which ef.

    A walk of the HNSW graph is only as good as its ``ef``: before the first one a seeded handful
    of queries is run exactly, and the smallest ef that finds ``recall`` of their neighbours is
    used from then on; if none does, everything is scanned. Whenever lists grow deeper than was
    probed, the same is done at their depth, where a walk may find less; if no ef does there,
    searches as deep as that are scans.

    Attributes:
        recall: that walks must reach.
        candidates: size of the pool.
        scan_reason: why everything is scanned, or "".
        scanned_from: searches with this limit or a larger one are scans, as walks find too little
            there; None for none.
    """

    def __init__(
        self,
        collection: Collection,
        settings: SearchSettings | None = None,
        *,
        seed: int = 0,
        progress: Progress = silent,
        memory: Memory | None = None,
    ) -> None:
        settings = settings or SearchSettings()
        collection.check_distances()
        info, where = collection.info(), settings.where
        check_exact(info, settings)
        info = replace(
            info, limits=replace(info.limits, exact=info.limits.exact and settings.scans)
        )
        found = members(collection, info, where, scans=info.limits.exact)
        super().__init__(found, info, where, progress, memory)
        self.recall = settings.recall
        self.candidates = found.count
        self.scanned_from: int | None = None
        self._probed = 0
        self._factor = LISTS_EF[0]
        self._sample: Float32Array | None = None
        self._truth = 0, Hits([], np.empty(0), np.empty(0, dtype=np.int64))
        self._rng = np.random.default_rng(seed)
        self._repeated: tuple[Float32Array, int, Hits] | None = None
        self.scan_reason = self._scan_reason(settings.exact)
        if self.candidates == 0:
            raise InputError(no_candidate(self.info, self.members, where))

    def _scan_reason(self, asked: bool) -> str:
        if not self.info.limits.exact:
            return ""
        if asked:
            return "asked for"
        if self.info.count <= SCAN_COUNT:
            return f"only {self.info.count} points"
        if missing := no_graph(self.collection, self.info):
            return missing
        if self.where is not None and not filtered_fields(self.where) <= {
            *self.info.payload_indexes
        }:
            return "a filter without a payload index"
        return ""

    def is_exact(self, limit: int) -> bool:
        """Whether searches of ``limit`` scan everything."""
        if not self.info.limits.exact:
            return False
        if self.scanned_from is not None and limit >= self.scanned_from:
            return True
        return bool(self.scan_reason) or limit > SCAN_SHARE * self.info.count

    def preflight(self, query: Float32Array) -> None:
        """Make sure that no stored NaN or infinity spoils every answer.

        Such a vector tops every HNSW answer whose walk comes by and empties every thresholded
        one (qdrant issue 9201); a scan is immune. One that only some walks meet is found later,
        by the first of them.

        Raises:
            PoisonedCollectionError: the message names the point.
        """
        if not self.scan_reason:
            self._run(query[None, :], limit=1, exact=False, kind="probe_searches")

    def nearest(self, vectors: Float32Array, limit: int) -> tuple[Hits, bool]:
        """The ``limit`` nearest candidates of each row (B, D), and whether they are exact."""
        exact = self.is_exact(limit)
        if not exact and limit > self._probed:
            self._probe(vectors, limit)
            exact = self.is_exact(limit)
        ef, kind = self._factor * max(self.ef or EF_LADDER[0], limit), "neighbor_searches"
        return self._run(vectors, limit=limit, exact=exact, kind=kind, ef=ef), exact

    def around(
        self, vectors: Float32Array, limit: int, radius: float, *, exact: bool | None = None
    ) -> Hits:
        """At most ``limit`` candidates within ``radius`` of each row (B, D), stored vectors.

        Raises:
            PoisonedCollectionError: see :meth:`preflight`.
        """
        scan = self.is_exact(limit) if exact is None else exact
        kind = "density_searches" if exact is None else "probe_searches"
        hits = self._run(vectors, limit=limit, exact=scan, kind=kind, radius=radius)
        empty = vectors[hits.counts == 0]
        if len(empty) and not scan:
            # Subtle: a stored vector finds itself, unless NaN on its way emptied the answer;
            # without the radius that NaN shows.
            self._run(empty, limit=limit, exact=False, kind="probe_searches")
        return hits

    def among(
        self,
        vectors: Float32Array,
        ids: Sequence[PointId],
        *,
        kind: str,
        radius: float | None = None,
    ) -> Hits:
        """Which of the points ``ids`` lie within ``radius`` of each row (B, D); always exact.

        Raises:
            RequestRejectedError: the deployment allows no filter that lists ids.
        """
        exact, size = self.info.limits.exact, max(1, self.listable(len(ids)))
        parts = []
        for start in range(0, len(ids), size):
            part = list(ids[start : start + size])
            asked: Any = {"limit": len(part), "radius": radius, "ids": part}
            parts.append(self._run(vectors, exact=exact, kind=kind, **asked))
        return parts[0] if len(parts) == 1 else beside(parts)

    def repeat_exactly(self, vectors: Float32Array, limit: int) -> Hits:
        """The same as :meth:`nearest` by a scan, counted as a probe; not asked twice in a row."""
        if self._repeated is not None:
            known, depth, hits = self._repeated
            if limit <= depth and np.array_equal(known, vectors):
                return first_hits(hits, limit)
        hits = self._run(vectors, limit=limit, exact=True, kind="probe_searches")
        self._repeated = vectors, limit, hits
        return hits

    def checked_limit(self, limit: int, spare: int = 0) -> int:
        """``limit``, and ``spare`` more where that is allowed, cut to the pool's size.

        Raises:
            DepthError: the deployment gives no search that many hits.
        """
        limit, most = min(limit, self.candidates + 1), self.candidates + 1
        if limit > (self.depth or limit):
            wanted = min(limit + spare, most)
            check_depth(wanted, self.info.limits, self.where, self.info.name, most=most)
        return min(limit + spare, most, self.depth or limit + spare)

    def walked(self) -> dict[str, Any]:
        """How walks are made, for :meth:`walk_as`."""
        return {
            "ef": self.ef,
            "probed": self._probed,
            "lists_factor": self._factor,
            "scanned_from": self.scanned_from,
        }

    def walk_as(self, facts: Mapping[str, Any], deepest: int) -> None:
        """Walk as :meth:`walked` says; states of old say the ef alone, and nothing below it.

        Args:
            facts: what it gave.
            deepest: the depth that the lists of that time have.
        """
        self.ef = facts["ef"]
        self._probed = facts.get("probed", deepest if self.ef else 0)
        self._factor = facts.get("lists_factor", LISTS_EF[0])
        self.scanned_from = facts.get("scanned_from")

    def _probe(self, vectors: Float32Array, limit: int) -> None:
        """Choose how lists of ``limit`` are walked, or that they are scanned."""
        limits = self.info.limits
        if not limits.exact:
            self.ef = self.ef or min(EF_LADDER[1], limits.ef or EF_LADDER[1])
            self._probed = self.candidates + 1
            return
        if self._sample is None:
            rows = self._rng.permutation(len(vectors))[:PROBED_SEARCHES]
            self._sample = vectors[np.sort(rows)]
        if self.ef is None:
            tried = ladder(limits.ef)
            self.ef = self._first_to_reach(tried, limit)
            if self.ef is None:
                self.scan_reason = too_low(tried[-1], self.info, self.recall)
        else:
            shortest = max(self.ef, limit)
            wanted = [factor * shortest for factor in LISTS_EF if factor >= self._factor]
            ef = self._first_to_reach(wanted, limit)
            if ef is None:
                self.scanned_from = limit
            else:
                self._factor = ef // shortest
        self._probed = limit

    def _first_to_reach(self, efs: Sequence[int], limit: int) -> int | None:
        """The first of ``efs`` whose walks find enough of what scans find; None if none does."""
        assert self._sample is not None
        depth, truth = self._truth
        if depth < limit:
            walked = int(SCAN_SHARE * self.info.count)  # no deeper search is a walk
            depth = max(limit, min(TRUTH_DEPTH, walked, self.info.limits.limit or walked))
            truth = self.repeat_exactly(self._sample, depth)
            self._truth = depth, truth
        sent = None
        for ef in efs:
            if sent is not None and sent == self.info.limits.allowed_ef(ef):
                break  # all that is allowed was tried
            sent = self.info.limits.allowed_ef(ef)
            found = self._run(self._sample, limit=limit, exact=False, kind="probe_searches", ef=ef)
            if recall_of(found, first_hits(truth, limit)) >= self.recall:
                return ef
        return None
