"""Ingest: data in memory into a collection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tsds_qdrant.collections.values import PointId
from tsds_qdrant.ingestion.destination import Destination
from tsds_qdrant.ingestion.ingest import ingest_records, ingest_vectors
from tsds_qdrant.ingestion.report import IngestReport
from tsds_qdrant.notebook.asked import Asked
from tsds_qdrant.notebook.bars import bars
from tsds_qdrant.notebook.given import Given, given_of
from tsds_qdrant.notebook.models import OwnReading, default_name, reading_with
from tsds_qdrant.notebook.place import Kept
from tsds_qdrant.notebook.words import arguments_named
from tsds_qdrant.paths import Location
from tsds_qdrant.progress import Progress
from tsds_qdrant.task.model import check_same

POOL = "pool"


@dataclass(frozen=True)
class Stored:
    """A pool that is in a collection.

    Attributes:
        report: what the ingest did; None where the pool was there already.
        rows: point id -> number of the first row of the pool that it stands for; None where all
            points are the pool.
        reading: how its texts were made and embedded.
    """

    report: IngestReport | None
    rows: Mapping[PointId, int] | None
    reading: OwnReading

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the ingest, a sentence each."""
        if self.report is None:
            return ()
        left = self.report.rejected
        return (
            *([f"left out {left} rows that cannot be used"] if left else []),
            *self.report.notes,
        )


@dataclass(frozen=True)
class NumberedRows(Mapping[PointId, int]):
    """The rows of vectors that came alone: ids count on from the first."""

    first: int
    count: int

    def __getitem__(self, point_id: PointId) -> int:
        if not isinstance(point_id, int) or not 0 <= point_id - self.first < self.count:
            raise KeyError(point_id)
        return point_id - self.first

    def __iter__(self) -> Iterator[PointId]:
        return iter(range(self.first, self.first + self.count))

    def __len__(self) -> int:
        return self.count


def ingest(
    data: Any,
    *,
    qdrant: Location,
    collection: str,
    model: Any = None,
    payloads: Any = None,
    progress: bool | Progress = False,
    **settings: Any,
) -> IngestReport:
    """Put candidates that are in memory into a collection, as the command ``ingest`` does.

    What is there already is neither embedded nor written again.

    Args:
        data: a list of texts or of dictionaries; a DataFrame of pandas or polars, or a Series of
            texts; a ``datasets.Dataset``, streaming or not; a Table of Arrow; an array (n, D) of
            vectors of numpy or torch; or the path of a file, as the command line reads it.
        qdrant: a directory, or the URL of a server.
        collection: its name there; it is made if it does not exist.
        model: what embeds texts: a name, a SentenceTransformer, anything with ``encode``, or a
            function of a list of texts; of ready vectors the name of what made them.
        payloads: records that come with an array of vectors, one for each row; ids are the numbers
            of the rows then, unless ``id_field`` says otherwise.
        progress: True shows bars; or a callback.
        settings: the flags of the command by their names, ``text_field`` say; and ``connection``.

    Raises:
        TsdsError: as the command; the message names the offending value and the next step.
    """
    with arguments_named(), bars(progress) as show:
        asked = Asked.of(settings)
        pool = given_of(data, "data", asked.reading.text_field, payloads)
        place = Kept.of(qdrant, collection, asked)
        report = store(pool, place, asked, reading_with(asked.reading, model), show).report
        assert report is not None
        return report


def store(
    pool: Given, place: Kept, asked: Asked, reading: OwnReading, progress: Progress
) -> Stored:
    """Put ``pool`` into the collection ``place``.

    Raises:
        TsdsError: see :func:`ingest`.
    """
    points = asked.points
    destination = Destination(
        place.location,
        place.name,
        points.metric,
        place.written(),
        place.connection,
        overwrite=points.overwrite,
        index=points.index or points.wait_index,
        layout=points.layout,
    )
    model = reading.model
    if pool.records is None:
        assert pool.vectors is not None
        report = ingest_vectors(
            destination,
            pool.vectors,
            model=model,
            first_id=points.first_id,
            part=asked.records.part,
            progress=progress,
        )
        return Stored(report, NumberedRows(points.first_id, len(pool.vectors)), reading)
    ready = pool.vectors is not None or asked.records.form.vector_field is not None
    embedder = None
    if not ready:
        known = destination.metadata()
        if reading.own is not None:
            reading = _of_collection(destination, reading)
        embedder = reading.embedder(default_name(reading, known), known)
    report = ingest_records(
        destination,
        pool.records,
        template=reading.text_template(),
        embedder=embedder,
        vectors=pool.vectors,
        model=model,
        settings=asked.records,
        progress=progress,
    )
    return Stored(report, pool.records.ids, reading)


def _of_collection(destination: Destination, reading: OwnReading) -> OwnReading:
    """``reading``, whose model is an object, by the name that an existing collection knows it by.

    Names of objects say little, so a few stored texts are embedded again to see that it is that.

    Raises:
        CollectionMismatchError: it makes other vectors.
    """
    existing = destination.existing()
    if existing is None:
        return reading
    with existing:
        info = existing.info()
        if not info.count or not info.model or reading.own is None:
            return reading
        check_same(existing, info, reading.own)
    reading.own.name = info.model
    return replace(reading, model=info.model)
