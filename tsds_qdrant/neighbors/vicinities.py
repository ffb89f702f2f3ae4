"""Densities, and the neighbourhoods that they are summed over.

A density belongs to a place, not to a point: exact copies share one search. The neighbours found
within the bandwidth are kept, so that a change of the pool changes sums instead of asking again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from tsds_qdrant.arrays import BoolArray, Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.hits import Hits, search_numbers
from tsds_qdrant.collections.ids import PointIndex, sorted_by_distance
from tsds_qdrant.collections.values import Record
from tsds_qdrant.neighbors.places import Vicinity, densities_at, foresee
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.pool.pool import with_direction

FIRST_LIMIT = 64
FIRST_SCAN_LIMIT = 256
GROWTH = 4
OFTEN = 4
"""Where more scans than one in this many need a larger limit, later ones begin with that."""


class Vicinities:
    """Densities of candidates by number, and the places that they lie at.

    Args:
        searcher: runs the searches.
        index: numbers of all points seen; neighbours are added to it.
        bandwidth: h; 0 makes every density 1.
        limit: maximum number of neighbours that are fetched for a place.
    """

    def __init__(self, searcher: Searcher, index: PointIndex, bandwidth: float, limit: int) -> None:
        self._searcher = searcher
        self._index = index
        self.limit = limit
        self._bandwidth = bandwidth
        self._places: list[Vicinity] = []
        self._by_mark: dict[bytes, int] = {}
        self._scan_limit = FIRST_SCAN_LIMIT
        self._place_of = np.empty(0, dtype=np.int64)
        self._densities = np.empty(0)
        self._foreseen = np.empty(0)

    @property
    def bandwidth(self) -> float:
        """h; 0 makes every density 1."""
        return self._bandwidth

    def set_bandwidth(self, bandwidth: float) -> None:
        """Use another bandwidth h from now on; what is known so far is forgotten."""
        self._bandwidth = bandwidth
        self.restore([], np.empty(0, dtype=np.int64))

    @property
    def densities(self) -> FloatArray:
        """(len(index),) densities; NaN where not known."""
        unseen = len(self._index) - len(self._densities)
        if unseen:
            new = np.full(unseen, np.nan if self._bandwidth > 0 else 1.0)
            self._densities = np.concatenate([self._densities, new])
            nowhere = np.full(unseen, -1, dtype=np.int64)
            self._place_of = np.concatenate([self._place_of, nowhere])
        return self._densities

    @property
    def foreseen(self) -> FloatArray:
        """(len(index),) guesses of densities by :func:`foresee`; 0 where there are none."""
        unseen = len(self._index) - len(self._foreseen)
        if unseen:
            self._foreseen = np.concatenate([self._foreseen, np.zeros(unseen)])
        return self._foreseen

    def exclusion_changed(self, changed: BoolArray) -> None:
        """Sum again after candidates ``changed`` (by number) were excluded, or are no longer."""
        places = [k for k, place in enumerate(self._places) if changed[place.members].any()]
        owners = np.flatnonzero(changed | np.isin(self.place_of, places))
        owners = owners[self.place_of[owners] >= 0]
        self._assign(owners, self.place_of[owners])

    @property
    def capped(self) -> int:
        """How many places have more neighbours than were fetched."""
        return sum(not place.whole for place in self._places)

    @property
    def places(self) -> list[Vicinity]:
        """All places."""
        return self._places

    @property
    def place_of(self) -> IntArray:
        """(len(index),) the place of each candidate of known density; -1 for the others."""
        seen = len(self.densities)  # which makes room for new ones
        return self._place_of[:seen]

    def restore(self, places: list[Vicinity], place_of: IntArray) -> None:
        """Take over places that were known before."""
        self._places = places
        self._by_mark = {_mark(place.vector): k for k, place in enumerate(places)}
        self._densities, self._foreseen = np.empty(0), np.empty(0)
        self._place_of = np.empty(0, dtype=np.int64)
        known = np.flatnonzero(place_of >= 0)
        if len(known):
            self._assign(known, place_of[known])

    def learn(self, candidates: IntArray) -> IntArray:
        """Find the densities of ``candidates`` (c,); return those that are none any more.

        Raises:
            UnsupportedCollectionError: the vector of one is not of unit length under Dot.
        """
        stored = with_direction(self.stored(candidates), self._searcher.info)
        found = self._index.numbers([record.id for record in stored])
        vectors = [record.vector for record in stored if record.vector is not None]
        marks = [_mark(vector) for vector in vectors]
        new = sorted({mark: row for row, mark in enumerate(marks)}.items(), key=lambda x: x[1])
        rows = [row for mark, row in new if mark not in self._by_mark]
        known = len(self._places)
        if rows:
            for row, place in zip(rows, self._search([vectors[r] for r in rows]), strict=True):
                self._by_mark[marks[row]] = len(self._places)
                self._places.append(place)
        self._assign(found, np.array([self._by_mark[mark] for mark in marks], dtype=np.int64))
        foresee(self.foreseen, self._places[known:], self.densities[found[rows]], self._bandwidth)
        return np.setdiff1d(candidates, found)

    def stored(self, candidates: IntArray) -> list[Record]:
        """The points of ``candidates`` with their vectors."""
        return self._searcher.stored(self._index.ids(candidates.tolist()))

    def exact(self, candidates: IntArray) -> FloatArray:
        """(c,) densities of ``candidates`` by scans; nothing known is changed."""
        vectors = [self._places[k].vector for k in self.place_of[candidates].tolist()]
        places = self._search(vectors, exact=True)
        return densities_at(places, candidates, self._bandwidth, self._index.excluded)

    def search_again(self, places: Sequence[int] | None = None) -> None:
        """Find all densities again, by what searches have become; or at ``places``, by scans."""
        numbers = range(len(self._places)) if places is None else places
        if numbers:
            vectors = [self._places[number].vector for number in numbers]
            found = self._search(vectors, exact=None if places is None else True)
            for number, place in zip(numbers, found, strict=True):
                self._places[number] = place
            owners = np.flatnonzero(np.isin(self.place_of, list(numbers)))
            self._assign(owners, self.place_of[owners])

    def drop(self, candidates: IntArray) -> None:
        """Take ``candidates`` out: they have no density, and are nobody's neighbour."""
        gone = np.zeros(len(self.densities), dtype=np.bool_)
        gone[candidates] = True
        self._index.excluded[gone] = False
        self._place_of[gone] = -1
        self._densities[gone] = np.nan if self._bandwidth > 0 else 1.0
        touched = []
        for number, place in enumerate(self._places):
            keep = ~gone[place.members]
            if not keep.all():
                touched.append(number)
                place.members, place.distances = place.members[keep], place.distances[keep]
        self._refresh(touched)

    def insert(self, places: Sequence[int], hits: Hits) -> None:
        """Add new neighbours: the hits of search k belong to place ``places[k]``."""
        numbers = self._index.numbers(hits.ids)
        keys = self._index.keys
        starts = np.concatenate([[0], np.cumsum(hits.counts)])
        for k, number in enumerate(places):
            part = slice(starts[k], starts[k + 1])
            place = self._places[number]
            members = np.concatenate([place.members, numbers[part]])
            distances = np.concatenate([place.distances, hits.distances[part]])
            order = sorted_by_distance(np.zeros_like(members), distances, keys[members])
            place.members, place.distances = members[order], distances[order]
        self._refresh(places)

    def _assign(self, candidates: IntArray, places: IntArray) -> None:
        densities, excluded = self.densities, self._index.excluded
        self._place_of[candidates] = places
        densities[candidates] = np.nan
        counted = ~excluded[candidates]
        candidates, places = candidates[counted], places[counted]
        # Copies have equal densities if the search found them all: ask once for each case.
        used, place = np.unique(places, return_inverse=True)
        parts = [self._places[number].members for number in used.tolist()]
        members = np.concatenate([np.empty(0, np.int64), *parts])
        own = np.full(len(densities), -1, dtype=np.int64)
        own[candidates] = place
        is_own = own[members] == np.repeat(np.arange(len(used)), [len(part) for part in parts])
        own[members[is_own]] = -1
        found = own[candidates] < 0
        _, chosen, case = np.unique(2 * place + found, return_index=True, return_inverse=True)
        at = [self._places[number] for number in places[chosen].tolist()]
        found_once = densities_at(at, candidates[chosen], self._bandwidth, excluded)
        densities[candidates] = found_once[case]

    def _refresh(self, places: Sequence[int]) -> None:
        """Sum again at ``places``; where the limit had cut something off, forget instead."""
        owners = np.flatnonzero(np.isin(self.place_of, list(places)))
        self._assign(owners, self.place_of[owners])
        cut = [number for number in places if not self._places[number].whole]
        if cut:
            self._forget(cut)

    def _forget(self, places: Sequence[int]) -> None:
        """Make the densities at ``places`` unknown."""
        owners = np.isin(self.place_of, list(places))
        self._place_of[owners] = -1
        self._densities[owners] = np.nan
        kept = np.setdiff1d(np.arange(len(self._places)), list(places))
        renumbered = np.full(len(self._places) + 1, -1, dtype=np.int64)
        renumbered[kept] = np.arange(len(kept))
        self._places = [self._places[number] for number in kept.tolist()]
        self._by_mark = {_mark(place.vector): k for k, place in enumerate(self._places)}
        self._place_of = renumbered[self._place_of]

    def _search(
        self, vectors: Sequence[Float32Array], *, exact: bool | None = None
    ) -> list[Vicinity]:
        """The places of ``vectors``, with larger limits where an answer is full."""
        matrix = np.stack(vectors)
        places: list[Vicinity | None] = [None] * len(matrix)
        rows = np.arange(len(matrix))
        limit = FIRST_LIMIT
        if scans := exact or self._searcher.scans_densities(limit):
            limit = self._scan_limit
        limit = min(limit, self._searcher.depth or limit)
        while len(rows):
            depth = self._searcher.checked_limit(min(limit, self.limit))
            hits = self._searcher.around(matrix[rows], depth, self._bandwidth, exact=exact)
            numbers, search = self._index.numbers(hits.ids), search_numbers(hits)
            order = sorted_by_distance(search, hits.distances, self._index.keys[numbers])
            starts = np.concatenate([[0], np.cumsum(hits.counts)])
            last = depth >= min(self.limit, self._searcher.candidates)
            full = hits.counts >= depth
            for k, row in enumerate(rows.tolist()):
                if last or not full[k]:
                    part = order[starts[k] : starts[k + 1]]
                    whole = not full[k] or depth > self._searcher.candidates
                    places[row] = Vicinity(
                        matrix[row], numbers[part], hits.distances[part], bool(whole)
                    )
            rows = rows[full] if not last else rows[:0]
            limit *= GROWTH
            if scans and len(rows) > len(matrix) // OFTEN:
                self._scan_limit = limit
        return [place for place in places if place is not None]


def _mark(vector: Float32Array) -> bytes:
    return hashlib.blake2b(vector.tobytes(), digest_size=16).digest()
