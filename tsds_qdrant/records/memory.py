"""Records that the calling process holds: read as those of a file are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import BadRecordError
from tsds_qdrant.records.arrow_rows import arrow_rows, safe_value
from tsds_qdrant.records.entries import Entry, Findings, Place
from tsds_qdrant.records.fields import shown
from tsds_qdrant.records.form import FileForm

Read = Callable[[FileForm, Findings], Iterator[Entry]]


class InMemory:
    """Stands where the name of a file can stand. Rows are counted from 0.

    Attributes:
        name: for messages, as in "row 3 of 'pool'".
        count: how many records; None where that is not known.
        by_row: ids are the numbers of the rows, and do not follow from the content.
        ids: point id -> number of the first row that it stands for, as an ingest fills it in.
    """

    def __init__(
        self, name: str, read: Read, count: int | None = None, *, by_row: bool = False
    ) -> None:
        self.name = name
        self.count = count
        self.by_row = by_row
        self.ids: dict[PointId, int] = {}
        self._read = read

    def __str__(self) -> str:
        return self.name

    def entries(self, form: FileForm, findings: Findings) -> Iterator[Entry]:
        """The records with their places; each call reads them from the beginning."""
        return self._read(form, findings)

    @classmethod
    def of_texts(cls, name: str, texts: Sequence[Any], field: str) -> InMemory:
        """``texts``, each a record whose only ``field`` holds it."""
        return cls(name, partial(_texts, texts, name, field), len(texts))

    @classmethod
    def of_records(cls, name: str, records: Sequence[Any]) -> InMemory:
        """``records``, each a mapping."""
        return cls(name, partial(_records, records, name), len(records))

    @classmethod
    def of_batches(
        cls, name: str, batches: Callable[[], Iterable[Any]], count: int | None
    ) -> InMemory:
        """The ``count`` rows of RecordBatches or Tables of Arrow, as :func:`.arrow_rows` does."""

        def read(form: FileForm, findings: Findings) -> Iterator[Entry]:
            return arrow_rows(batches(), name, form, findings, first=0)

        return cls(name, read, count)


Source = str | InMemory
"""Where records come from: what :func:`~tsds_qdrant.records.reading.read_entries` takes."""
Sources = Source | os.PathLike[str] | Sequence[Source | os.PathLike[str]]


def sources_of(given: Sources) -> list[Source]:
    """One place of records or several, paths as texts."""
    several = [given] if isinstance(given, (str, InMemory, os.PathLike)) else given
    return [one if isinstance(one, (str, InMemory)) else os.fspath(one) for one in several]


def _texts(
    texts: Sequence[Any], name: str, field: str, form: FileForm, findings: Findings
) -> Iterator[Entry]:
    for number, text in enumerate(texts):
        place = Place(name, number, "row")
        if isinstance(text, str):
            yield Entry({field: safe_value({field: text}, field, place, findings)}, place)
        else:
            findings.bad(_mixed(text, place, "texts"))


def _records(
    records: Sequence[Any], name: str, form: FileForm, findings: Findings
) -> Iterator[Entry]:
    for number, record in enumerate(records):
        place = Place(name, number, "row")
        if not isinstance(record, Mapping):
            findings.bad(_mixed(record, place, "records"))
            continue
        try:
            named = {str(key): safe_value(record, key, place, findings) for key in record}
            yield Entry(named, place)
        except BadRecordError as error:
            findings.bad(error)


def _mixed(value: Any, place: Place, others: str) -> BadRecordError:
    return BadRecordError(
        place,
        f"is {shown(value)}, of type {type(value).__name__}, among {others}",
        "give texts alone, or records alone",
    )
