"""The draft of a mirror, made until it is whole: of files, of a snapshot, or page by page."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from tsds_qdrant.collections.edge.cloning import (
    cloned,
    made_of_settings,
    opened_at,
    write_config,
)
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.edge.directory import read_config, write_metadata
from tsds_qdrant.collections.graph import build_graph, keeps_graph
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import MANIFESTS
from tsds_qdrant.collections.whole import Shape
from tsds_qdrant.errors import CollectionError, RequestRejectedError
from tsds_qdrant.mirror.aligning import align, merged_metadata, settings_of
from tsds_qdrant.mirror.copying import Copying
from tsds_qdrant.mirror.draft import Draft
from tsds_qdrant.mirror.facts import NAMED, Facts, Names, Source
from tsds_qdrant.mirror.merging import Merging
from tsds_qdrant.mirror.report import MirrorReport
from tsds_qdrant.mirror.settings import MirrorSettings
from tsds_qdrant.mirror.snapshots import unpack, update
from tsds_qdrant.progress import Progress

UNPACKED = "snapshot"
NO_SNAPSHOT = "no snapshot was to be had, so points were read"


@dataclass(frozen=True)
class Basis:
    """What a draft rests on.

    Attributes:
        source: the collection.
        shown: what a mirror of it shows.
        shape: all of it but its points.
        seen: its fingerprint; None of servers.
        origin: the directory of an embedded source; None of others.
        there: the mirror that is to be brought up to date, open; None for a first one.
        facts: what that remembers.
        shards: of which the server gives snapshots; empty where it does not.
    """

    source: Collection
    shown: Source
    shape: Shape
    seen: str | None
    origin: Path | None
    there: EdgeCollection | None
    facts: Facts | None
    shards: tuple[int, ...] = ()


class Making:
    """One making of a draft."""

    def __init__(
        self,
        basis: Basis,
        settings: MirrorSettings,
        draft: Draft,
        report: MirrorReport,
        progress: Progress,
    ) -> None:
        self._basis = basis
        self._settings = settings
        self._draft = draft
        self._report = report
        self._progress = progress

    def run(self) -> None:
        """Make the draft, or go on with it, until it is whole.

        Raises:
            CollectionError: see :func:`~tsds_qdrant.mirror.mirroring.mirror`.
        """
        basis, report = self._basis, self._report
        noted = self._begun()
        with ExitStack() as stack:
            copy = stack.enter_context(opened_at(self._draft.shard))
            here = {} if basis.facts is None else copy.info().metadata
            if reader := self._reader(stack):
                names = self._copied(copy, reader, noted)
            else:
                names, here = _names_in(copy), {}
                report.added = copy.count() if report.first else 0
            if self._indexed or (reader and keeps_graph(copy)):
                self._progress("index", 0, 1)
                build_graph(copy)
                here = {**copy.info().metadata, **here}
            copy.flush()
            report.points = copy.count()
            facts = replace(self._remembered(noted, names), left=copy.fingerprint())
        metadata = merged_metadata(basis.shape, here, basis.facts, facts)
        write_metadata(self._draft.shard, metadata)

    @property
    def _indexed(self) -> bool:
        """Whether a graph is asked for, now or before."""
        facts = self._basis.facts
        return self._settings.index or (facts is not None and facts.indexed)

    def _begun(self) -> dict[str, Any]:
        """What is noted of a draft that rests on the same, or of a new one."""
        basis, report = self._basis, self._report
        rests_on = self._rests_on()
        noted = self._draft.progress()
        if noted.get("basis") == rests_on and noted.get("pages"):
            report.way = "scroll"
            report.resumed = noted.get("done", 0)
            report.since = noted["since"] if basis.seen is None else ""
            report.added, report.updated = noted.get("added", 0), noted.get("updated", 0)
            return noted
        self._draft.clear()
        self._progress("mirror", 0, 0)
        if report.way == "snapshot" and not self._updated():
            self._unpack()
        if report.way == "files":
            assert basis.origin is not None
            cloned(basis.origin, self._draft.shard)
        elif basis.there is not None and (report.way == "scroll" or report.additions):
            basis.there.flush()
            target = self._draft.target
            cloned(target, self._draft.shard)
            kept = read_config(str(target.parent), target.name)
            write_config(self._draft.shard, settings_of(basis.shape, kept))
        elif report.way == "scroll":
            made_of_settings(self._draft.shard, basis.shape.config, {})
        noted = {"basis": rests_on, "copy": uuid4().hex, "since": _now()}
        noted["pages"] = report.way == "scroll"
        self._draft.note(noted)
        return noted

    def _rests_on(self) -> dict[str, Any]:
        """What must be the same for a draft to be gone on with."""
        basis, target = self._basis, self._draft.target
        before = None if basis.there is None else basis.there.fingerprint()
        return {
            "source": vars(basis.shown),
            "config": basis.shape.config,
            "target": [target.stat().st_ino if target.exists() else 0, before],
            "seen": basis.seen,
            "by": self._settings.by,
        }

    def _updated(self) -> bool:
        """Whether the draft is the mirror with what is newer in the source, and no more was needed.

        That is where all of the mirror came as the snapshot of one shard, and nothing was written
        to it since.
        """
        basis, facts, report = self._basis, self._basis.facts, self._report
        if basis.there is None or facts is None or facts.way != "snapshot" or len(basis.shards) > 1:
            return False
        if report.additions or self._indexed or facts.config != basis.shape.config:
            return False
        try:
            manifest = basis.there.manifest()
            cloned(self._draft.target, self._draft.shard)
            update(basis.source, manifest, self._draft.shard, basis.shards[0])
        except CollectionError as error:
            if "of disk" in str(error):
                raise
            self._draft.clear()
            report.notes.append(
                f"all was copied again, as no partial snapshot was to be had: {error}"
            )
            return False
        report.partial = True
        return True

    def _unpack(self) -> None:
        """Unpack a snapshot, aside where the mirror is to keep additions; or go by pages."""
        report, shard = self._report, self._draft.shard
        if report.additions:
            shard = self._draft.folder / UNPACKED / self._draft.name
        try:
            unpack(self._basis.source, self._basis.shape, shard, self._basis.shards)
        except RequestRejectedError as error:
            if "of disk" in str(error) or self._settings.by == "snapshot":
                raise
            self._go_by_pages(error)
        except CollectionError as error:
            if self._settings.by == "snapshot":
                raise
            self._go_by_pages(error)

    def _go_by_pages(self, error: CollectionError) -> None:
        self._draft.clear()
        self._report.way = "scroll"
        self._report.notes.append(f"{NO_SNAPSHOT}: {error}")

    def _reader(self, stack: ExitStack) -> Collection | None:
        """The collection whose points are read page by page; None where the draft has them."""
        if self._report.way == "scroll":
            return self._basis.source
        if self._report.way == "snapshot" and self._report.additions:
            return stack.enter_context(opened_at(self._draft.folder / UNPACKED / self._draft.name))
        return None

    def _copied(self, copy: EdgeCollection, reader: Collection, noted: dict[str, Any]) -> Names:
        """Copy all points, and return the names of tags and marks in them."""
        basis = self._basis
        align(copy, basis.source, basis.shape, basis.facts)
        merging = Merging(copy, basis.source.spaces, basis.facts.names if basis.facts else {})
        copying = Copying(reader, copy, basis.shown.where, merging, self._report)
        return copying.run(self._draft, noted, self._progress)

    def _remembered(self, noted: dict[str, Any], names: Names) -> Facts:
        basis, shape = self._basis, self._basis.shape
        return Facts(
            copy=noted["copy"],
            source=basis.shown,
            identity=shape.metadata.get("identity"),
            config=shape.config,
            indexes=tuple(shape.indexes),
            metadata=tuple(shape.metadata),
            made=tuple(shape.metadata.get(MANIFESTS) or ()),
            names={field: tuple(seen) for field, seen in names.stored().items()},
            taken=_now(),
            way=self._report.way,
            seen=basis.seen,
            indexed=self._indexed,
            added=self._report.additions,
        )


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
