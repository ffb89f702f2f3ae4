"""Searches of one selection: exact or HNSW, with which ef, and how many there were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.filter_keys import filtered_fields
from tsds_qdrant.collections.graph import no_graph
from tsds_qdrant.collections.hits import Hits, beside, first_hits
from tsds_qdrant.collections.limits import check_depth
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import InputError
from tsds_qdrant.neighbors.allowed import EF_LADDER, check_exact, unscannable
from tsds_qdrant.neighbors.probing import Probing
from tsds_qdrant.neighbors.remembering import Memory
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.pool.members import members, no_candidate
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.represented.marks import described
from tsds_qdrant.represented.whole import check_whole

SCAN_COUNT = 10_000
"""Up to this many points a scan costs no more than a walk (and Qdrant scans by itself)."""
SCAN_SHARE = 0.03
"""From this share of the pool on, a scan is as fast as a walk with a limit that large."""


class Searcher(Probing):
    """Runs the searches of one selection: by scans, or by walks; see :class:`Probing`.

    Attributes:
        wanted: about how many of them will be drawn; 0 where that is not known.
        unscannable: why nothing may be scanned, or "".

    Args:
        any_length: products of vectors of any length are wanted, which are no distances.
    """

    def __init__(
        self,
        collection: Collection,
        settings: SearchSettings | None = None,
        *,
        seed: int = 0,
        progress: Progress = silent,
        memory: Memory | None = None,
        any_length: bool = False,
    ) -> None:
        settings = settings or SearchSettings()
        if not any_length:
            collection.check_distances()
        info, where = replace(described(collection), any_length=any_length), settings.where
        check_whole(collection, info, where)
        check_exact(info, settings)
        self.unscannable = unscannable(info, settings)
        info = replace(
            info, limits=replace(info.limits, exact=info.limits.exact and settings.scans)
        )
        found = members(collection, info, where, scans=info.limits.exact)
        super().__init__(found, info, settings, progress, memory, seed=seed)
        self.wanted = 0
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

    @property
    def deepest_walk(self) -> int:
        """The largest limit of searches that are no scans by it."""
        return int(SCAN_SHARE * self.info.count)

    def first_depth(self, vectors: Float32Array, least: int) -> int:
        """How deep to fetch the first lists of ``vectors`` (B, D): deeper than ``least`` by scans.

        A scan for twice as many as each must have, where they share none, costs what one for the
        ``least`` does, and saves the next. Walks cost what they find.
        """
        guess = 2 * self.wanted // max(1, len(vectors))
        if guess <= least or self.depth is not None or not self.scans_lists(vectors, least + 1):
            return least
        return 1 << (guess - 1).bit_length()

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
        exact = self.scans_lists(vectors, limit)
        ef, kind = self._factor * max(self.ef or EF_LADDER[0], limit), "neighbor_searches"
        return self._run(vectors, limit=limit, exact=exact, kind=kind, ef=ef), exact

    def around(
        self, vectors: Float32Array, limit: int, radius: float, *, exact: bool | None = None
    ) -> Hits:
        """At most ``limit`` candidates within ``radius`` of each row (B, D), stored vectors.

        Raises:
            PoisonedCollectionError: see :meth:`preflight`.
        """
        scan = self.scans_densities(limit) if exact is None else exact
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
