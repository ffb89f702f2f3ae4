"""Storing chunks of points: only what is missing or different, then the index if wanted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections import create_collection, is_server
from tsds_qdrant.collections.checked import check_made
from tsds_qdrant.collections.closing import Closing
from tsds_qdrant.collections.graph import build_graph, keeps_graph
from tsds_qdrant.collections.values import Metric, PointId
from tsds_qdrant.errors import AccessDeniedError, CollectionExistsError
from tsds_qdrant.ingestion.behind import Behind
from tsds_qdrant.ingestion.destination import Destination, merged
from tsds_qdrant.ingestion.encoding import Encoding
from tsds_qdrant.ingestion.items import Item, VectorArray
from tsds_qdrant.ingestion.ready import check_ready
from tsds_qdrant.ingestion.report import IngestReport
from tsds_qdrant.ingestion.stored import Compared, Stored, numbers_of
from tsds_qdrant.ingestion.writer import Writer
from tsds_qdrant.progress import Progress
from tsds_qdrant.records.entries import Findings
from tsds_qdrant.representations.text import Embedder

Chunk = tuple[list[Item], Float32Array | None]
"""Items and their ready vectors (len, D), or None where their texts are to be embedded."""


class StoringRun(Closing):
    """One ingest under way; its collection is closed at the end of the block."""

    def __init__(
        self,
        destination: Destination,
        metadata: Mapping[str, Any],
        embedder: Embedder | None,
        total: int,
        progress: Progress,
        *,
        advice: str,
    ) -> None:
        """``advice`` says how points get other ids than those that somebody else's have."""
        self._destination = destination
        self._metadata = metadata
        self._total = total
        self._progress = progress
        self._advice = advice
        self._metric: Metric = destination.metric or "Cosine"
        self._by_content = self._is_new = False
        self._index_seconds = 0.0
        self._added = self._updated = self._repeated = 0
        self._stored: Stored | None = None
        self._writer: Writer | None = None
        self._behind, self._last = Behind(), set[PointId]()
        self._keeps_graph = False
        self._collection = destination.checked(metadata["model"], metadata["text"], embedder)
        if self._collection is not None and embedder is not None:
            embedder = destination.proved(self._collection, embedder, metadata["text"])
        self._embedder = embedder
        self._encoding = Encoding(embedder, total, progress) if embedder else None

    def close(self) -> None:
        """Close the collection, if there is one."""
        if self._collection is not None:
            self._collection.close()

    @property
    def is_elsewhere(self) -> bool:
        """Whether the collection was made by something else than ``ingest``."""
        return self._collection is not None and "identity" not in self._collection.info().metadata

    def store(
        self,
        chunks: Iterator[Chunk],
        *,
        by_content: bool,
        vectors: VectorArray | None = None,
        findings: Findings | None = None,
        looked_at: Iterator[Chunk] | None = None,
    ) -> IngestReport:
        """Store what is missing or different, then index where that is wanted.

        Args:
            chunks: what to store.
            by_content: ids follow from the content: points of equal id need no comparison.
            vectors: the ready vectors of all chunks, checked before anything is stored.
            findings: what is found besides records while ``chunks`` are read.
            looked_at: the same chunks, to be compared with what is stored before anything is.

        Raises:
            InputError: as reading them says.
            ForeignPointsError: a point that differs was made by something else.
        """
        findings = findings or Findings()
        started = time.perf_counter()
        self._by_content = by_content
        read = 0
        self._keeps_graph = self._collection is not None and keeps_graph(self._collection)
        if vectors is not None:
            info = self._collection.info() if self._collection is not None else None
            check_ready(vectors, info, self._metric)
        for items, rows in looked_at or ():
            self._compare(items, rows)
        self._adopt()
        try:
            for items, rows in chunks:
                self._store(items, rows, read)
                read += len(items)
                self._progress("ingest", read, self._total)
        finally:
            self._behind.close()
        assert self._collection is not None
        if self._writer is not None:
            self._writer.close()
        stored = time.perf_counter()
        index = self._index()
        count = self._collection.count()
        seconds = {"store": stored - started, "index": self._index_seconds}
        text = next(iter(self._metadata["text"].values()), "") if self._embedder else ""
        return IngestReport(
            read=read + findings.rejected,
            added=self._added,
            updated=self._updated,
            unchanged=read - self._added - self._updated,
            rejected=findings.rejected,
            count=count,
            text=text,
            seconds=seconds,
            notes=(*self._notes(findings), *index),
        )

    def _index(self) -> tuple[str, ...]:
        """Build the graph that is wanted or there already; a sentence where a server does that."""
        assert self._collection is not None
        if not (self._destination.index or self._keeps_graph):
            server = is_server(self._destination.location)
            return ("the server builds its index by itself; --index waits until it has",) * server
        self._progress("index", 0, 1)
        self._index_seconds = build_graph(self._collection)
        self._progress("index", 1, 1)
        return ()

    def _notes(self, findings: Findings) -> tuple[str, ...]:
        changed = (f"{kind}: {many}" for kind, many in findings.changes.items())
        cut = self._encoding.cut if self._encoding else None
        again = (
            f"{self._repeated} points of an ingest that did not end were written again, as a "
            f"replica may lack them"
            if self._repeated
            else ""
        )
        return tuple(note for note in (*changed, cut and cut.in_words(), again) if note)

    def _adopt(self) -> None:
        """Give our model to an empty collection without one, made elsewhere or by a killed run."""
        if self._collection is None:
            return
        info = self._collection.info()
        with suppress(AccessDeniedError):  # a key may write points, and no metadata
            if info.count == 0 and not info.metadata.get("model"):
                self._collection.update_metadata(self._birth())
                info = self._collection.info()
            stored, mine = info.metadata.get("text"), self._metadata["text"]
            if stored and mine and (both := merged(stored, mine)) != stored:
                self._collection.update_metadata({"text": both})
        self._metric = info.metric

    def _birth(self) -> dict[str, Any]:
        """Metadata of a new collection: ours, an identity, and that all points are stamped."""
        return {**self._metadata, "identity": uuid4().hex, "sequence": 0}

    def _store(self, items: list[Item], rows: Float32Array | None, done: int) -> None:
        """Store those of ``items`` that are missing or different, ``done`` after others.

        Embedded ones are stored while the next texts are embedded.
        """
        found = self._compare(items, rows)
        self._repeat(found)
        stale = [items[k] for k in found.stale.tolist() if items[k].point_id not in self._last]
        if not stale:
            return
        if rows is None:
            assert self._encoding is not None
            with self._behind.going_on():
                vectors = self._encoding.encoded(stale, done, self._metric)
            self._last = {item.point_id for item in stale}
            if self._stored is not None:
                check_made(vectors, self._stored.info, self._encoding.embedder.name)
        else:
            vectors = rows[found.stale]
        if self._collection is None and not self._create(vectors.shape[1]):
            # Somebody else made it meanwhile, and may have stored some of these.
            items, vectors = stale, np.asarray(vectors)
            found = self._compare(items, None if rows is None else vectors)
            stale = [items[k] for k in found.stale.tolist()]
            vectors = vectors[found.stale]
            self._repeat(found)
        work = partial(self._writing().write, stale, vectors, found.known)
        if rows is None:
            self._behind.put(work)
        else:
            work()
        updated = sum(item.point_id in found.known for item in stale)
        self._updated += updated
        self._added += len(stale) - updated

    def _repeat(self, found: Compared) -> None:
        if found.unconfirmed:
            self._writing().repeat(found.unconfirmed)
            self._repeated += len(found.unconfirmed)

    def _writing(self) -> Writer:
        assert self._collection is not None
        if self._writer is None:
            self._writer = Writer(self._collection, self._total)
        return self._writer

    def _compare(self, items: list[Item], rows: Float32Array | None) -> Compared:
        if self._collection is None or (self._is_new and not self._by_content):
            return Compared({}, np.array(sorted(numbers_of(items).values()), dtype=np.int64))
        if self._stored is None:
            opened, overwrite = self._collection, self._destination.overwrite
            self._stored = Stored(opened, opened.info(), self._by_content, overwrite, self._advice)
        return self._stored.compare(items, rows)

    def _create(self, dimension: int) -> bool:
        """Create the collection; False if there is one by now, which is taken then."""
        place = self._destination
        try:
            self._collection = create_collection(
                place.location,
                place.name,
                dimension=dimension,
                metric=self._metric,
                metadata=self._birth(),
                connection=place.connection,
                layout=place.layout,
            )
        except CollectionExistsError:
            self._collection = place.checked(
                self._metadata["model"], self._metadata["text"], self._embedder
            )
            return False
        # Nobody else writes to an embedded collection that is open.
        self._is_new = not is_server(place.location)
        return True
