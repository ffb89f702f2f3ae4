"""Tables of other packages: told by the names of their classes, and never imported to be told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.errors import InputError
from tsds_qdrant.records.arrow_rows import BATCH
from tsds_qdrant.records.hub import batches_of

Batches = Callable[[], Iterable[Any]]


def class_names(value: Any) -> set[tuple[str, str]]:
    """Package and name of each class that ``value`` is of."""
    return {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(value).__mro__}


def batches_of_frame(frame: Any, name: str) -> tuple[Batches, int | None] | None:
    """What gives the rows of ``frame`` as batches of Arrow, and their number.

    Returns:
        None where it is no table, or a DataFrame of pandas with values that Arrow has no column
        for; no number where the rows are streamed.

    Raises:
        InputError: it is several tables.
    """
    kinds = class_names(frame)
    if kinds & {("datasets", "DatasetDict"), ("datasets", "IterableDatasetDict")}:
        splits = ", ".join(map(str, frame))
        first = next(iter(frame), "train")
        raise InputError(f"'{name}' holds the splits {splits}; give one, {name}['{first}'] say")
    if ("datasets", "Dataset") in kinds:
        return lambda: batches_of(frame), len(frame)
    if ("datasets", "IterableDataset") in kinds:
        return lambda: batches_of(frame), None
    if ("pyarrow", "Table") in kinds:
        return lambda: _cut(frame), frame.num_rows
    if ("pyarrow", "RecordBatch") in kinds:
        return lambda: [frame.slice(at, BATCH) for at in range(0, len(frame), BATCH)], len(frame)
    if ("polars", "DataFrame") in kinds:
        table = frame.to_arrow()
        return lambda: _cut(table), len(frame)
    if ("pandas", "DataFrame") in kinds:
        made = _table(frame, name)
        return None if made is None else (lambda: _cut(made), len(frame))
    return None


def _cut(table: Any) -> Iterator[Any]:
    """The batches of an Arrow table, none of them large."""
    yield from table.to_batches(max_chunksize=BATCH)


def _table(frame: Any, name: str) -> Any:
    """A DataFrame of pandas as a table of Arrow.

    Returns:
        None where a column holds values of several types, or dictionaries, whose keys may differ.
    """
    import pyarrow as pa

    columns = [str(column) for column in frame.columns]
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise InputError(f"'{name}' has the column '{twice}' twice; rename one of them")
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, ValueError, OverflowError):
        return None
    return None if any(_has_struct(kind) for kind in table.schema.types) else table


def _has_struct(kind: Any) -> bool:
    import pyarrow as pa

    inner = [kind.field(position) for position in range(kind.num_fields)]
    return pa.types.is_struct(kind) or any(_has_struct(field.type) for field in inner)


def records_of_pandas(frame: Any) -> list[dict[str, Any]]:
    """The rows of a DataFrame of pandas as they are; what is missing is None."""
    columns = {str(name): values_of_series(frame[name]) for name in frame.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def values_of_series(series: Any) -> list[Any]:
    """The values of a Series of pandas or polars; what is missing is None."""
    if ("polars", "Series") in class_names(series):
        values: list[Any] = series.to_list()
        return values
    return [
        value if present else None
        for value, present in zip(series.tolist(), series.notna().tolist(), strict=True)
    ]


def array_of(value: Any) -> Any:
    """``value`` as an array of numpy, if it is one, or a tensor of torch; else None."""
    kinds = class_names(value)
    if ("torch", "Tensor") in kinds:
        return value.detach().cpu().numpy()
    return np.asarray(value) if ("numpy", "ndarray") in kinds else None


def taken(given: Any, rows: IntArray) -> Any:
    """The ``rows`` of a table, in that order, as a table of the same package; None of others."""
    kinds = class_names(given)
    if ("pandas", "DataFrame") in kinds:
        return given.iloc[rows]
    if ("pandas", "Series") in kinds:
        return given.iloc[rows].to_frame(given.name or "text")
    if kinds & {("polars", "DataFrame")}:
        return given[rows.tolist()]
    if ("polars", "Series") in kinds:
        return given[rows.tolist()].alias(given.name or "text").to_frame()
    if kinds & {("pyarrow", "Table"), ("pyarrow", "RecordBatch")}:
        return given.take(rows)
    if ("datasets", "Dataset") in kinds:
        return given.select(rows.tolist())
    return None
