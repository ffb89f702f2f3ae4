"""How the searches of one selection are run: learned from probes, and from what they cost."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.hits import Hits, first_hits, recall_of
from tsds_qdrant.collections.values import CollectionInfo, Filter
from tsds_qdrant.neighbors.allowed import EF_LADDER, ladder, too_low
from tsds_qdrant.neighbors.counted import CountedSearches
from tsds_qdrant.neighbors.remembering import Memory
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.pool.members import Members
from tsds_qdrant.progress import Progress

LISTS_EF = (4, 8, 16)
"""Factors on the ef of the ladder, or on the limit, for neighbour lists: they are few beside
densities, and a neighbour that is missed moves p more than one that a density lacks. Lists that
are deeper than probed so far take the first factor that reaches the recall there."""
TRUTH_DEPTH = 512
"""A scan to this depth takes no longer than one to the depth of the first lists, and serves the
probes of deeper ones."""
PROBED_SEARCHES = 16
CHEAP_SHARE = 0.25
"""More scans to measure with are cheap at this part of the time for densities."""
SCANNED_LISTS_SHARE = 0.5
"""Lists are scanned where that takes at most this part of the time for densities longer."""
WIDER = 4
"""Where densities are not as good as was asked for, ef grows by this factor."""
SCANS_PER_WALK = 2.0
"""Walks are made wider as long as that many of them cost no more than a scan."""


class Probing(CountedSearches):
    """Learns which ef reaches the recall, and which searches are scans instead.

    A walk of the HNSW graph is only as good as its ``ef``: before the first one a seeded handful
    of queries is run exactly, and the smallest ef that finds ``recall`` of their neighbours is
    used from then on; if none does, everything is scanned. Whenever lists grow deeper than was
    probed, the same is done at their depth, where a walk may find less; if no ef does there,
    searches as deep as that are scans. Lists are scanned at any depth where that costs little
    beside densities, see :data:`SCANNED_LISTS_SHARE`.

    Attributes:
        candidates: size of the pool.
        recall: that walks must reach.
        densities: about how many densities will be searched for.
        scan_reason: why everything is scanned, or "".
        scanned_from: searches with this limit or a larger one are scans, as walks find too little
            there; None for none.
        lists_from: the same for neighbour lists alone, as scans are cheap or were needed.
        density_scans: densities are found by scans.
        erred: searches were made wider, or scans, as a sample showed that they had missed too much.
    """

    def __init__(
        self,
        members: Members,
        info: CollectionInfo,
        settings: SearchSettings,
        progress: Progress,
        memory: Memory | None,
        *,
        seed: int,
    ) -> None:
        where: Filter | None = settings.where
        super().__init__(members, info, where, progress, memory)
        self.candidates = members.count
        self.recall = settings.recall
        self.densities = 0.0
        self.scan_reason = ""
        self.scanned_from: int | None = None
        self.lists_from: int | None = None
        self.density_scans = False
        self.erred = False
        self._learned_reason = ""
        self._probed = 0
        self._factor = LISTS_EF[0]
        self._sample: Float32Array | None = None
        self._truth = 0, Hits([], np.empty(0), np.empty(0, dtype=np.int64))
        self._rng = np.random.default_rng(seed)

    @abstractmethod
    def is_exact(self, limit: int) -> bool:
        """Whether searches of ``limit`` scan everything."""

    @abstractmethod
    def repeat_exactly(self, vectors: Float32Array, limit: int) -> Hits:
        """The ``limit`` nearest candidates of each row (B, D) by a scan, counted as a probe."""

    @property
    @abstractmethod
    def deepest_walk(self) -> int:
        """The largest limit of searches that are no scans by it."""

    def scans_lists(self, vectors: Float32Array, limit: int) -> bool:
        """Whether lists of ``limit`` around ``vectors`` (B, D) are scanned; probes if need be."""
        if not self._lists_exact(limit) and limit > self._probed:
            self._probe(vectors, limit)
        return self._lists_exact(limit)

    def scans_densities(self, limit: int) -> bool:
        """Whether searches of ``limit`` for densities are scans."""
        return self.density_scans or self.is_exact(limit)

    def _lists_exact(self, limit: int) -> bool:
        return self.is_exact(limit) or (self.lists_from is not None and limit >= self.lists_from)

    @property
    def lists_scanned_from(self) -> int | None:
        """Lists with this limit or a larger one are scanned, for either reason."""
        known = [one for one in (self.scanned_from, self.lists_from) if one is not None]
        return min(known, default=None)

    def scan_lists(self) -> None:
        """Scan lists of any depth from now on, as walks miss too much."""
        self.lists_from, self.erred = 0, True

    def scan_everything(self, reason: str) -> None:
        """Scan in every search from now on, where that is allowed; ``reason`` says why."""
        if self.info.limits.exact and not self.scan_reason:
            self._scan_all(reason)

    def widen(self, accuracy: float) -> None:
        """Search densities with a larger ef from now on, or by scans where that costs no more."""
        self.erred = True
        ef = self.ef or EF_LADDER[0]
        wider = self.info.limits.allowed_ef(WIDER * ef) or 0
        more = ef < wider and ef < self.info.count  # a walk that keeps all points finds no others
        if more and self._decided(f"ef {wider}", lambda: self._cheap(wider)):
            self.ef = wider
            return
        self.density_scans = True
        if self.lists_from == 0:
            self._scan_all(f"no ef up to {ef} reaches accuracy {accuracy:g}")

    def _decided(self, what: str, decide: Callable[[], bool]) -> bool:
        return self._remembering.decided(what, decide) if self.costs.timed else decide()

    def scans_are_cheap(self, scans: int) -> bool:
        """Whether that many ``scans`` cost little beside densities."""

        def cheap() -> bool:
            scan, density = self.costs.scan(), self.costs.walk(self.ef or EF_LADDER[0])
            if scan is None or density is None:
                return False
            return scans * scan <= CHEAP_SHARE * self.densities * density

        return self._decided(f"{scans} scans", cheap)

    def _cheap(self, ef: int) -> bool:
        walk, scan = self.costs.walk(ef), self.costs.scan()
        if walk is None or scan is None:
            return ef <= EF_LADDER[-1]
        return SCANS_PER_WALK * walk <= scan

    def _scan_all(self, reason: str) -> None:
        self.scan_reason = self._learned_reason = reason

    def walked(self) -> dict[str, Any]:
        """How searches are made, for :meth:`walk_as`."""
        return {
            "ef": self.ef,
            "probed": self._probed,
            "lists_factor": self._factor,
            "scanned_from": self.scanned_from,
            "lists_from": self.lists_from,
            "density_scans": self.density_scans,
            "erred": self.erred,
            "scan_reason": self._learned_reason,
        }

    def walk_as(self, facts: Mapping[str, Any], deepest: int) -> None:
        """Search as :meth:`walked` says; states of old say the ef alone, and nothing below it.

        Args:
            facts: what it gave.
            deepest: the depth that the lists of that time have.
        """
        self.ef = facts["ef"]
        self._probed = facts.get("probed", deepest if self.ef else 0)
        self._factor = facts.get("lists_factor", LISTS_EF[0])
        self.scanned_from = facts.get("scanned_from")
        self.lists_from = facts.get("lists_from")
        self.density_scans = facts.get("density_scans", False)
        self.erred = facts.get("erred", False)
        reason = facts.get("scan_reason", "")
        if reason and not self.scan_reason and self.info.limits.exact:
            self._scan_all(reason)

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
        first = self.ef is None
        if self.ef is None:
            tried = ladder(limits.ef)
            self.ef = self._first_to_reach(tried, limit)
            if self.ef is None:
                self._scan_all(too_low(tried[-1], self.info, self.recall))
        else:
            shortest = max(self.ef, limit)
            wanted = [factor * shortest for factor in LISTS_EF if factor >= self._factor]
            ef = self._first_to_reach(wanted, limit)
            if ef is None:
                self.scanned_from = limit
            else:
                self._factor = ef // shortest
        self._probed = limit
        if not self.is_exact(limit) and self._decided(
            f"lists of {limit}", lambda: self._scans_pay(len(vectors), limit)
        ):
            self.lists_from = 0 if first else limit

    def _scans_pay(self, lists: int, limit: int) -> bool:
        """Whether to scan that many ``lists`` costs little more than to walk them."""
        ef = self.ef or EF_LADDER[0]
        scan, density = self.costs.scan(), self.costs.walk(ef)
        walk = self.costs.walk(self._factor * max(ef, limit))
        if scan is None or walk is None or density is None:
            return False
        return lists * scan <= lists * walk + SCANNED_LISTS_SHARE * self.densities * density

    def _first_to_reach(self, efs: Sequence[int], limit: int) -> int | None:
        """The first of ``efs`` whose walks find enough of what scans find; None if none does."""
        assert self._sample is not None
        depth, truth = self._truth
        if depth < limit:
            walked = self.deepest_walk
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
