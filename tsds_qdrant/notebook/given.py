"""What a caller has in memory, as records or vectors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.notebook.frames import (
    array_of,
    batches_of_frame,
    class_names,
    records_of_pandas,
    values_of_series,
)
from tsds_qdrant.paths import COLLECTION_PREFIX, Location, expanded, remembered_source
from tsds_qdrant.records.entries import Entry, Findings
from tsds_qdrant.records.fields import shown
from tsds_qdrant.records.folders import is_pattern, paths_of_pattern
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.records.hub import is_hub_name
from tsds_qdrant.records.memory import InMemory
from tsds_qdrant.records.reading import count_records, read_entries
from tsds_qdrant.records.vectors import check_array, load_vectors

TEXT = "text"
KINDS = (
    "a list of texts or of records, a DataFrame of pandas or polars, a Dataset, a Table of Arrow, "
    "an array (n, D) of numpy, or the path of a file"
)

NOT_FROM_COLLECTIONS = ("data", "payloads")
"""What is to be stored."""


@dataclass(frozen=True)
class Given:
    """A pool or a task that a caller gives.

    Attributes:
        name: for messages.
        original: what was given; of vectors what came with them, if anything.
        kind: its type, or its path, for a manifest.
        records: its records; None where there are none.
        vectors: (n, D) its ready vectors; None where a model is to make them.
        source: of a file or ``collection:NAME``, its name as the command line has it.
        of_texts: its records are texts, which have no fields of their own.
    """

    name: str
    original: Any
    kind: str
    records: InMemory | None = None
    vectors: npt.NDArray[Any] | None = None
    source: str | None = None
    of_texts: bool = False

    @property
    def count(self) -> int | None:
        """How many rows; None where that is not known."""
        if self.vectors is not None:
            return len(self.vectors)
        return None if self.records is None else self.records.count

    @property
    def is_collection(self) -> bool:
        """Whether it is a collection that is there already."""
        return self.vectors is None and (self.source or "").startswith(COLLECTION_PREFIX)

    @property
    def needs_model(self) -> bool:
        """Whether its vectors are to be made."""
        return self.vectors is None and not self.is_collection

    def named_place(self, qdrant: Location | None, collection: str | None) -> str | None:
        """The collection that holds it, where a call names ``qdrant`` and ``collection``.

        Raises:
            SettingsError: it is a collection itself, and the call does not say where, or names
                another one.
        """
        if not self.is_collection:
            return collection
        name = str(self.source).removeprefix(COLLECTION_PREFIX)
        if qdrant is None:
            raise SettingsError(
                f"'{self.name}' is {self.source}, and nothing says where that is; give "
                f"qdrant='./store', say"
            )
        if collection not in (None, name):
            raise SettingsError(
                f"'{self.name}' is {self.source}, and collection is '{collection}'; leave "
                f"collection out"
            )
        return name

    def labels(self, rows: IntArray) -> list[Any]:
        """The caller's own index of ``rows``: that of pandas, else their numbers."""
        if class_names(self.original) & {("pandas", "DataFrame"), ("pandas", "Series")}:
            labels: list[Any] = self.original.index[rows].tolist()
            return labels
        numbers: list[Any] = rows.tolist()
        return numbers


def given_of(given: Any, name: str, field: str | None = None, payloads: Any = None) -> Given:
    """``given`` as records or vectors.

    Args:
        given: see ``KINDS``.
        name: for messages: ``pool`` or ``task``.
        field: of the record that a text becomes, ``text`` by default.
        payloads: records that come with vectors, one for each.

    Raises:
        InputError: it is nothing of the kind, or empty.
    """
    vectors = _vectors(given, name)
    if vectors is None and payloads is not None:
        raise InputError(
            f"payloads are given, and '{name}' is {_kind(given)} that holds records itself; give "
            f"them with an array of vectors alone"
        )
    if vectors is not None:
        check_array(vectors, name)
        if payloads is None:
            return Given(name, None, _kind(given), vectors=vectors)
        beside = given_of(payloads, "payloads", field)
        if beside.records is None:
            raise InputError(f"payloads are {_kind(payloads)}; give records, or texts")
        beside.records.by_row = True
        return Given(name, payloads, _kind(given), beside.records, vectors)
    if isinstance(given, (str, os.PathLike)):
        return _of_path(os.fspath(given), name)
    made = _of_rows(given, name, field or TEXT)
    if made.count == 0:
        raise InputError(f"'{name}' is empty, {_kind(given)} without rows; give at least one row")
    return made


def tasks_of(given: Any) -> dict[str, Given]:
    """The tasks by their names; one is named by nobody."""
    if type(given) is not dict:
        return {"task": given_of(given, "task")}
    if not given:
        raise InputError("task is an empty dictionary; give the examples of each task by its name")
    return {str(name): given_of(one, f"task '{name}'") for name, one in given.items()}


def _vectors(given: Any, name: str) -> npt.NDArray[Any] | None:
    """``given`` as an array of vectors; None where it is something else."""
    if isinstance(given, (str, os.PathLike)):
        path = os.fspath(given)
        return load_vectors(expanded(path)) if path.endswith(".npy") else None
    array = array_of(given)
    if array is not None:
        texts = array.ndim == 1 and array.dtype.kind in "OUT"
        return None if texts or (array.ndim == 1 and not array.size) else array
    first = given[0] if isinstance(given, (list, tuple)) and given else None
    if array_of(first) is None and not _numbers(first):
        return None
    try:
        return np.array([row if array_of(row) is None else array_of(row) for row in given])
    except (TypeError, ValueError):
        raise InputError(
            f"the rows of '{name}' are no vectors of one length; give an array (n, D)"
        ) from None


def _numbers(row: Any) -> bool:
    plain = isinstance(row, (list, tuple)) and bool(row)
    return plain and all(isinstance(x, (int, float, np.number)) for x in row)


def _of_path(path: str, name: str) -> Given:
    several = is_pattern(path) and any(paths_of_pattern(path))
    there = several or is_hub_name(path) or os.path.exists(expanded(path))  # noqa: PTH110
    if path.startswith(COLLECTION_PREFIX) and name not in NOT_FROM_COLLECTIONS:
        return Given(name, None, path, source=path)
    if not there:
        raise InputError(
            f"'{name}' is {shown(path)}, which is no file; give the path of one, or texts as a list"
        )
    where = path if is_hub_name(path) or several else str(expanded(path))

    def read(form: FileForm, findings: Findings) -> Iterator[Entry]:
        return read_entries(where, findings, form)

    return Given(name, None, remembered_source(path), InMemory(where, read), source=where)


def _of_rows(given: Any, name: str, field: str) -> Given:
    kind = _kind(given)
    if ("polars", "LazyFrame") in class_names(given):
        given = given.collect()
    if found := batches_of_frame(given, name):
        return Given(name, given, kind, InMemory.of_batches(name, *found))
    if ("pandas", "DataFrame") in class_names(given):
        return Given(name, given, kind, InMemory.of_records(name, records_of_pandas(given)))
    if class_names(given) & {("pandas", "Series"), ("polars", "Series")}:
        return _of_list(given, values_of_series(given), name, field, kind)
    if isinstance(given, np.ndarray):
        return _of_list(given, given.tolist(), name, field, kind)
    unordered = isinstance(given, (Mapping, bytes, bytearray, set, frozenset))
    if unordered or not hasattr(given, "__iter__"):
        more = "; a dict of columns becomes one by pandas.DataFrame" * isinstance(given, Mapping)
        raise InputError(f"'{name}' is {kind}, {shown(given)}; give {KINDS}{more}")
    listed = given if isinstance(given, (list, tuple)) else list(given)
    return _of_list(listed, listed, name, field, kind)


def _of_list(given: Any, values: Sequence[Any], name: str, field: str, kind: str) -> Given:
    """Texts or records, as the first of them that is either says."""
    for value in values:
        if isinstance(value, Mapping):
            return Given(name, given, kind, InMemory.of_records(name, values))
        if isinstance(value, str):
            break
    else:
        if values:
            first = f"{shown(values[0])}, of type {type(values[0]).__name__}"
            raise InputError(f"'{name}' holds {first}, no text and no record; give {KINDS}")
    return Given(name, given, kind, InMemory.of_texts(name, values, field), of_texts=True)


def _kind(given: Any) -> str:
    """What ``given`` is, in words."""
    if isinstance(given, (str, os.PathLike)):
        return remembered_source(given)
    name = type(given).__name__
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


def entries_in(given: Given, form: FileForm | None = None) -> list[Entry]:
    """All records of ``given``.

    Raises:
        InputError: one cannot be used, or there is none.
    """
    assert given.records is not None
    return list(read_entries(given.records, form=form))


def counted(given: Given, form: FileForm) -> int | None:
    """How many rows ``given`` has, where that costs little to find out."""
    if given.source is not None and given.needs_model:
        return count_records(given.source, form)
    return given.count
