"""Neighbour lists and densities of one task, fetched piece by piece."""

from __future__ import annotations

import hashlib

import numpy as np

from tsds_qdrant.collections.protocol import BoolArray, Float32Array, Hits
from tsds_qdrant.density import densities_of
from tsds_qdrant.errors import DepthError
from tsds_qdrant.lists import FloatArray, IntArray, NeighborLists
from tsds_qdrant.points import PointIndex, sorted_by_distance
from tsds_qdrant.search import Searcher, search_numbers

FIRST_DENSITY_LIMIT = 64
FIRST_SCAN_LIMIT = 256
DENSITY_GROWTH = 4
ENTRIES_LIMIT = 50_000_000
"""So many list entries take about 2 GB in the solver."""


class Neighborhoods:
    """What is known so far of M query examples, and the searches that tell more.

    Attributes:
        queries: (M, D) vectors of the query examples.
        bandwidth: h; 0 makes every density 1.
        index: candidate numbers of all points seen.
        capped: candidates whose density is a lower bound, as ``density_limit`` was met.
    """

    def __init__(
        self,
        searcher: Searcher,
        queries: Float32Array,
        *,
        bandwidth: float = 0.0,
        density_limit: int = 100_000,
    ) -> None:
        self.searcher = searcher
        self.queries = queries
        self.index = PointIndex()
        self.bandwidth = bandwidth
        self.capped = 0
        self._density_limit = density_limit
        self._candidates: list[IntArray] = [np.empty(0, dtype=np.int64)] * len(queries)
        self._distances: list[FloatArray] = [np.empty(0)] * len(queries)
        self._complete = np.zeros(len(queries), dtype=np.bool_)
        self._fetched = np.zeros(len(queries), dtype=np.int64)
        self._densities = np.empty(0)
        self._density_of_vector: dict[bytes, float] = {}

    @property
    def lists(self) -> NeighborLists:
        """The lists as far as they are fetched."""
        return NeighborLists.from_rows(self._candidates, self._distances, self._complete)

    @property
    def depths(self) -> IntArray:
        """(M,) how many candidates each list holds."""
        return np.array([len(row) for row in self._candidates], dtype=np.int64)

    @property
    def densities(self) -> FloatArray:
        """(candidates,) densities; NaN where not known."""
        unseen = len(self.index) - len(self._densities)
        if unseen:
            new = np.full(unseen, np.nan if self.bandwidth > 0 else 1.0)
            self._densities = np.concatenate([self._densities, new])
        return self._densities

    def set_bandwidth(self, bandwidth: float) -> None:
        """Use another bandwidth h from now on; densities known so far are forgotten."""
        self.bandwidth = bandwidth
        self._densities = np.empty(0)
        self._density_of_vector = {}

    @property
    def known_weight(self) -> float:
        """A lower bound on Z = sum of 1 / density over the pool."""
        if self.bandwidth == 0:
            return float(self.searcher.candidates)
        return float(np.nansum(1.0 / self.densities))

    def deepen(self, rows: IntArray, limits: IntArray) -> None:
        """Fetch the lists of ``rows`` (r,) to the depths ``limits`` (r,), or as far as ties reach.

        Raises:
            DepthError: the lists would not fit into memory.
        """
        while len(rows):
            limits = np.maximum(limits, 2 * self._fetched[rows])
            self._check_size(rows, limits)
            for limit in np.unique(limits):
                self._fetch(rows[limits == limit], int(limit))
            rows = rows[(self.depths[rows] == 0) & ~self._complete[rows]]
            limits = 4 * self._fetched[rows]

    def _fetch(self, rows: IntArray, limit: int) -> None:
        depth = self.searcher.checked_limit(limit, spare=1)
        hits, exact = self.searcher.nearest(self.queries[rows], depth)
        whole = exact or depth > self.searcher.candidates
        self._fetched[rows] = limit
        self._store(rows, hits, depth if whole else None)
        short = rows[hits.counts < min(depth, self.searcher.candidates)]
        if len(short) and not exact and self.searcher.info.limits.exact:
            # A walk that comes back short proves nothing; a scan does.
            again = self.searcher.repeat_exactly(self.queries[short], depth)
            self._store(short, again, depth)

    def _store(self, rows: IntArray, hits: Hits, exact_depth: int | None) -> None:
        if exact_depth is not None:
            self._complete[rows] = hits.counts < exact_depth
        numbers = self.index.numbers(hits.ids)
        search = search_numbers(hits)
        order = sorted_by_distance(search, hits.distances, self.index.keys[numbers])
        starts = np.concatenate([[0], np.cumsum(hits.counts)])
        for k, row in enumerate(rows.tolist()):
            part = order[starts[k] : starts[k + 1]]
            distances = hits.distances[part]
            # *subtle*: which of the candidates tied at the cut came along is chance (500 copies
            # of one text, say), so all of them wait for the next depth.
            kept = len(part)
            if kept and not self._complete[row]:
                kept = int(np.searchsorted(distances, distances[-1]))
            self._candidates[row] = numbers[part[:kept]]
            self._distances[row] = distances[:kept]

    def _check_size(self, rows: IntArray, limits: IntArray) -> None:
        depths = self.depths
        depths[rows] = np.minimum(limits, self.searcher.candidates)
        if depths.sum() > ENTRIES_LIMIT:
            raise DepthError(
                f"alpha is so small that {depths.sum()} neighbours would be fetched for "
                f"{len(depths)} task examples (at most {ENTRIES_LIMIT} fit); raise alpha, "
                f"lower the size, or give fewer task examples"
            )

    def learn(self, candidates: IntArray) -> None:
        """Find the densities of ``candidates`` (c,): one search for each distinct vector."""
        densities = self.densities
        stored = self.searcher.collection.retrieve(
            self.index.ids(candidates.tolist()), payloads=False, vectors=True
        )
        found = self.index.numbers([record.id for record in stored])
        if len(found) < len(candidates):
            self._forget(np.setdiff1d(candidates, found))
        if not len(found):
            return
        vectors = np.stack([record.vector for record in stored if record.vector is not None])
        marks = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in vectors]
        first_of = {mark: row for row, mark in reversed(list(enumerate(marks)))}
        new = np.array(
            sorted(row for mark, row in first_of.items() if mark not in self._density_of_vector),
            dtype=np.int64,
        )
        if len(new):
            searched = self._search_densities(found[new], vectors[new])
            for row, density in zip(new.tolist(), searched.tolist(), strict=True):
                self._density_of_vector[marks[row]] = density
        densities[found] = [self._density_of_vector[mark] for mark in marks]

    def exact_densities(self, candidates: IntArray) -> FloatArray:
        """(c,) densities of ``candidates``, by scans; nothing known is changed."""
        stored = self.searcher.collection.retrieve(
            self.index.ids(candidates.tolist()), payloads=False, vectors=True
        )
        vectors = np.stack([record.vector for record in stored if record.vector is not None])
        return self._search_densities(candidates, vectors, exact=True)

    def _forget(self, candidates: IntArray) -> None:
        """Take ``candidates`` that were deleted in the meantime out of all lists."""
        for row, listed in enumerate(self._candidates):
            keep = ~np.isin(listed, candidates)
            self._candidates[row] = listed[keep]
            self._distances[row] = self._distances[row][keep]

    def _search_densities(
        self, candidates: IntArray, vectors: Float32Array, *, exact: bool | None = None
    ) -> FloatArray:
        """Densities around ``vectors`` (c, D), with larger limits where an answer is full."""
        densities = np.ones(len(candidates))
        open_rows = np.arange(len(candidates))
        limit = FIRST_DENSITY_LIMIT
        if exact or self.searcher.is_exact(limit):
            limit = FIRST_SCAN_LIMIT
        while len(open_rows):
            depth = self.searcher.checked_limit(min(limit, self._density_limit))
            hits = self.searcher.around(vectors[open_rows], depth, self.bandwidth, exact=exact)
            owner = candidates[open_rows][search_numbers(hits)]
            is_self = self.index.lookup(hits.ids) == owner
            densities[open_rows] = densities_of(
                hits.distances, hits.counts, is_self, self.bandwidth
            )
            full: BoolArray = hits.counts >= depth
            open_rows = open_rows[full]
            if len(open_rows) and depth >= min(self._density_limit, self.searcher.candidates):
                self.capped += len(open_rows) if depth < self.searcher.candidates else 0
                break
            limit *= DENSITY_GROWTH
        return densities
