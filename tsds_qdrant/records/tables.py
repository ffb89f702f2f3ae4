"""Records of a table, CSV or TSV."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from tsds_qdrant.errors import BadRecordError, InputError
from tsds_qdrant.records.entries import Entry, Findings, Place
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.records.formats import TABLES
from tsds_qdrant.records.headers import looks_like_a_record
from tsds_qdrant.records.rows import TAB, Row, TsvRows, quoted_rows, text_lines


def table_rows(
    stream: BinaryIO, name: str, suffix: str, form: FileForm, findings: Findings
) -> Iterator[Entry]:
    """Read the rows of a table; all values are strings, blank lines are skipped.

    Fields may be in quotes, but not in a TSV (see :class:`~tsds_qdrant.records.rows.TsvRows`): a
    table between tabs that is not named ``.csv``. A row of another length than the first is a bad
    record, and so is one that is no UTF-8.

    Raises:
        InputError: a broken quote, a repeated column, a header that is no UTF-8.
    """
    lines = text_lines(stream, name)
    delimiter = form.delimiter or TABLES.get(suffix, ",")
    rows: Iterator[Row] = (
        iter(TsvRows(lines, name, named=not form.no_header))
        if delimiter == TAB and suffix != ".csv"
        else quoted_rows(lines, delimiter, name)
    )
    first = next(rows, None)
    if first is None:
        return
    if first.fault:
        raise first.fault
    header = _header(first.cells, name, form)
    rows = chain([first], rows) if form.no_header else rows
    row = None
    for row in rows:
        if fault := row.fault or _misfit(row, header, name):
            findings.bad(fault)
        else:
            yield Entry(dict(zip(header, row.cells, strict=True)), Place(name, row.line))
    if row is None and looks_like_a_record(header):
        raise InputError(
            f"'{name}' holds no records below its first row; give --no-header if that is one"
        )


def _misfit(row: Row, header: list[str], name: str) -> BadRecordError | None:
    if len(row.cells) == len(header):
        return None
    return BadRecordError(
        Place(name, row.line),
        f"has {len(row.cells)} fields where the header has {len(header)}",
        "quote fields that hold the delimiter",
    )


def _header(cells: list[str], name: str, form: FileForm) -> list[str]:
    if form.no_header:
        return [str(number) for number in range(len(cells))]
    repeated = sorted({one for one in cells if cells.count(one) > 1} - {*form.drop_columns})
    if repeated:
        also = ", or give --no-header if that row is a record" if looks_like_a_record(cells) else ""
        raise InputError(f"'{name}' has the column '{repeated[0]}' twice; rename one of them{also}")
    return cells
