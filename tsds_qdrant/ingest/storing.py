"""Storing chunks of points: only what is missing or different, then the index."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import numpy as np

from tsds_qdrant.arrays import Float32Array, IntArray
from tsds_qdrant.collections import create_collection
from tsds_qdrant.collections.checked import check_storable
from tsds_qdrant.collections.distance import checked_vectors
from tsds_qdrant.collections.payloads import same_payload
from tsds_qdrant.collections.reserved import SEQUENCE_FIELD
from tsds_qdrant.collections.values import FLOAT32, CollectionInfo, Metric, PointId
from tsds_qdrant.errors import CollectionMismatchError, InputError
from tsds_qdrant.ingest.destination import Destination, merged
from tsds_qdrant.ingest.equal import of_equal_vectors
from tsds_qdrant.ingest.items import Item, VectorArray
from tsds_qdrant.ingest.report import IngestReport
from tsds_qdrant.progress import Progress
from tsds_qdrant.records import naming_file
from tsds_qdrant.records.entries import Findings
from tsds_qdrant.representations.text import Cut, Embedder, cut_by

CHECKED_ROWS = 100_000


Chunk = tuple[list[Item], Float32Array | None]
"""Items and their ready vectors (len, D), or None where their texts are to be embedded."""


class StoringRun:
    """One ingest under way."""

    def __init__(
        self,
        destination: Destination,
        metadata: Mapping[str, Any],
        embedder: Embedder | None,
        total: int,
        progress: Progress,
    ) -> None:
        self._destination = destination
        self._metadata = metadata
        self._embedder = embedder
        self._total = total
        self._progress = progress
        self._metric: Metric = destination.metric or "Cosine"
        self._sequence: int | None = None
        self._cut: Cut | None = None
        self._collection = destination.checked(metadata["model"], metadata["text"], embedder)

    def store(
        self,
        chunks: Iterator[Chunk],
        *,
        ids_tell_all: bool,
        vectors: VectorArray | None = None,
        findings: Findings | None = None,
    ) -> IngestReport:
        """Store what is missing or different, then index.

        Args:
            chunks: what to store.
            ids_tell_all: points of equal id are equal and need no comparison.
            vectors: the ready vectors of all chunks, checked before anything is stored.
            findings: what is found besides records while ``chunks`` are read.

        Raises:
            InputError: as reading them says, or there are more vectors than records.
        """
        findings = findings or Findings()
        started = time.perf_counter()
        read = added = updated = 0
        try:
            if vectors is not None:
                with naming_file(vectors):
                    self._check(vectors)
            self._adopt()
            for chunk, rows in chunks:
                known, stale = self._compare(chunk, rows, ids_tell_all)
                if len(stale):
                    self._upsert([chunk[k] for k in stale.tolist()], rows, stale, read)
                read += len(chunk)
                replaced = sum(chunk[k].point_id in known for k in stale.tolist())
                updated += replaced
                added += len(stale) - replaced
                self._progress("ingest", read, self._total)
            if vectors is not None and read + findings.rejected != len(vectors):
                records = read + findings.rejected
                raise InputError(f"{len(vectors)} vectors for {records} records; give one row each")
            assert self._collection is not None
            if self._sequence is not None:
                self._collection.update_metadata({"settled": self._sequence})
            stored = time.perf_counter()
            self._progress("index", 0, 1)
            self._collection.optimize()
            self._progress("index", 1, 1)
            count = self._collection.count()
        finally:
            if self._collection is not None:
                self._collection.close()
        seconds = {"store": stored - started, "index": time.perf_counter() - stored}
        text = next(iter(self._metadata["text"].values()), "") if self._embedder else ""
        return IngestReport(
            read=read + findings.rejected,
            added=added,
            updated=updated,
            unchanged=read - added - updated,
            rejected=findings.rejected,
            count=count,
            text=text,
            seconds=seconds,
            notes=self._notes(findings),
        )

    def _notes(self, findings: Findings) -> tuple[str, ...]:
        changed = (f"{kind}: {many}" for kind, many in findings.changes.items())
        cut = self._cut.in_words() if self._cut else ""
        return tuple(note for note in (*changed, cut) if note)

    def _check(self, vectors: VectorArray) -> None:
        """Read all rows once, so that a bad one is found before anything is stored.

        Raises:
            CollectionMismatchError: the collection has another dimension.
            InputError: a row holds NaN or infinity, or does not suit the metric or the datatype.
        """
        dimension, metric, datatype = vectors.shape[1], self._metric, FLOAT32
        if self._collection is not None:
            info = self._collection.info()
            metric, datatype = info.metric, info.datatype
            if dimension != info.dimension:
                raise CollectionMismatchError(
                    f"the vectors have dimension {dimension}, those of collection '{info.name}' "
                    f"have {info.dimension}; use the model that made them, or another collection"
                )
        for start in range(0, len(vectors), CHECKED_ROWS):
            # What float32 cannot hold becomes infinity, and is refused as such.
            with np.errstate(over="ignore"):
                rows = np.asarray(vectors[start : start + CHECKED_ROWS], dtype=np.float32)
            checked_vectors(rows, dimension, metric, first=start)
            check_storable(rows, metric, datatype, first=start)

    def _adopt(self) -> None:
        """Give our model to an empty collection without one, made elsewhere or by a killed run."""
        if self._collection is not None:
            info = self._collection.info()
            if info.count == 0 and not info.metadata.get("model"):
                self._collection.update_metadata(self._birth())
                info = self._collection.info()
            stored, mine = info.metadata.get("text"), self._metadata["text"]
            if stored and mine and (both := merged(stored, mine)) != stored:
                self._collection.update_metadata({"text": both})
            self._follow(info)

    def _birth(self) -> dict[str, Any]:
        """Metadata of a new collection: ours, an identity, and where sequence numbers start."""
        return {**self._metadata, "identity": uuid4().hex, "sequence": 0}

    def _follow(self, info: CollectionInfo) -> None:
        """Go on with the collection's metric, and its sequence numbers if it has them."""
        self._metric = info.metric
        self._sequence = info.metadata.get("sequence")
        if self._sequence is not None and SEQUENCE_FIELD not in info.payload_indexes:
            assert self._collection is not None
            self._collection.index_payload(SEQUENCE_FIELD)

    def _compare(
        self, chunk: list[Item], rows: Float32Array | None, ids_tell_all: bool
    ) -> tuple[set[PointId], IntArray]:
        """Which ids are stored, and which items are to be stored (one of equal ids)."""
        last = {item.point_id: k for k, item in enumerate(chunk) if not item.again}
        if self._collection is None:
            return set(), np.array(sorted(last.values()), dtype=np.int64)
        known = self._collection.existing(list(last))
        if known and not ids_tell_all:
            same = self._unchanged(chunk, rows, {i: last[i] for i in known})
        else:
            same = known
        stale = sorted(k for point_id, k in last.items() if point_id not in same)
        return known, np.array(stale, dtype=np.int64)

    def _unchanged(
        self, chunk: list[Item], rows: Float32Array | None, known: Mapping[PointId, int]
    ) -> set[PointId]:
        assert self._collection is not None
        stored = [
            record
            for record in self._collection.retrieve(list(known), vectors=rows is not None)
            if same_payload(record.content, chunk[known[record.id]].payload)
        ]
        if rows is not None:
            mine = rows[[known[record.id] for record in stored]]
            stored = of_equal_vectors(stored, mine, self._collection.info())
        return {record.id for record in stored}

    def _upsert(
        self, items: list[Item], rows: Float32Array | None, stale: IntArray, done: int
    ) -> None:
        if rows is not None:
            vectors = rows[stale]
        else:
            assert self._embedder is not None
            embedded = 0

            def on_batch(texts: int) -> None:
                nonlocal embedded
                embedded += texts
                self._progress("ingest", done + embedded, self._total)

            texts = [item.text for item in items]
            vectors = self._embedder.encode(texts, on_batch)
            cut = cut_by(self._embedder, texts)
            self._cut = cut if cut is None or self._cut is None else self._cut + cut
            checked_vectors(vectors, vectors.shape[1], self._metric)
        if self._collection is None:
            self._collection = create_collection(
                self._destination.location,
                self._destination.name,
                dimension=vectors.shape[1],
                metric=self._metric,
                metadata=self._birth(),
                connection=self._destination.connection,
            )
            self._follow(self._collection.info())
        payloads = [item.payload for item in items]
        if self._sequence is not None:
            # Subtle: the number is known before points carry it, so that a run that follows a
            # killed one takes another.
            self._sequence += 1
            self._collection.update_metadata({"sequence": self._sequence})
            payloads = [{**payload, SEQUENCE_FIELD: self._sequence} for payload in payloads]
        self._collection.upsert([item.point_id for item in items], vectors, payloads)
