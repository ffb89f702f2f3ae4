"""Rows of a result as bytes: JSON lines, tables (CSV, TSV, Parquet), lists of ids."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from tsds_qdrant.files.flat_rows import (
    MOST_COLUMNS,
    PAYLOAD,
    PAYLOAD_COLUMN,
    Cell,
    as_json,
    fits,
    flat,
    is_json_column,
)
from tsds_qdrant.files.json_values import json_safe

_ROW_GROUP = 8192

Rows = Iterable[Mapping[str, Any]]


def _write_json_lines(stream: BinaryIO, rows: Rows, columns: Sequence[str], _: list[str]) -> int:
    lines = (as_json({column: json_safe(row.get(column)) for column in columns}) for row in rows)
    return _write_all(stream, lines)


def _write_ids(stream: BinaryIO, rows: Rows, _: Sequence[str], __: list[str]) -> int:
    return _write_all(stream, (str(row["id"]) for row in rows))


def _write_table(
    stream: BinaryIO, rows: Rows, columns: Sequence[str], as_text: list[str], *, delimiter: str
) -> int:
    def lines(names: Sequence[str], table: Iterable[Sequence[Cell]]) -> Iterator[str]:
        # Subtle: the writer quotes the characters of its line end, and a bare \r must be quoted
        # whatever the line end; so the line end is \r\n until the line is cut out.
        line = io.StringIO()
        writer = csv.writer(line, delimiter=delimiter, lineterminator="\r\n")
        for cells in chain([names], table):
            writer.writerow([as_json(cell) if isinstance(cell, bool) else cell for cell in cells])
            yield line.getvalue()[:-2]
            line.seek(0)
            line.truncate()

    if PAYLOAD not in columns:
        held = ({column: json_safe(row.get(column)) for column in columns} for row in rows)
        cells = ([cell for _, cell in _cells(one, spread=False)] for one in held)
        return _write_all(stream, lines(columns, cells)) - 1
    with _tabled(stream, rows, columns) as (names, _, table):
        as_text += filter(is_json_column, names)
        return _write_all(stream, lines(names, table)) - 1


def _write_parquet(stream: BinaryIO, rows: Rows, columns: Sequence[str], as_text: list[str]) -> int:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    count = 0
    with _tabled(stream, rows, columns) as (names, kinds, table):
        as_text += filter(is_json_column, names)
        types = [_column_type(seen) for seen in kinds]
        schema = pa.schema(
            [(name, getattr(pa, kind)()) for name, kind in zip(names, types, strict=True)]
        )
        with ParquetWriter(stream, schema, compression="zstd") as writer:
            while batch := list(islice(table, _ROW_GROUP)):
                count += len(batch)
                arrays = [
                    pa.array([_converted(cell, kind) for cell in column], getattr(pa, kind)())
                    for column, kind in zip(zip(*batch, strict=True), types, strict=True)
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return count


@contextmanager
def _tabled(
    stream: BinaryIO, rows: Rows, columns: Sequence[str]
) -> Iterator[tuple[list[str], list[set[str]], Iterator[list[Cell]]]]:
    """The columns of a table, the kinds of what they hold, and its rows.

    Columns and kinds are settled by the last row, so the rows are put aside in a file without a
    name, beside the one that is written.
    """
    name = getattr(stream, "name", None)  # a number where the file has none
    folder = Path(name).parent if isinstance(name, str) and name else None
    kinds: dict[str, set[str]] = {}
    spread = PAYLOAD in columns
    with tempfile.TemporaryFile(dir=folder) as spool:

        def lines() -> Iterator[str]:
            nonlocal spread
            for row in rows:
                held = {column: json_safe(row.get(column)) for column in columns}
                spread = spread and fits(held[PAYLOAD])
                for column, cell in _cells(held, spread=spread):
                    kinds.setdefault(column, set()).add(_kind(cell))
                spread = spread and len(kinds) <= MOST_COLUMNS
                yield as_json(list(held.values()))

        _write_all(spool, lines())
        names = list(_names(columns, kinds) if spread else map(_single, columns))
        spool.seek(0)
        stored = (dict(zip(columns, json.loads(line), strict=True)) for line in spool)
        made = (dict(_cells(held, spread=spread)) for held in stored)
        seen = [kinds.get(column, {"string"} if not spread else set()) for column in names]
        yield names, seen, ([cells.get(column) for column in names] for cells in made)


def _cells(held: Mapping[str, Any], *, spread: bool) -> Iterator[tuple[str, Cell]]:
    for column, value in held.items():
        if column == PAYLOAD and spread:
            yield from flat(value)
        else:
            nested = isinstance(value, (dict, list))
            yield _single(column), as_json(value) if nested else value


def _names(columns: Sequence[str], seen: Iterable[str]) -> Iterator[str]:
    """The columns, with those of the payload's fields, as first seen, in its place."""
    for column in columns:
        if column == PAYLOAD:
            yield from (one for one in seen if one not in columns)
        else:
            yield column


def _single(column: str) -> str:
    return PAYLOAD_COLUMN if column == PAYLOAD else column


def _kind(cell: Cell) -> str:
    if cell is None:
        return "null"
    if isinstance(cell, bool):
        return "bool_"
    if isinstance(cell, int):
        if -(2**63) <= cell < 2**63:
            return "int64" if cell < 0 else "both"
        return "uint64" if 0 <= cell < 2**64 else "string"
    return "float64" if isinstance(cell, float) else "string"


def _column_type(kinds: set[str]) -> str:
    """Name the Arrow type that holds cells of all these kinds without loss, else string."""
    kinds = kinds - {"null"}
    if kinds == {"bool_"}:
        return "bool_"
    for fitting in ({"int64", "both"}, {"uint64", "both"}):
        if kinds and kinds <= fitting:
            return "uint64" if "uint64" in kinds else "int64"
    if "float64" in kinds and kinds <= {"float64", "int64", "both", "uint64"}:
        return "float64"
    return "string"


def _converted(cell: Cell, kind: str) -> Cell:
    if cell is None or isinstance(cell, str):
        return cell
    if kind == "float64":
        return float(cell)
    return as_json(cell) if kind == "string" else cell


def _write_all(stream: BinaryIO, lines: Iterable[str]) -> int:
    count = 0
    for line in lines:
        stream.write(f"{line}\n".encode())
        count += 1
    return count


ROW_WRITERS: dict[str, Callable[[BinaryIO, Rows, Sequence[str], list[str]], int]] = {
    ".jsonl": _write_json_lines,
    ".ndjson": _write_json_lines,
    ".csv": partial(_write_table, delimiter=","),
    ".tsv": partial(_write_table, delimiter="\t"),
    ".parquet": _write_parquet,
    ".ids": _write_ids,
    ".txt": _write_ids,
}
"""Suffix -> writer of the rows' ``columns`` to a stream, which returns how many rows it wrote.

The last argument is given the columns that hold JSON text of a payload's lists and objects.
"""
