"""A mirror: an embedded copy of a collection, made whole, and brought up to date by a second run.

Everything happens in a draft beside it, which takes its place at the end in one step. Whoever is
killed leaves the mirror that was there, or the new one; the next run goes on with the draft where
nothing that it rests on has changed.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.edge.cloning import opened_at, path_of
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.edge.directory import CONFIG_FILE
from tsds_qdrant.collections.edge.locks import held
from tsds_qdrant.collections.edge.sizes import shard_bytes
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.server.snapshots import Streamed, streamed_shards
from tsds_qdrant.collections.values import Filter
from tsds_qdrant.errors import CollectionExistsError, InputError, SettingsError
from tsds_qdrant.mirror.checks import (
    check_not_made_again,
    check_place,
    checked_facts,
    made_directory,
)
from tsds_qdrant.mirror.draft import Draft
from tsds_qdrant.mirror.facts import Facts, Source
from tsds_qdrant.mirror.making import NO_SNAPSHOT, Basis, Making
from tsds_qdrant.mirror.report import MirrorReport, Way
from tsds_qdrant.mirror.settings import MirrorSettings
from tsds_qdrant.paths import expanded, is_same_file
from tsds_qdrant.pool.members import Members, no_candidate
from tsds_qdrant.progress import Progress, silent


def mirror(
    source: Collection,
    settings: MirrorSettings,
    *,
    where: Filter | None = None,
    file: str | None = None,
    flag: str = "--to",
    progress: Progress = silent,
) -> MirrorReport:
    """Make the mirror of ``source`` that ``settings`` ask for, or bring it up to date.

    Args:
        source: an open collection, of any kind.
        settings: where to, and how.
        where: the points that it is to show; all by default.
        file: the snapshot file that ``source`` was unpacked from, if it was.
        flag: what named the directory that the mirror is in.
        progress: stages ``mirror``, ``settle``, ``index`` and ``put in place``.

    Raises:
        CollectionError: no mirror can be made in the directory.
        CollectionExistsError: there is another collection of that name.
        CollectionMismatchError: there is a mirror of something else, or the source was made again.
        CollectionLockedError: the mirror is open in another process, or being made by one.
        RequestRejectedError: there is no room on the disk.
        SettingsError: the mirror would take the place of its source, or another one that cannot be.
        InputError: no point matches ``where``, and there is no mirror yet.
    """
    shown = Source.of(source.info(), where, file)
    check_place(settings.to, source.info().name, flag)
    return Mirroring(source, settings, shown, flag, progress).done()


class Mirroring:
    """One run of ``mirror``."""

    def __init__(
        self,
        source: Collection,
        settings: MirrorSettings,
        shown: Source,
        flag: str,
        progress: Progress,
    ) -> None:
        self._source = source
        self._settings = settings
        self._shown = shown
        self._flag = flag
        self._progress = progress
        self._shape = source.shape()
        self._origin = path_of(source)
        directory, name = expanded(settings.to), source.info().name
        self._draft = Draft(directory, name)
        self._place = Place(str(directory), name)

    def done(self) -> MirrorReport:
        """Make the draft and put it in place."""
        started = time.perf_counter()
        target = self._draft.target
        if self._origin is not None and is_same_file(self._origin, target):
            raise SettingsError(
                f"{self._flag} {self._place.location} is where collection '{target.name}' itself "
                f"is; choose another directory"
            )
        if self._settings.by == "snapshot" and not self._streamed.shards:
            raise SettingsError(
                f"--by snapshot is for all points of a collection on a server, and there is none "
                f"of {self._shown}: {self._streamed.lacking}; leave it out"
            )
        if not target.exists() or self._settings.replace:
            self._check_filter()
        made_directory(self._settings.to, self._flag)
        with self._draft.locked(), ExitStack() as stack:
            self._draft.recovered()
            there, facts = self._open_target(stack)
            report = self._report(there, facts)
            seen = self._seen()
            indexes = self._settings.index and not (facts and facts.indexed)
            if seen is None or facts is None or facts.seen != seen or indexes:
                place = (self._source, self._shown, self._shape, seen, self._origin)
                basis = Basis(*place, there, facts, self._streamed.shards)
                Making(basis, self._settings, self._draft, report, self._progress).run()
                self._put_in_place(there)
            else:
                report.same = True
                report.points = there.count() if there else 0
                self._draft.remove()
        report.bytes = shard_bytes(self._place.location, self._place.collection)
        report.seconds = time.perf_counter() - started
        return report

    def _check_filter(self) -> None:
        """Check that some point matches the filter, before anything is made."""
        where = self._shown.where
        if where and not self._source.count(where):
            none = Members(self._source, where, 0)
            raise InputError(no_candidate(self._source.info(), none, where))

    def _seen(self) -> str | None:
        """A text that stays the same until the source changes; None of servers."""
        if Path(self._shown.location).is_file():
            found = Path(self._shown.location).stat()
            return f"{found.st_size} {found.st_mtime_ns}"
        return self._source.fingerprint()

    def _open_target(self, stack: ExitStack) -> tuple[EdgeCollection | None, Facts | None]:
        """The mirror that is there, open, if one is to be brought up to date; what it remembers."""
        target = self._draft.target
        if target.exists() and not (target / CONFIG_FILE).is_file():
            raise CollectionExistsError(
                f"'{target}' is in the way, and no collection; move it away, or choose another "
                f"directory"
            )
        if not target.exists() or self._settings.replace:
            return None, None
        there = stack.enter_context(opened_at(target))
        facts = checked_facts(there, self._shown)
        check_not_made_again(self._source, self._shape, facts, there)
        return there, facts

    @cached_property
    def _streamed(self) -> Streamed:
        if self._shown.where is not None:
            return Streamed(lacking="a filter is given")
        return streamed_shards(self._source)

    def _report(self, there: EdgeCollection | None, facts: Facts | None) -> MirrorReport:
        additions = bool(facts and there and (facts.added or there.fingerprint() != facts.left))
        way: Way = "scroll"
        notes, everything = list[str](), self._shown.where is None
        if self._settings.by != "scroll":
            if self._streamed.shards:
                way = "snapshot"
            elif self._origin is not None and everything and not additions:
                way = "files"
            elif everything and is_server(self._shown.location):
                notes = [f"{NO_SNAPSHOT}: {self._streamed.lacking}"]
        return MirrorReport(
            self._place.location,
            self._place.collection,
            str(self._shown),
            way,
            first=facts is None,
            additions=additions,
            notes=notes,
        )

    def _put_in_place(self, there: EdgeCollection | None) -> None:
        """Let the draft be the mirror."""
        if there is not None:
            there.close()
        self._progress("put in place", 0, 1)
        with held(self._draft.target, self._place):
            self._draft.put_in_place()
        self._progress("put in place", 1, 1)
