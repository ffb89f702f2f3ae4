"""Which points the rows of a store of features belong to: a file of ids, in the order of rows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tsds_qdrant.collections.ids import checked_ids
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import InputError
from tsds_qdrant.paths import expanded
from tsds_qdrant.records.reading import read_records

ID_FIELD = "id"
_LINES = (".txt", ".ids")


def read_row_ids(path: str | Path, rows: int, field: str = ID_FIELD) -> list[PointId]:
    """The ids in ``path``, one for each of ``rows`` rows, in their order.

    Args:
        path: lines of ids (``.txt``, ``.ids``), an array (``.npy``), or records with a field of
            ids in any format of :func:`~tsds_qdrant.records.reading.read_entries`, a dataset that
            ``save_to_disk`` wrote among them.
        rows: how many there must be.
        field: of records.

    Raises:
        InputError: the file cannot be read, an id is none or comes twice, or there are more or
            fewer than ``rows``.
    """
    file = expanded(path)
    suffix = file.suffix.lower()
    raw: Iterable[Any]
    if suffix == ".npy":
        raw = _of_array(file)
    elif suffix in _LINES:
        raw = _of_lines(file)
    else:
        raw = _of_records(path, field)
    found: list[Any] = []
    for number, value in enumerate(raw):
        is_number = isinstance(value, str) and value.strip().isdecimal()
        try:
            found += checked_ids([int(value) if is_number else value])
        except InputError as error:
            raise InputError(f"row {number} of '{path}': {error}") from error
    if len(found) != rows:
        raise InputError(
            f"'{path}' has {len(found)} ids, and the store {rows} rows; give one id for each row, "
            "in their order"
        )
    first: dict[PointId, int] = {}
    for number, point_id in enumerate(found):
        if first.setdefault(point_id, number) != number:
            raise InputError(
                f"'{path}' has the id {point_id} in row {first[point_id]} and in row {number}; "
                "give each row an id of its own"
            )
    return found


def _of_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    while lines and not lines[-1].strip():
        lines.pop()
    return [line.strip() for line in lines]


def _of_array(path: Path) -> list[Any]:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, error) from error
    if found.ndim != 1 or found.dtype.kind not in "iuUS":
        raise InputError(
            f"'{path}' has the shape {found.shape} and the type {found.dtype}; give one whole "
            "number or UUID for each row"
        )
    listed: list[Any] = (found.astype(str) if found.dtype.kind == "S" else found).tolist()
    return listed


def _of_records(path: str | Path, field: str) -> Iterable[Any]:
    for number, record in enumerate(read_records(path)):
        if field not in record:
            raise InputError(
                f"row {number} of '{path}' has no field '{field}' (it has "
                f"{', '.join(map(str, record))}); name the field of the ids"
            )
        yield record[field]


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
    return InputError(f"the ids in '{path}' cannot be read ({reason}); give another file")
