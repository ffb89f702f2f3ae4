"""Records in Arrow's columns: Parquet, IPC files and streams, datasets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tsds_qdrant.errors import BadRecordError, InputError
from tsds_qdrant.files.json_values import json_safe
from tsds_qdrant.records.arrow_times import cut_to_microseconds
from tsds_qdrant.records.entries import Entry, Findings, Place
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.records.vector_columns import split_batch

BATCH = 1024
"""Rows in memory at once."""
_IPC_FILE = b"ARROW1"
_FEATHER_1 = b"FEA1"


def arrow_rows(
    batches: Iterable[Any], name: str, form: FileForm, findings: Findings, *, first: int = 1
) -> Iterator[Entry]:
    """Read the rows of RecordBatches or Tables without the columns that ``form`` drops.

    They are counted from ``first``. Vectors that it names come beside their records. A row with a
    value that JSON cannot express is a bad record.

    Raises:
        InputError: a batch cannot be read, or has two columns of one name.
    """
    number = first - 1
    with arrow_errors(name):
        for batch in batches:
            kept, vectors = _kept(batch, name, form.drop_columns, findings), None
            if form.vector_field is not None:
                kept, vectors = split_batch(kept, form.vector_field, f"'{name}'")
            rows: list[Any] = [{} for _ in range(batch.num_rows)] if vectors else []
            if kept.num_columns:
                rows = _rows(cut_to_microseconds(kept, findings.changes))
            for k, row in enumerate(rows):
                number += 1
                place = Place(name, number, "row")
                vector = None if vectors is None else vectors[k]
                try:
                    record = {key: safe_value(row, key, place, findings) for key in row}
                    yield Entry(record, place, vector)
                except BadRecordError as error:
                    findings.bad(error)


@contextmanager
def arrow_errors(name: str | Path) -> Iterator[None]:
    """What Arrow raises becomes an InputError that names the file."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(f"'{name}' cannot be read ({reason}); write it again") from None


def parquet_file(path: Path) -> Any:
    """The Parquet file at ``path``, open."""
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path, buffer_size=1 << 20)


def arrow_batches(path: Path) -> Iterator[Any]:
    """RecordBatches of the file at ``path``: Parquet, or Arrow's IPC as a file or a stream."""
    import pyarrow as pa

    if path.suffix.lower() == ".parquet":
        with parquet_file(path) as parquet:
            yield from parquet.iter_batches(batch_size=BATCH)
        return
    with pa.memory_map(str(path)) as source:
        magic = source.read(len(_IPC_FILE))
        source.seek(0)
        if magic.startswith(_FEATHER_1):
            raise InputError(
                f"'{path}' is of version 1 of Feather; write it again, as version 2 or Parquet"
            )
        opened = pa.ipc.open_file if magic == _IPC_FILE else pa.ipc.open_stream
        with opened(source) as reader:
            batches = (
                map(reader.get_batch, range(reader.num_record_batches))
                if magic == _IPC_FILE
                else reader
            )
            for batch in batches:
                for start in range(0, batch.num_rows, BATCH):
                    yield batch.slice(start, BATCH)


def count_rows(path: Path) -> int | None:
    """The number of rows of a Parquet file; None of others, which would have to be read."""
    if path.suffix.lower() != ".parquet":
        return None
    with arrow_errors(path), parquet_file(path) as parquet:
        return int(parquet.metadata.num_rows)


def _kept(batch: Any, name: str, drop: Collection[str], findings: Findings) -> Any:
    names = list(batch.schema.names)
    findings.dropped.update(set(names) & set(drop))
    kept = [position for position, column in enumerate(names) if column not in drop]
    left = batch if len(kept) == len(names) else batch.select(kept)
    fields = [left.schema.field(position) for position in range(len(kept))]
    if repeated := _repeated(fields):
        column, within = repeated
        where = f" in '{within}'" if within else ""
        raise InputError(f"'{name}' has the column '{column}' twice{where}; rename one of them")
    return left


def _repeated(fields: list[Any], within: str = "") -> tuple[str, str] | None:
    """A name that two of ``fields`` have, or fields inside one, and the name of that one."""
    names = [field.name for field in fields]
    for field in fields:
        if names.count(field.name) > 1:
            return field.name, within
    for field in fields:
        path = f"{within}.{field.name}" if within else field.name
        if found := _repeated_inside(field.type, path):
            return found
    return None


def _repeated_inside(kind: Any, path: str) -> tuple[str, str] | None:
    import pyarrow as pa

    inner = [kind.field(position) for position in range(kind.num_fields)]
    if pa.types.is_struct(kind):
        return _repeated(inner, path)
    found = (_repeated_inside(field.type, path) for field in inner)
    return next(filter(None, found), None)


def _rows(batch: Any) -> list[Any]:
    """Rows as dictionaries; if one cannot be made, each value is made when it is asked for."""
    try:
        rows: list[Any] = batch.to_pylist()
    except (ValueError, OverflowError):
        return [_LazyRow(batch, number) for number in range(batch.num_rows)]
    return rows


class _LazyRow(Mapping[str, Any]):
    def __init__(self, batch: Any, number: int) -> None:
        self._batch = batch
        self._number = number

    def __getitem__(self, key: str) -> Any:
        return self._batch.column(key)[self._number].as_py()

    def __iter__(self) -> Iterator[str]:
        return iter(self._batch.schema.names)

    def __len__(self) -> int:
        return len(self._batch.schema.names)


def safe_value(row: Mapping[Any, Any], key: Any, place: Place, findings: Findings) -> Any:
    """The value of ``key`` in ``row`` as JSON can express it.

    Raises:
        BadRecordError: JSON cannot.
    """
    try:
        return json_safe(row[key], findings.changes)
    except UnicodeDecodeError:
        fault = "bytes that are not UTF-8 text"
    except OverflowError as error:
        fault = f"a value beyond what can be read ({error})"
    except ValueError as error:
        fault = str(error)
    raise BadRecordError(
        place,
        f"holds {fault} in '{key}'",
        f"convert that column, or leave it out (ingest does with --drop-columns {key})",
    )
