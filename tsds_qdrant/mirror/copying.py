"""Points into the draft of a mirror, page by page: what came, what changed, and what went."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.edge.room import check_room, written_bytes
from tsds_qdrant.collections.ids import KeyArray, found_in, packed, point_ids, point_keys
from tsds_qdrant.collections.payloads import checked_payloads
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.values import Filter, PointId
from tsds_qdrant.collections.whole import SPARSE_FLOATS, Whole
from tsds_qdrant.errors import UnreachableError
from tsds_qdrant.mirror.draft import Draft
from tsds_qdrant.mirror.facts import Names
from tsds_qdrant.mirror.merging import Merging
from tsds_qdrant.mirror.report import MirrorReport
from tsds_qdrant.progress import Progress

NOTED_S = 2.0
"""Seconds between two notes of how far the draft is."""
FETCHED = 500
FLOAT_BYTES = 4


class Copying:
    """Brings the collection of a draft to the state of a source."""

    def __init__(
        self,
        source: Collection,
        copy: EdgeCollection,
        where: Filter | None,
        merging: Merging,
        report: MirrorReport,
    ) -> None:
        self._source = source
        self._copy = copy
        self._where = where
        self._merging = merging
        self._report = report
        self._names = Names()
        self._fresh = not copy.count()

    def run(self, draft: Draft, noted: dict[str, Any], progress: Progress) -> Names:
        """Copy all pages from where ``noted`` says on, and delete what the source has not.

        Returns:
            the names of tags and marks that the source has.

        Raises:
            RequestRejectedError: there is no room on the disk; the draft stays, to be gone on with.
        """
        self._names = Names(noted.get("names"))
        offset: PointId | None = noted.get("offset")
        done, total = int(noted.get("done", 0)), self._source.count(self._where)
        if not done or offset is not None:
            before, first = time.monotonic(), self._fresh
            try:
                progress("mirror", done, total)
                for page in self._source.scroll_whole(self._where, after=offset):
                    if first and page.points:
                        self._check_room(draft, page.points, total)
                        first = False
                    self._put(page.points)
                    offset, done = page.following, done + len(page.points)
                    if offset is None or time.monotonic() - before > NOTED_S:
                        before = time.monotonic()
                        self._note(draft, noted, offset, done)
                    progress("mirror", done, max(done, total))
            except (KeyboardInterrupt, UnreachableError):
                if done:
                    self._note(draft, noted, offset, done)
                raise
        self._settle(progress)
        return self._names

    def _note(self, draft: Draft, noted: dict[str, Any], offset: PointId | None, done: int) -> None:
        """Remember that ``done`` points are in the draft, and which one, ``offset``, is next."""
        self._copy.flush()
        noted |= {"offset": offset, "done": done, "names": self._names.stored()}
        noted |= {"added": self._report.added, "updated": self._report.updated}
        draft.note(noted)

    def _put(self, points: Sequence[Whole]) -> None:
        for point in points:
            self._names.see(point.payload)
        stored: dict[PointId, Whole] = {}
        changed = points
        if not self._fresh:
            stored = self._copy.whole([point.id for point in points])
            changed = self._merging.changed(points, stored)
        if changed:
            self._copy.put_whole(changed)
        added = sum(point.id not in stored for point in changed)
        self._report.added += added
        self._report.updated += len(changed) - added

    def _settle(self, progress: Progress) -> None:
        """Delete points that the source no longer has, and fetch those that came meanwhile."""
        theirs, ours = _keys(self._source, self._where), _keys(self._copy, None)
        gone, late = _missing(ours, theirs), _missing(theirs, ours)
        total = len(gone) + len(late)
        for done in range(0, total, FETCHED):
            progress("settle", done, total)
            if ids := gone[done : done + FETCHED]:
                self._copy.delete(ids)
                self._report.deleted += len(ids)
            if ids := late[max(0, done - len(gone)) : max(0, done + FETCHED - len(gone))]:
                self._put(list(self._source.whole(ids).values()))
        progress("settle", total, total)

    def _check_room(self, draft: Draft, points: Sequence[Whole], total: int) -> None:
        """Check that the disk has room for ``total`` points like the first ``points``.

        Raises:
            RequestRejectedError: it has not.
        """
        sizes = checked_payloads([p.id for p in points], [p.payload for p in points])
        floats = sum(space.dimension or SPARSE_FLOATS for space in self._copy.spaces.values())
        size = sum(sizes) / len(sizes) + FLOAT_BYTES * floats
        check_room(
            Place(str(draft.target.parent), draft.name),
            draft.folder,
            written_bytes(total, size * total),
            f"mirror {total} points",
            lambda: "nothing is in its place yet",
        )


def _keys(collection: Collection, where: Filter | None) -> KeyArray:
    """(n, 3) keys of all ids."""
    pages = [point_keys(page) for page in collection.scroll_ids(where)]
    return np.concatenate([np.empty((0, 3), dtype=np.uint64), *pages])


def _missing(keys: KeyArray, among: KeyArray) -> list[PointId]:
    """The ids behind ``keys`` that are not ``among`` others."""
    there = found_in(np.sort(packed(among)), packed(keys))[1]
    return point_ids(keys[~there])
