"""Ingest: records and vectors into a collection, resumable at any point.

Ids follow from the content, so a second run finds what the first one stored: points that are
there already are neither embedded nor written again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.ingest.destination import Destination
from tsds_qdrant.ingest.storing import Chunk, IngestReport, Item, StoringRun, VectorArray
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records import TextTemplate, count_records, read_records, record_id
from tsds_qdrant.representations.text import Embedder

TEXT_CHUNK = 256
VECTOR_CHUNK = 1_000
MAX_IDS = 2**64


def ingest_records(
    destination: Destination,
    files: Sequence[str],
    *,
    template: TextTemplate,
    embedder: Embedder | None = None,
    vectors: VectorArray | None = None,
    model: str | None = None,
    id_field: str | None = None,
    progress: Progress = silent,
) -> IngestReport:
    """Ingest the records of ``files``, embedded by ``embedder`` or with ready ``vectors``.

    Args:
        destination: where to.
        files: JSONL, Parquet, CSV, .. (see :func:`~tsds_qdrant.records.read_records`).
        template: how a record becomes the text that is embedded.
        embedder: needed unless ``vectors`` are given.
        vectors: (n, D), one row for each record, in order.
        model: what made ``vectors``, to be kept with the collection.
        id_field: take ids from this field instead of the content.
        progress: stages ``ingest`` and ``index``.

    Raises:
        InputError: a record cannot be used, or records and vectors differ in number.
        CollectionMismatchError: the collection exists with another dimension, metric or model.
        EmbeddingError: the model fails.
    """
    if (embedder is None) == (vectors is None):
        raise SettingsError("records need either a model or ready vectors; give one of the two")
    counts = [count_records(file) for file in files]
    total = 0 if None in counts else sum(count or 0 for count in counts)
    records = chain.from_iterable(read_records(file) for file in files)
    first = next(records)
    if vectors is not None and total and total != len(vectors):
        raise InputError(f"{len(vectors)} vectors for {total} records; give one row each")
    if embedder and not template.to_dict():
        template = TextTemplate.from_dict(destination.metadata().get("text", {}))
    if embedder or template.to_dict():
        template = template.decide(first)
    items = _items(chain([first], records), template, id_field, with_text=embedder is not None)
    metadata = {
        "model": embedder.name if embedder else model,
        "text": template.to_dict(),
        "ids": id_field or "content",
    }
    run = StoringRun(destination, metadata, embedder, total, progress)
    chunks = _chunked(items, TEXT_CHUNK) if vectors is None else _paired(items, vectors)
    return run.store(chunks, ids_tell_all=id_field is None and vectors is None, vectors=vectors)


def ingest_vectors(
    destination: Destination,
    vectors: VectorArray,
    *,
    model: str | None = None,
    first_id: int = 0,
    progress: Progress = silent,
) -> IngestReport:
    """Ingest the rows of ``vectors`` (n, D) under the ids ``first_id``, ``first_id + 1``, ..

    Raises:
        InputError: NaN, infinity, or a zero row under Cosine; nothing is stored then.
        CollectionMismatchError: the collection exists with another dimension or metric.
        SettingsError: the last id would be beyond 2^64 - 1.
    """
    if first_id + len(vectors) > MAX_IDS:
        raise SettingsError(
            f"the first id {first_id} leaves no room for {len(vectors)} vectors below 2^64; "
            f"choose a smaller one"
        )
    metadata: dict[str, Any] = {"model": model, "text": {}, "ids": "rows"}
    items = (Item(first_id + row, "", {}) for row in range(len(vectors)))
    run = StoringRun(destination, metadata, None, len(vectors), progress)
    return run.store(_paired(items, vectors), ids_tell_all=False, vectors=vectors)


def _items(
    records: Iterator[dict[str, Any]],
    template: TextTemplate,
    id_field: str | None,
    *,
    with_text: bool,
) -> Iterator[Item]:
    for number, record in enumerate(records, start=1):
        text = template.render(record, number) if with_text else ""
        yield Item(record_id(record, text, id_field, number=number), text, record)


def _chunked(items: Iterator[Item], size: int) -> Iterator[Chunk]:
    while chunk := list(islice(items, size)):
        yield chunk, None


def _paired(items: Iterator[Item], vectors: VectorArray) -> Iterator[Chunk]:
    start = 0
    for chunk, _ in _chunked(items, VECTOR_CHUNK):
        rows = np.asarray(vectors[start : start + len(chunk)], dtype=np.float32)
        start += len(rows)
        if len(rows) < len(chunk):
            raise InputError(
                f"there are more records than the {len(vectors)} vectors; give one row each"
            )
        yield chunk, rows
    if start < len(vectors):
        raise InputError(f"{len(vectors)} vectors for {start} records; give one row each")
