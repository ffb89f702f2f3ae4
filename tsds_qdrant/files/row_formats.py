"""Rows of a result as bytes: JSON lines, tables (CSV, TSV, Parquet), lists of ids."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from tsds_qdrant.files.json_values import json_safe

PAYLOAD = "payload"
PAYLOAD_COLUMN = "payload_json"
_ROW_GROUP = 8192

_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

Rows = Iterable[Mapping[str, Any]]
Cell = bool | int | float | str | None


def _write_json_lines(stream: BinaryIO, rows: Rows, columns: Sequence[str]) -> int:
    lines = (_json({column: json_safe(row.get(column)) for column in columns}) for row in rows)
    return _write_all(stream, lines)


def _write_ids(stream: BinaryIO, rows: Rows, _: Sequence[str]) -> int:
    return _write_all(stream, (str(row["id"]) for row in rows))


def _write_table(stream: BinaryIO, rows: Rows, columns: Sequence[str], *, delimiter: str) -> int:
    def lines() -> Iterator[str]:
        # Subtle: the writer quotes the characters of its line end, and a bare \r must be quoted
        # whatever the line end; so the line end is \r\n until the line is cut out.
        line = io.StringIO()
        writer = csv.writer(line, delimiter=delimiter, lineterminator="\r\n")
        header: list[Sequence[Cell]] = [_names(columns)]
        for cells in chain(header, _table(rows, columns)):
            writer.writerow([_json(cell) if isinstance(cell, bool) else cell for cell in cells])
            yield line.getvalue()[:-2]
            line.seek(0)
            line.truncate()

    return _write_all(stream, lines()) - 1


def _write_parquet(stream: BinaryIO, rows: Rows, columns: Sequence[str]) -> int:
    # Two passes, as the type of a column is settled by its last row: the first one spools.
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    kinds: list[set[str]] = [set() for _ in columns]

    def lines() -> Iterator[str]:
        for cells in _table(rows, columns):
            for seen, cell in zip(kinds, cells, strict=True):
                seen.add(_kind(cell))
            yield _json(cells)

    name = stream.name  # a number where the file has none
    with tempfile.TemporaryFile(dir=Path(name).parent if isinstance(name, str) else None) as spool:
        count = _write_all(spool, lines())
        spool.seek(0)
        types = [_column_type(seen) for seen in kinds]
        schema = pa.schema(
            [(name, getattr(pa, kind)()) for name, kind in zip(_names(columns), types, strict=True)]
        )
        with ParquetWriter(stream, schema, compression="zstd") as writer:
            while batch := [json.loads(line) for line in islice(spool, _ROW_GROUP)]:
                arrays = [
                    pa.array([_converted(cell, kind) for cell in column], getattr(pa, kind)())
                    for column, kind in zip(zip(*batch, strict=True), types, strict=True)
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return count


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
    return _json(cell) if kind == "string" else cell


def _table(rows: Rows, columns: Sequence[str]) -> Iterator[list[Cell]]:
    for row in rows:
        cells = [json_safe(row.get(column)) for column in columns]
        yield [_json(cell) if isinstance(cell, (dict, list)) else cell for cell in cells]


def _names(columns: Sequence[str]) -> list[str]:
    return [PAYLOAD_COLUMN if column == PAYLOAD else column for column in columns]


def _write_all(stream: BinaryIO, lines: Iterable[str]) -> int:
    count = 0
    for line in lines:
        stream.write(f"{line}\n".encode())
        count += 1
    return count


ROW_WRITERS: dict[str, Callable[[BinaryIO, Rows, Sequence[str]], int]] = {
    ".jsonl": _write_json_lines,
    ".ndjson": _write_json_lines,
    ".csv": partial(_write_table, delimiter=","),
    ".tsv": partial(_write_table, delimiter="\t"),
    ".parquet": _write_parquet,
    ".ids": _write_ids,
    ".txt": _write_ids,
}
"""Suffix -> writer of the rows' ``columns`` to a stream, which returns how many rows it wrote."""
