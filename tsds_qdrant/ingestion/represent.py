"""Represent the candidates of a collection once more: resumable, and never mixed.

Each part of the candidates is represented, its vectors are stored, and then it is marked; a run
that was killed goes on with what has no mark, so that at most one part is done twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from tsds_qdrant.collections.graph import build_graph, keeps_graph
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import (
    AccessDeniedError,
    CollectionMismatchError,
    InputError,
    SettingsError,
)
from tsds_qdrant.ingestion.candidates import Batch, Candidates
from tsds_qdrant.ingestion.represent_report import (
    Clock,
    RepresentReport,
    RepresentSettings,
)
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records.showing import Showing
from tsds_qdrant.representations.base import (
    OK,
    Encoded,
    Representation,
    differences,
    fingerprint,
    plain,
)
from tsds_qdrant.represented.fitted import keep_fitted, read_fitted
from tsds_qdrant.represented.marks import FITTED, Kept, keep, kept_of, standing, unmade, write_marks
from tsds_qdrant.sparse import SparseRows

NO_TEXT = "no_text"
FIRST_PART, LARGEST_PART = 64, 4_096
PART_S = 2.0
"""Parts grow until one takes as long."""


def represent(
    collection: Collection,
    representation: Representation,
    showing: Showing,
    *,
    settings: RepresentSettings | None = None,
    remembered: dict[str, Any] | None = None,
    kind: str = "",
    progress: Progress = silent,
) -> RepresentReport:
    """Make what is missing of ``representation`` in ``collection``.

    Args:
        collection: open, and to be written to.
        representation: made by the settings ``remembered``, by which it can be made again.
        showing: what it is shown of a payload.
        settings: which candidates, and what becomes of those made otherwise.
        kind: its name among the kinds; that of the representation by default.
        progress: stages ``learn`` and ``represent``.

    Raises:
        CollectionMismatchError: it was made otherwise before, or some of the vectors that it is
            derived from were.
        CollectionNotFoundError: there is no space that it is derived from.
        EmbeddingError: the model fails.
        UnsupportedCollectionError: a server older than 1.18.
    """
    run = Representing(collection, representation, showing, settings or RepresentSettings())
    run.progress = progress
    return run.done(kind or type(representation).__name__.lower(), remembered or {})


class Representing:
    """One run of ``represent``."""

    progress: Progress = staticmethod(silent)

    def __init__(
        self,
        collection: Collection,
        representation: Representation,
        showing: Showing,
        settings: RepresentSettings,
    ) -> None:
        self._collection = collection
        self._made = representation
        self._showing = showing
        self._settings = settings
        self._name = representation.name
        self._candidates = Candidates(collection, representation.source, showing, settings.rows)

    def done(self, kind: str, remembered: dict[str, Any]) -> RepresentReport:
        """Learn what is to be learnt, make what is missing, and index where a graph is kept."""
        report = self.report = RepresentReport(self._name, kind)
        self._candidates.check(self._settings.where)
        indexes = keeps_graph(self._collection)
        kept = self._prepared(kind, remembered)
        report.fingerprint = kept.fingerprint
        self._add_space()
        with suppress(AccessDeniedError):  # a token may write points, and no metadata
            if kept_of(self._collection, self._name) != kept:
                keep(self._collection, self._name, kept)
        where = self._settings.where
        known = standing(self._collection, self._name, kept, where)
        total = 0
        if known is not None:
            report.stayed = known.made + known.without
            total = known.points - report.stayed
        for ids in self._parts(unmade(self._collection, self._name, kept, where)):
            self._represent(ids, kept)
            self.progress("represent", report.read, total)
        if indexes and report.made and kept.has_vectors:
            report.seconds["index"] += build_graph(self._collection)
        report.count = self._collection.count()
        return report

    def _prepared(self, kind: str, remembered: dict[str, Any]) -> Kept:
        """What the collection keeps of the representation from now on.

        Raises:
            CollectionMismatchError: it keeps another one of that name.
            SettingsError: it is to be made of itself.
        """
        made, before = self._made, kept_of(self._collection, self._name)
        if made.source == self._name:
            raise SettingsError(
                f"'{self._name}' cannot be made of itself; give it another --name, or another --of"
            )
        if before is not None and before.kind != kind:
            raise CollectionMismatchError(
                f"'{self._name}' of collection '{self._collection.info().name}' is of the kind "
                f"{before.kind}, not {kind}; give this one another --name"
            )
        facts = {**made.manifest(), **self._candidates.facts()}
        if before is not None and not self._settings.again:
            theirs = {key: value for key, value in before.manifest.items() if key != FITTED}
            if unlike := differences(theirs, plain(facts)):
                raise CollectionMismatchError(
                    f"'{self._name}' of collection '{self._collection.info().name}' was made "
                    f"otherwise ({', '.join(unlike)}): give it another --name, or make all of it "
                    f"again with --again"
                )
        if not made.fitted:
            facts[FITTED] = self._fitted(before)
        return Kept(
            kind,
            fingerprint(facts),
            plain(facts),
            plain(remembered),
            made.source,
            made.kind != "payload",
        )

    def _fitted(self, before: Kept | None) -> str:
        """Learn from the candidates, or take what was learnt before; its hash."""
        info, directory = self._collection.info(), self._settings.fitted
        if before is not None and not self._settings.again:
            known = str(before.manifest.get(FITTED))
            self._made.restore(read_fitted(info, known, directory))
            return known
        started, where = time.perf_counter(), self._settings.where
        count = self._candidates.count(where)
        if not count:
            raise InputError(f"no candidate has {self._candidates.what}; {self._candidates.advice}")

        def blocks() -> Iterator[Any]:
            seen = 0
            for batch in self._candidates.all(where, LARGEST_PART):
                seen += len(batch.ids)
                yield batch.examples
                self.progress("learn", seen, count)

        self._made.fit(blocks, count)
        self.report.seconds["fit"] += time.perf_counter() - started
        return keep_fitted(info, self._made.arrays(), directory)

    def _add_space(self) -> None:
        made = self._made
        if made.kind == "sparse":
            idf = bool(getattr(made, "idf", False))
            self._collection.add_space(replace(Space.sparse(self._name), idf=idf))
        elif made.kind == "dense":
            metric: Any = made.metric
            space = Space.dense(self._name, made.dimension or 0, metric)
            self._collection.add_space(replace(space, datatype=self._settings.datatype))

    def _parts(self, pages: Iterator[list[PointId]]) -> Iterator[list[PointId]]:
        """The ids of ``pages`` in parts that grow until one takes a few seconds."""
        size = FIRST_PART
        for page in pages:
            start = 0
            while start < len(page):
                began = time.perf_counter()
                yield page[start : start + size]
                start += size
                if time.perf_counter() - began < PART_S and size < LARGEST_PART:
                    size *= 2

    def _represent(self, ids: Sequence[PointId], kept: Kept) -> None:
        report, clock = self.report, Clock(self.report.seconds)
        batch = self._candidates.of(ids)
        clock.lap("read")
        done = report.read

        def on_batch(count: int) -> None:
            nonlocal done
            done += count
            self.progress("represent", done, 0)

        encoded = self._made.candidates(batch.examples, on_batch) if batch.ids else None
        clock.lap("represent")
        self._store(batch, encoded, kept)
        clock.lap("store")
        report.read += len(ids)

    def _store(self, batch: Batch, encoded: Encoded | None, kept: Kept) -> None:
        report, marks, ids, bare = self.report, [], [], list(batch.textless)
        if encoded is not None:
            fine = [k for k, status in enumerate(encoded.status) if status == OK]
            if encoded.rows is not None and fine:
                rows = encoded.rows
                own = rows.take(fine) if isinstance(rows, SparseRows) else rows[fine]
                self._collection.set_vectors([batch.ids[k] for k in fine], own, space=self._name)
            marks = [_mark(encoded, k, kept.fingerprint) for k in range(len(batch.ids))]
            ids = list(batch.ids)
            bare += [ids[k] for k, status in enumerate(encoded.status) if status != OK]
            report.made += len(fine)
            report.without.update(status for status in encoded.status if status != OK)
        if batch.textless:
            ids += batch.textless
            marks += [{"fp": kept.fingerprint, "status": NO_TEXT}] * len(batch.textless)
            report.without[NO_TEXT] += len(batch.textless)
        if bare and kept.has_vectors:  # they may have one of what they were before
            self._collection.delete_vectors(bare, space=self._name)
        if marks:
            for place in {0, len(marks) - 1}:  # one of the points may be overwritten
                marks[place] = {**marks[place], "kept": kept.stored()}
            write_marks(self._collection, self._name, ids, marks)
        report.missing += batch.missing


def _mark(encoded: Encoded, row: int, known: str) -> dict[str, Any]:
    values = {
        name: plain(column[row])
        for name, column in encoded.values.items()
        if column[row] is not None
    }
    status = encoded.status[row]
    return {"fp": known, **({} if status == OK else {"status": status}), **values}
