"""Neighbour lists and densities of one task, fetched piece by piece."""

from __future__ import annotations

import numpy as np

from tsds_qdrant.arrays import BoolArray, Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.collections.ids import PointIndex, sorted_by_distance
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import DepthError, InputError
from tsds_qdrant.neighbors.fetching import fetch
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.vicinities import Vicinities
from tsds_qdrant.solver.lists import NeighborLists

ENTRIES_LIMIT = 50_000_000
"""Maximum number of list entries; they take about 2 GB in the solver."""


class Neighborhoods:
    """What is known so far of M query examples, and the searches that find out more.

    Attributes:
        queries: (M, D) vectors of the query examples.
        index: candidate numbers of all points seen.
        vicinities: densities and what they were summed over.
        candidates: M arrays of candidate numbers, nearest first.
        distances: M arrays of their distances.
        complete: (M,) whether a list holds every candidate there is.
        exact: (M,) whether a list is that of a scan.
        fetched: (M,) the depths to which a new search would fetch the same lists.
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
        self.vicinities = Vicinities(searcher, self.index, bandwidth, density_limit)
        self.candidates: list[IntArray] = [np.empty(0, dtype=np.int64)] * len(queries)
        self.distances: list[FloatArray] = [np.empty(0)] * len(queries)
        self.complete = np.zeros(len(queries), dtype=np.bool_)
        self.exact = np.zeros(len(queries), dtype=np.bool_)
        self.fetched = np.zeros(len(queries), dtype=np.int64)

    @property
    def lists(self) -> NeighborLists:
        """The lists as far as they are fetched, without what is excluded."""
        candidates, distances, excluded = self.candidates, self.distances, self.excluded
        if excluded.any():
            kept = [~excluded[row] for row in candidates]
            candidates = [row[keep] for row, keep in zip(candidates, kept, strict=True)]
            distances = [row[keep] for row, keep in zip(distances, kept, strict=True)]
        return NeighborLists.from_rows(candidates, distances, self.complete)

    @property
    def excluded(self) -> BoolArray:
        """(candidates,) those that count as deleted, though they are stored."""
        return self.index.excluded

    @property
    def hidden(self) -> IntArray:
        """(M,) how many candidates of each list are excluded."""
        excluded = self.excluded
        return np.array([np.sum(excluded[row]) for row in self.candidates], dtype=np.int64)

    @property
    def pool(self) -> int:
        """N: how many candidates there are, without the excluded."""
        return self.searcher.candidates - int(self.excluded.sum())

    def set_excluded(self, candidates: IntArray) -> None:
        """Count exactly ``candidates`` as deleted from now on; later searches keep to it.

        Raises:
            InputError: nothing is left.
        """
        before = self.excluded.copy()
        self.excluded[:] = False
        self.excluded[candidates] = True
        if (changed := before != self.excluded).any():
            self.vicinities.exclusion_changed(changed)
        if not self.pool:
            raise InputError(
                f"all {self.searcher.candidates} candidates are excluded; ingest others, or "
                f"exclude less"
            )
        emptied = (self.depths > 0) & (self.depths == self.hidden) & ~self.complete
        self.deepen(np.flatnonzero(emptied), self.fetched[emptied])

    @property
    def depths(self) -> IntArray:
        """(M,) how many candidates each list holds."""
        return np.array([len(row) for row in self.candidates], dtype=np.int64)

    @property
    def ends(self) -> FloatArray:
        """(M,) the distance up to which each list holds all candidates."""
        last = [row[-1] if len(row) else -np.inf for row in self.distances]
        return np.where(self.complete, np.inf, last)

    @property
    def densities(self) -> FloatArray:
        """(candidates,) densities; NaN where not known."""
        return self.vicinities.densities

    @property
    def foreseen(self) -> FloatArray:
        """(candidates,) guesses of densities; 0 where there are none."""
        return self.vicinities.foreseen

    @property
    def bandwidth(self) -> float:
        """h; 0 makes every density 1."""
        return self.vicinities.bandwidth

    def set_bandwidth(self, bandwidth: float) -> None:
        """Use another bandwidth h from now on; densities known so far are forgotten."""
        self.vicinities.set_bandwidth(bandwidth)

    @property
    def capped(self) -> int:
        """How many densities are lower bounds, as the limit of neighbours was met."""
        return self.vicinities.capped

    @property
    def known_weight(self) -> float:
        """A lower bound on Z = sum of 1 / density over the pool."""
        if self.bandwidth == 0:
            return float(self.pool)
        return float(np.nansum(1.0 / self.densities))

    def deepen(self, rows: IntArray, limits: IntArray, *, at_least: bool = False) -> None:
        """Fetch the lists of ``rows`` (r,) to the depths ``limits`` (r,), or as far as ties reach.

        Lists that are begun may get less where a deployment gives less, unless ``at_least``.

        Raises:
            DepthError: the lists would not fit into memory, or the deployment does not give them.
        """
        while len(rows):
            limits = np.maximum(limits, 2 * self.fetched[rows])
            deepest = self.searcher.depth
            if deepest is not None and not at_least:
                fetched, less = self.fetched[rows], np.minimum(limits, deepest)
                limits = np.where((fetched > 0) & (fetched < deepest), less, limits)
            self._check_size(rows, limits)
            fetch(self, rows, limits)
            rows = rows[(self.depths[rows] == self.hidden[rows]) & ~self.complete[rows]]
            limits = 4 * self.fetched[rows]

    def scan_lists(self) -> None:
        """Fetch the lists that are not those of scans again, by scans, and all later ones."""
        self.searcher.scan_lists()
        rows = np.flatnonzero(~self.exact & (self.fetched > 0))
        limits = self.fetched[rows]
        self.fetched[rows] = 0
        self.deepen(rows, limits)

    def _check_size(self, rows: IntArray, limits: IntArray) -> None:
        depths = self.depths
        depths[rows] = np.minimum(limits, self.searcher.candidates)
        if depths.sum() > ENTRIES_LIMIT:
            raise DepthError(
                f"{depths.sum()} neighbours would be fetched for {len(depths)} task examples (at "
                f"most {ENTRIES_LIMIT} fit); lower the size, give fewer task examples, or raise "
                f"alpha where it is set"
            )

    def learn(self, candidates: IntArray) -> None:
        """Find the densities of ``candidates`` (c,): one search for each distinct vector."""
        missing = self.vicinities.learn(candidates)
        if len(missing):
            self.drop(missing)

    def drop(self, candidates: IntArray) -> None:
        """Take ``candidates`` that are no longer stored, or not as they were, out of everything."""
        gone = np.zeros(len(self.index), dtype=np.bool_)
        gone[candidates] = True
        for row, listed in enumerate(self.candidates):
            keep = ~gone[listed]
            if not keep.all():
                self.fetched[row] -= len(keep) - keep.sum()
                self.candidates[row] = listed[keep]
                self.distances[row] = self.distances[row][keep]
        self.vicinities.drop(candidates)

    def insert(self, rows: IntArray, hits: Hits) -> None:
        """Put new candidates into the lists of ``rows`` (r,): the hits of one search each.

        What lies beyond the end of a list is left out: nothing is known of its neighbours there.
        """
        numbers = self.index.numbers(hits.ids)
        ends = self.ends
        starts = np.concatenate([[0], np.cumsum(hits.counts)])
        for k, row in enumerate(rows.tolist()):
            part = np.arange(starts[k], starts[k + 1])
            part = part[hits.distances[part] <= ends[row]]
            self.fetched[row] += len(part)
            candidates = np.concatenate([self.candidates[row], numbers[part]])
            distances = np.concatenate([self.distances[row], hits.distances[part]])
            keys = self.index.keys[candidates]
            order = sorted_by_distance(np.zeros_like(candidates), distances, keys)
            self.candidates[row], self.distances[row] = candidates[order], distances[order]

    def forget(self) -> None:
        """Forget everything but the query examples and the bandwidth."""
        self.__init__(  # type: ignore[misc]
            self.searcher,
            self.queries,
            bandwidth=self.bandwidth,
            density_limit=self.vicinities.limit,
        )

    def replace_queries(self, queries: Float32Array) -> None:
        """Take other query examples (M', D); those that are known already keep their lists."""
        known = {row.tobytes(): number for number, row in enumerate(self.queries)}
        old = [known.get(row.tobytes(), -1) for row in queries]
        nothing, nowhere = np.empty(0, dtype=np.int64), np.empty(0)
        self.candidates = [self.candidates[k] if k >= 0 else nothing for k in old]
        self.distances = [self.distances[k] if k >= 0 else nowhere for k in old]
        self.complete = np.array([k >= 0 and self.complete[k] for k in old], dtype=np.bool_)
        self.exact = np.array([k >= 0 and self.exact[k] for k in old], dtype=np.bool_)
        self.fetched = np.array([self.fetched[k] if k >= 0 else 0 for k in old], dtype=np.int64)
        self.queries = queries

    def moved(self) -> tuple[list[PointId], int]:
        """Candidates of known density whose stored vector is another one now, and how many are."""
        owners = np.flatnonzero(self.vicinities.place_of >= 0)
        if self.bandwidth == 0:
            return [], 0
        places = self.vicinities.places
        numbers = dict(zip(self.index.ids(owners.tolist()), owners.tolist(), strict=True))
        moved = []
        for record in self.vicinities.stored(owners):
            place = places[int(self.vicinities.place_of[numbers[record.id]])]
            if record.vector is None or record.vector.tobytes() != place.vector.tobytes():
                moved.append(record.id)
        return moved, len(owners)
