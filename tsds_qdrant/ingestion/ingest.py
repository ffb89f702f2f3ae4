"""Ingest: records and vectors into a collection, resumable at any point.

Ids follow from the content, so a second run finds what the first one stored: points that are
there already are neither embedded nor written again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.ingestion.destination import Destination, renamed
from tsds_qdrant.ingestion.items import Item, ItemMaker, VectorArray, items_of, noted
from tsds_qdrant.ingestion.rejected import Rejected, rejected_of
from tsds_qdrant.ingestion.report import IngestReport
from tsds_qdrant.ingestion.storing import Chunk, StoringRun
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records import TextTemplate, count_records
from tsds_qdrant.records.entries import Entry
from tsds_qdrant.records.memory import InMemory, Sources, sources_of
from tsds_qdrant.records.reading import check_given_once
from tsds_qdrant.records.settings import Part, RecordSettings
from tsds_qdrant.records.shapes import template_for
from tsds_qdrant.records.vectors import rows_of
from tsds_qdrant.representations.model_names import remembered_model
from tsds_qdrant.representations.text import Embedder, made_with
from tsds_qdrant.settings.fields import changed

TEXT_CHUNK = 1_024
"""Texts that are embedded before they are stored: enough of each length to share a pass."""
VECTOR_CHUNK = 1_000
MAX_IDS = 2**64
OTHER_ROW_IDS = "give the rows free ids with --first-id {free}"
OTHER_RECORD_IDS = "leave --id-field out, so that ids follow from the content"


def ingest_records(
    destination: Destination,
    files: Sources,
    *,
    template: TextTemplate,
    embedder: Embedder | None = None,
    vectors: VectorArray | None = None,
    model: str | None = None,
    settings: RecordSettings | None = None,
    progress: Progress = silent,
) -> IngestReport:
    """Ingest the records of ``files``, embedded by ``embedder`` or with ready ``vectors``.

    The first records are read, and checked, before anything is stored.

    Args:
        destination: where to.
        files: JSONL, Parquet, CSV, .. (see :func:`~tsds_qdrant.records.read_entries`), or records
            in memory.
        template: how a record becomes the text that is embedded.
        embedder: needed unless ``vectors`` are given, or the records bring them along
            (``settings.form.vector_field``).
        vectors: (n, D), one row for each record, in order.
        model: what made ``vectors``, to be kept with the collection.
        settings: where ids come from, and what becomes of records that cannot be used.
        progress: stages ``ingest`` and ``index``.

    Raises:
        InputError: a record cannot be used, or records and vectors differ in number.
        CollectionMismatchError: the collection exists with another dimension, metric or model.
        EmbeddingError: the model fails.
        OutputError: the list of records left out cannot be written.
    """
    settings = settings or RecordSettings()
    files = sources_of(files)
    field = settings.form.vector_field
    if sum(source is not None for source in (embedder, vectors, field)) != 1:
        raise SettingsError(
            "records need either a model or ready vectors, of a file (--vectors) or of a field "
            "(--vector-field); give one of the three"
        )
    check_given_once(files, settings.form)
    counts = [count_records(file, settings.form) for file in files]
    total = 0 if None in counts else sum(count or 0 for count in counts)
    known = destination.metadata() if embedder else {}
    mapped = getattr(vectors, "filename", None)
    read = [file for file in files if isinstance(file, str)]
    by_row = any(isinstance(file, InMemory) and file.by_row for file in files)
    with rejected_of(settings, [*read, *([str(mapped)] if mapped else [])]) as rejected:
        metadata: dict[str, Any] = {
            "model": embedder.name if embedder else model and remembered_model(model),
            "ids": settings.id_field or ("rows" if by_row else "content"),
            **(made_with(embedder) if embedder else {}),
        }
        if form := changed(settings.form):
            metadata["form"] = form

        def maker(first: Sequence[Entry]) -> ItemMaker:
            embeds = embedder is not None
            decided = _decided(template, known.get("text", {}), first, embeds=embeds)
            metadata["text"] = decided.to_dict()
            made = ItemMaker(decided, embeds, settings.id_field, vectors, rejected.changes)
            made.form, made.by_row = settings.form, by_row and settings.id_field is None
            if field is not None:
                made.dimension, made.metric = destination.shape()
            return made

        items = noted(items_of(files, rejected, maker, settings.form), files)
        if vectors is not None and total and total != len(vectors):
            raise InputError(f"{len(vectors)} vectors for {total} records; give one row each")
        part = len(settings.part.rows(total))
        chunks = _chunked(items, TEXT_CHUNK)
        if vectors is not None:
            chunks = _paired(items, vectors, rejected)
        elif field is not None:
            chunks = _with_own_vectors(items)
        with StoringRun(
            destination, metadata, embedder, part, progress, advice=OTHER_RECORD_IDS
        ) as run:
            report = run.store(
                chunks,
                by_content=settings.id_field is None and embedder is not None,
                vectors=vectors,
                findings=rejected,
            )
        new_name = renamed(known.get("model"), embedder.name) if embedder else ()
        return replace(report, notes=(*new_name, *report.notes))


def _decided(
    template: TextTemplate, stored: Mapping[str, str], first: Sequence[Entry], *, embeds: bool
) -> TextTemplate:
    """How texts are made: as asked for, as those that are stored are, or as usual."""
    if embeds and not template.to_dict():
        template = TextTemplate.from_dict(stored)
    if template.to_dict() and template.to_dict() != stored:
        return template.spelt_as(first[0].record, first[0].place)
    if template.to_dict() or not embeds:
        return template
    usual = [
        TextTemplate(template=source) for entry in first if (source := template_for(entry.record))
    ]
    if not usual:
        return template.decide(first[0].record, first[0].place)
    # Most of the fields that may be empty are there in some records only.
    return max(
        (one for one in usual if one.needs == usual[0].needs), key=lambda one: len(one.fields)
    )


def ingest_vectors(
    destination: Destination,
    vectors: VectorArray,
    *,
    model: str | None = None,
    first_id: int = 0,
    part: Part | None = None,
    progress: Progress = silent,
) -> IngestReport:
    """Ingest the rows of ``vectors`` (n, D) under the ids ``first_id``, ``first_id + 1``, ..

    Of points that are there already the vector is replaced, and nothing else.

    Args:
        destination: where to.
        vectors: all rows.
        model: what made them, to be kept with the collection.
        first_id: of the first row.
        part: which rows to ingest.
        progress: stages ``ingest`` and ``index``.

    Raises:
        InputError: NaN, infinity, or a zero row under Cosine; nothing is stored then.
        CollectionMismatchError: the collection exists with another dimension or metric.
        ForeignPointsError: points of these ids exist, and something else made them.
        SettingsError: the last id would be beyond 2^64 - 1.
    """
    if first_id + len(vectors) > MAX_IDS:
        raise SettingsError(
            f"the first id {first_id} leaves no room for {len(vectors)} vectors below 2^64; "
            f"choose a smaller one"
        )
    named = model and remembered_model(model)
    metadata: dict[str, Any] = {"model": named, "text": {}, "ids": "rows"}
    rows = (part or Part()).rows(len(vectors))

    def chunks() -> Iterator[Chunk]:
        return _paired((Item(first_id + row, "", None, row) for row in rows), vectors)

    with StoringRun(destination, metadata, None, len(rows), progress, advice=OTHER_ROW_IDS) as run:
        first = chunks() if run.is_elsewhere else None
        return run.store(chunks(), by_content=False, vectors=vectors, looked_at=first)


def _chunked(items: Iterator[Item], size: int) -> Iterator[Chunk]:
    chunk: list[Item] = []
    try:
        for item in items:
            chunk.append(item)
            if len(chunk) == size:
                yield chunk, None
                chunk = []
    except InputError:
        if chunk:  # what was read before stays
            yield chunk, None
        raise
    if chunk:
        yield chunk, None


def _with_own_vectors(items: Iterator[Item]) -> Iterator[Chunk]:
    for chunk, _ in _chunked(items, VECTOR_CHUNK):
        yield chunk, np.stack([item.vector for item in chunk if item.vector is not None])


def _paired(
    items: Iterator[Item], vectors: VectorArray, read: Rejected | None = None
) -> Iterator[Chunk]:
    """Items with their rows of ``vectors``; ``read`` counts the records that they came from."""
    for chunk, _ in _chunked(items, VECTOR_CHUNK):
        if chunk[-1].row >= len(vectors):
            raise InputError(
                f"there are more records than the {len(vectors)} vectors; give one row each"
            )
        wanted = [item.row for item in chunk]
        in_a_row = wanted[-1] - wanted[0] == len(wanted) - 1
        yield chunk, rows_of(vectors, slice(wanted[0], wanted[-1] + 1) if in_a_row else wanted)
    if read is not None and read.read != len(vectors):
        raise InputError(f"{len(vectors)} vectors for {read.read} records; give one row each")
