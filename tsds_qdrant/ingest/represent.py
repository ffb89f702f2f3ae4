"""Represent the candidates of a collection once more: resumable, and never mixed.

Each part of the candidates is represented, its vectors are stored, and then it is marked; a run
that was killed goes on with what has no mark, so that at most one part is done twice.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tsds_qdrant.collections.graph import build_graph, keeps_graph
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import Filter, PointId
from tsds_qdrant.errors import AccessDeniedError, CollectionMismatchError, InputError
from tsds_qdrant.ingest.candidates import Batch, Candidates
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records.showing import Showing
from tsds_qdrant.representations.base import (
    OK,
    Encoded,
    Representation,
    differences,
    fingerprint,
)
from tsds_qdrant.represented.fitted import keep_fitted, read_fitted
from tsds_qdrant.represented.marks import Kept, keep, kept_of, standing, unmade, write_marks
from tsds_qdrant.sparse import SparseRows

NO_TEXT = "no_text"
FIRST_PART, LARGEST_PART = 64, 4_096
PART_S = 2.0
"""Parts grow until one takes as long."""
FITTED = "fitted"
"""In a manifest: the hash of what was learnt from candidates."""


@dataclass(frozen=True)
class RepresentSettings:
    """What a run of ``represent`` does besides the representation itself.

    Attributes:
        where: the candidates; all by default.
        again: make what was made otherwise again.
        fitted: directory for what is learnt from candidates.
        datatype: how the numbers of a new dense space are stored.
    """

    where: Filter | None = None
    again: bool = False
    fitted: Path | None = None
    datatype: str = "float32"


@dataclass
class RepresentReport:
    """What a run has done.

    Attributes:
        name: of the representation.
        kind: what it is.
        fingerprint: of all that it depends on.
        read: points that were looked at.
        made: those that are represented now.
        without: why others have no vector -> how many.
        missing: points that lack what it is derived from.
        count: points of the collection.
        seconds: by stage: ``fit``, ``represent`` (of the model or the mathematics alone),
            ``read``, ``store``, ``index``.
    """

    name: str
    kind: str
    fingerprint: str = ""
    read: int = 0
    made: int = 0
    without: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    count: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def as_dict(self) -> dict[str, Any]:
        """The report for a machine to read."""
        return {**vars(self), "without": dict(self.without), "seconds": dict(self.seconds)}


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
        CollectionMismatchError: it was made otherwise before.
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
        self._candidates = Candidates(collection, representation.source, showing)

    def done(self, kind: str, remembered: dict[str, Any]) -> RepresentReport:
        """Learn what is to be learnt, make what is missing, and index where a graph is kept."""
        report = self.report = RepresentReport(self._name, kind)
        indexes = keeps_graph(self._collection)
        kept = self._prepared(kind, remembered)
        report.fingerprint = kept.fingerprint
        self._add_space()
        with suppress(AccessDeniedError):  # a token may write points, and no metadata
            if kept_of(self._collection, self._name) != kept:
                keep(self._collection, self._name, kept)
        where = self._settings.where
        known = standing(self._collection, self._name, kept, where)
        total = 0 if known is None else known.points - known.made - known.without
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
        """
        made, before = self._made, kept_of(self._collection, self._name)
        facts = {**made.manifest(), **self._candidates.facts()}
        if before is not None and not self._settings.again:
            theirs = {key: value for key, value in before.manifest.items() if key != FITTED}
            if unlike := differences(theirs, _plain(facts)):
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
            _plain(facts),
            _plain(remembered),
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
        report, clock = self.report, _Clock(self.report.seconds)
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
        report, marks, ids = self.report, [], []
        if encoded is not None:
            fine = [k for k, status in enumerate(encoded.status) if status == OK]
            if encoded.rows is not None and fine:
                rows = encoded.rows
                own = rows.take(fine) if isinstance(rows, SparseRows) else rows[fine]
                self._collection.set_vectors([batch.ids[k] for k in fine], own, space=self._name)
            marks = [_mark(encoded, k, kept.fingerprint) for k in range(len(batch.ids))]
            ids = list(batch.ids)
            report.made += len(fine)
            report.without.update(status for status in encoded.status if status != OK)
        if batch.textless:
            ids += batch.textless
            marks += [{"fp": kept.fingerprint, "status": NO_TEXT}] * len(batch.textless)
            report.without[NO_TEXT] += len(batch.textless)
        if marks:
            marks[0] = {**marks[0], "kept": kept.stored()}
            write_marks(self._collection, self._name, ids, marks)
        report.missing += batch.missing


class _Clock:
    """Adds what has passed since the last lap to a stage."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds, self._last = seconds, time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._seconds[stage] += now - self._last
        self._last = now


def _mark(encoded: Encoded, row: int, known: str) -> dict[str, Any]:
    values = {
        name: _plain(column[row])
        for name, column in encoded.values.items()
        if column[row] is not None
    }
    status = encoded.status[row]
    return {"fp": known, **({} if status == OK else {"status": status}), **values}


def _plain(value: Any) -> Any:
    """``value`` as JSON gives it back: numbers of numpy become plain ones, tuples lists."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.item() if isinstance(value, np.generic) else value
