"""A mirror: an embedded copy of a collection, made whole, and brought up to date by a second run.

Everything happens in a draft beside it, which takes its place at the end in one step. Whoever is
killed leaves the mirror that was there, or the new one; the next run goes on with the draft where
nothing that it rests on has changed.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from tsds_qdrant.collections.edge.cloning import (
    cloned,
    made_of_settings,
    opened_at,
    path_of,
    write_config,
)
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.edge.directory import CONFIG_FILE, read_config, write_metadata
from tsds_qdrant.collections.edge.locks import held
from tsds_qdrant.collections.edge.sizes import shard_bytes
from tsds_qdrant.collections.graph import build_graph, keeps_graph
from tsds_qdrant.collections.places import check_new
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.reserved import MANIFESTS
from tsds_qdrant.collections.values import Filter
from tsds_qdrant.errors import CollectionExistsError, SettingsError
from tsds_qdrant.mirror.aligning import align, merged_metadata, settings_of
from tsds_qdrant.mirror.checks import check_not_made_again, checked_facts
from tsds_qdrant.mirror.copying import Copying
from tsds_qdrant.mirror.draft import Draft
from tsds_qdrant.mirror.facts import NAMED, Facts, Names, Source
from tsds_qdrant.mirror.merging import Merging
from tsds_qdrant.mirror.report import MirrorReport, Way
from tsds_qdrant.mirror.settings import MirrorSettings
from tsds_qdrant.paths import expanded, is_same_file
from tsds_qdrant.progress import Progress, silent


def mirror(
    source: Collection,
    settings: MirrorSettings,
    *,
    where: Filter | None = None,
    file: str | None = None,
    progress: Progress = silent,
) -> MirrorReport:
    """Make the mirror of ``source`` that ``settings`` ask for, or bring it up to date.

    Args:
        source: an open collection, of any kind.
        settings: where to, and how.
        where: the points that it is to show; all by default.
        file: the snapshot file that ``source`` was unpacked from, if it was.
        progress: stages ``mirror``, ``settle``, ``index`` and ``put in place``.

    Raises:
        CollectionExistsError: there is another collection of that name.
        CollectionMismatchError: there is a mirror of something else, or the source was made again.
        CollectionLockedError: the mirror is open in another process, or being made by one.
        RequestRejectedError: there is no room on the disk.
        SettingsError: the mirror would take the place of its source, or another one that cannot be.
    """
    shown = Source.of(source.info(), where, file)
    return Mirroring(source, settings, shown, progress).done()


class Mirroring:
    """One run of ``mirror``."""

    def __init__(
        self, source: Collection, settings: MirrorSettings, shown: Source, progress: Progress
    ) -> None:
        self._source = source
        self._settings = settings
        self._where = shown.where
        self._progress = progress
        self._info = source.info()
        self._shown = shown
        self._shape = source.shape()
        self._origin = path_of(source)
        directory = expanded(settings.to)
        check_new(str(directory), self._info.name)
        self._draft = Draft(directory, self._info.name)
        self._place = Place(str(directory), self._info.name)
        self._there: EdgeCollection | None = None
        self._facts: Facts | None = None

    def done(self) -> MirrorReport:
        """Make the draft and put it in place."""
        started = time.perf_counter()
        target = self._draft.target
        if self._origin is not None and is_same_file(self._origin, target):
            raise SettingsError(
                f"--to {self._place.location} is where collection '{self._info.name}' itself is; "
                f"choose another directory"
            )
        self._draft.target.parent.mkdir(parents=True, exist_ok=True)
        with self._draft.locked(), ExitStack() as stack:
            self._draft.recovered()
            self._open_target(stack)
            report = self._report()
            seen = self._seen()
            unseen = seen is None or self._facts is None or self._facts.seen != seen
            if unseen or self._settings.index:
                self._make(report, seen)
                self._put_in_place()
            else:
                report.same = True
                assert self._there is not None
                report.points = self._there.count()
                self._draft.remove()
        report.bytes = shard_bytes(self._place.location, self._place.collection)
        report.seconds = time.perf_counter() - started
        return report

    def _seen(self) -> str | None:
        """A text that stays the same until the source changes; None of servers."""
        if self._origin is not None and Path(self._shown.location).is_file():
            found = Path(self._shown.location).stat()
            return f"{found.st_size} {found.st_mtime_ns}"
        return self._source.fingerprint()

    def _open_target(self, stack: ExitStack) -> None:
        """Open the mirror that is there, if one is to be brought up to date."""
        target = self._draft.target
        if target.exists() and not (target / CONFIG_FILE).is_file():
            raise CollectionExistsError(
                f"'{target}' is in the way, and no collection; move it away, or choose another --to"
            )
        if not target.exists() or self._settings.replace:
            return
        there = stack.enter_context(opened_at(target))
        self._facts = checked_facts(there, self._shown)
        check_not_made_again(self._source, self._shape, self._facts, there)
        self._there = there

    def _report(self) -> MirrorReport:
        there, facts = self._there, self._facts
        additions = bool(facts and there and (facts.added or there.fingerprint() != facts.left))
        by_files = self._origin is not None and self._where is None and not additions
        way: Way = "files" if by_files and self._settings.by != "scroll" else "scroll"
        return MirrorReport(
            self._place.location,
            self._place.collection,
            str(self._shown),
            way,
            first=facts is None,
            additions=additions,
        )

    def _make(self, report: MirrorReport, seen: str | None) -> None:
        """Make the draft, or go on with it, until it is whole."""
        noted = self._begun(report, seen)
        with opened_at(self._draft.shard) as copy:
            if report.way == "scroll":
                align(copy, self._source, self._shape, self._facts)
                known = self._facts.names if self._facts else {}
                merging = Merging(copy, self._source.spaces, known)
                copying = Copying(self._source, copy, self._where, merging, report)
                names = copying.run(self._draft, noted, self._progress)
            else:
                names = _names_in(copy)
            if self._settings.index or (report.way == "scroll" and keeps_graph(copy)):
                self._progress("index", 0, 1)
                build_graph(copy)
            copy.flush()
            report.points = copy.count()
            facts = self._remembered(noted, report, seen, names)
            facts = replace(facts, left=copy.fingerprint())
            here = copy.info().metadata if report.way == "scroll" else {}
        metadata = merged_metadata(self._shape, here, self._facts, facts)
        write_metadata(self._draft.shard, metadata)
        if report.way != "scroll" and report.first:
            report.added = report.points

    def _begun(self, report: MirrorReport, seen: str | None) -> dict[str, Any]:
        """What is noted of a draft that rests on the same, or of a new one."""
        target = self._draft.target
        before = None if self._there is None else self._there.fingerprint()
        basis = {
            "source": vars(self._shown),
            "config": self._shape.config,
            "target": [target.stat().st_ino if target.exists() else 0, before],
            "seen": seen,
            "way": report.way,
        }
        noted = self._draft.progress()
        if noted.get("basis") == basis and report.way == "scroll":
            report.resumed, report.since = noted.get("done", 0), noted["since"]
            report.added, report.updated = noted.get("added", 0), noted.get("updated", 0)
            return noted
        self._draft.clear()
        self._progress("mirror", 0, 0)
        if report.way == "files":
            assert self._origin is not None
            cloned(self._origin, self._draft.shard)
        elif self._there is not None:
            self._there.flush()
            cloned(target, self._draft.shard)
            kept = read_config(str(target.parent), target.name)
            write_config(self._draft.shard, settings_of(self._shape, kept))
        else:
            made_of_settings(self._draft.shard, self._shape.config, {})
        noted = {"basis": basis, "copy": uuid4().hex, "since": _now()}
        self._draft.note(noted)
        return noted

    def _remembered(
        self, noted: dict[str, Any], report: MirrorReport, seen: str | None, names: Names
    ) -> Facts:
        shape = self._shape
        return Facts(
            copy=noted["copy"],
            source=self._shown,
            identity=shape.metadata.get("identity"),
            config=shape.config,
            indexes=tuple(shape.indexes),
            metadata=tuple(shape.metadata),
            made=tuple(shape.metadata.get(MANIFESTS) or ()),
            names={field: tuple(seen) for field, seen in names.stored().items()},
            taken=_now(),
            way=report.way,
            seen=seen,
            added=report.additions,
        )

    def _put_in_place(self) -> None:
        """Let the draft be the mirror."""
        if self._there is not None:
            self._there.close()
        self._progress("put in place", 0, 1)
        with held(self._draft.target, self._place):
            self._draft.put_in_place()
        self._progress("put in place", 1, 1)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _names_in(copy: EdgeCollection) -> Names:
    """Names of tags and marks in the payloads of a copy that nothing was added to."""
    names = Names()
    having = [{"must_not": [{"is_empty": {"key": field}}]} for field in NAMED]
    for page in copy.scroll(list(NAMED), where={"should": having}):
        for record in page:
            names.see(record.payload)
    return names
