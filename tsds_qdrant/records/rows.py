"""Rows of a table as lists of fields: between quotes, or line by line."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tsds_qdrant.errors import BadRecordError, InputError
from tsds_qdrant.records.entries import Place
from tsds_qdrant.records.lines import MAX_LINE, decoded, raw_lines

TAB = "\t"
_LONGEST_FIELD = 1 << 24
"""Characters that a field in quotes of a TSV may have, over all its lines."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, and what is wrong with its bytes."""

    number: int
    text: str
    fault: BadRecordError | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Fields, the line where they begin, and what is wrong with the bytes of their lines."""

    line: int
    cells: list[str]
    fault: BadRecordError | None = None


def text_lines(stream: BinaryIO, name: str) -> Iterator[Line]:
    """The lines of ``stream``; bytes that are no UTF-8 are replaced, and the line has a fault.

    Raises:
        InputError: a line without end.
    """
    for number, line in raw_lines(stream, name):
        place = Place(name, number)
        try:
            yield Line(number, decoded(line, place))
        except BadRecordError as error:
            yield Line(number, line.decode("utf-8", "replace"), error)


def quoted_rows(lines: Iterable[Line], delimiter: str, name: str) -> Iterator[Row]:
    """Rows whose fields may be in quotes, and then hold delimiters and line breaks.

    Raises:
        InputError: a broken quote.
    """
    # Subtle: this limit belongs to the csv module as a whole; texts often pass its 128 KiB.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE))
    taken: list[Line] = []

    def texts() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line.text

    reader = csv.reader(texts(), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if cells:
                fault = next((line.fault for line in taken if line.fault), None)
                yield Row(taken[0].number, cells, fault)
            taken.clear()
    except csv.Error as error:
        number = taken[-1].number if taken else 1
        raise InputError(
            f"'{name}:{number}' is no CSV ({error}); double the quotes inside a field"
        ) from None


class TsvRows:
    """Rows between tabs: a line is a row, and quotes belong to the text.

    Yet programs write quotes around fields that hold quotes, tabs or line breaks. These are quotes:

    - around a field that is empty, or holds quotes, all of them doubled, or a carriage return;
    - in a line that has not as many fields as the first row, if by quotes it has, alone or with the
      lines behind it;
    - around the last field of a line, up to lines behind it of which none is a row by itself;
    - everywhere, if all fields of the first row are in quotes.
    """

    def __init__(self, lines: Iterable[Line], name: str, *, named: bool) -> None:
        """``named``: the first row holds names, so that one field in quotes is enough."""
        self._lines = iter(lines)
        self._name = name
        self._named = named
        self._waiting: deque[Line] = deque()
        self._width = 0

    def __iter__(self) -> Iterator[Row]:
        while line := self._next():
            text = line.text.removesuffix("\n").removesuffix("\r")
            if not text:
                continue
            cells = text.split(TAB)
            if not self._width:
                self._width = len(cells)
                if all(map(_in_quotes, cells)) and (self._named or len(cells) > 1):
                    self._waiting.append(line)
                    yield from quoted_rows(iter(self._next, None), TAB, self._name)
                    return
            fits = len(cells) == self._width
            row = None
            if '"' in text and (not fits or _is_open(cells[-1])):
                row = self._over_lines(line, alone=fits)
            yield row or Row(line.number, [*map(_unquoted, cells)], line.fault)

    def _next(self) -> Line | None:
        return self._waiting.popleft() if self._waiting else next(self._lines, None)

    def _over_lines(self, line: Line, *, alone: bool) -> Row | None:
        """The row that begins in ``line``, read by quotes, if it is one of the right width.

        ``alone``: the line is a row by itself, and goes on only over lines that are none.
        """
        taken: list[Line] = []

        def lines() -> Iterator[Line]:
            yield line
            size = len(line.text)
            while size < _LONGEST_FIELD and (more := self._next()):
                taken.append(more)
                size += len(more.text)
                if alone and more.text.count(TAB) + 1 == self._width:
                    return
                yield more

        try:
            row = next(quoted_rows(lines(), TAB, self._name), None)
        except InputError:
            row = None
        if row is not None and len(row.cells) == self._width:
            return row
        self._waiting.extendleft(reversed(taken))
        return None


def _in_quotes(cell: str) -> bool:
    inner = cell[1:-1]
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")


def _is_open(cell: str) -> bool:
    return cell.startswith('"') and '"' not in cell[1:].replace('""', "")


def _unquoted(cell: str) -> str:
    if not _in_quotes(cell):
        return cell
    inner = cell[1:-1]
    return inner.replace('""', '"') if not inner or '"' in inner or "\r" in inner else cell
