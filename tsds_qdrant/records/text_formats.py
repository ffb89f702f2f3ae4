"""Records in a stream of UTF-8 text: JSON lines, a JSON array, a table (CSV or TSV)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from tsds_qdrant.errors import BadRecordError, InputError
from tsds_qdrant.files.json_values import Decoder, may_hold_half
from tsds_qdrant.records.entries import Entry, Findings, Place
from tsds_qdrant.records.json_array import iterate_array

_MAX_LINE = 1 << 28
_LOOKS_LIKE = {
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x1f\x8b": "gzip (name it .gz)",
    b"\x28\xb5": "Zstandard (name it .zst)",
}


def json_lines(stream: BinaryIO, name: str, findings: Findings) -> Iterator[Entry]:
    """Read one JSON object a line; blank lines are skipped.

    A line that is no UTF-8, no JSON or no object is a bad record.

    Raises:
        InputError: a line without end.
    """
    decoder = Decoder()
    for number, line in _raw_lines(stream, name):
        place = Place(name, number)
        try:
            text = _decoded(line, place)
            if text.strip():
                yield _entry(_parsed(text, place, decoder), place, text, decoder, findings)
        except BadRecordError as error:
            findings.bad(error)


def json_array_or_lines(stream: BinaryIO, name: str, findings: Findings) -> Iterator[Entry]:
    """Read the objects of one JSON array, or JSON lines where the text does not begin with [.

    Raises:
        InputError: no JSON, behind which no record can be found.
    """
    beginning: bytes = stream.peek(64)  # type: ignore[attr-defined]
    if not beginning.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        yield from json_lines(stream, name, findings)
        return
    decoder = Decoder()
    try:
        with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="\n") as text:
            for line, source, value in iterate_array(text.read, decoder):
                place = Place(name, line)
                try:
                    yield _entry(value, place, source, decoder, findings)
                except BadRecordError as error:
                    findings.bad(error)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise InputError(
            f"'{name}' is not UTF-8 text but holds byte 0x{byte:02x}; convert the file to UTF-8"
        ) from None
    except ValueError as error:
        line_number, _, reason = str(error).partition(": ")
        raise InputError(
            f"'{name}:{line_number}' is no JSON ({reason}); "
            "the file must be an array of objects, or one object a line"
        ) from None


def table_rows(stream: BinaryIO, name: str, delimiter: str, findings: Findings) -> Iterator[Entry]:
    """Read the rows under a header row; all values are strings, blank lines are skipped.

    A row of another length than the header is a bad record.

    Raises:
        InputError: a broken quote, a repeated column.
    """
    # Subtle: this limit belongs to the csv module as a whole; texts often pass its 128 KiB.
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_LINE))
    reader = csv.reader(_lines(stream, name), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            if not row:
                continue
            place = Place(name, reader.line_num)
            if header is None:
                header = _header(row, name)
            elif len(row) == len(header):
                yield Entry(dict(zip(header, row, strict=True)), place)
            else:
                fault = f"has {len(row)} fields where the header has {len(header)}"
                findings.bad(BadRecordError(place, fault, "quote fields that hold the delimiter"))
    except csv.Error as error:
        raise InputError(
            f"'{name}:{reader.line_num}' is no CSV ({error}); double the quotes inside a field"
        ) from None


def _header(row: list[str], name: str) -> list[str]:
    repeated = sorted({column for column in row if row.count(column) > 1})
    if repeated:
        raise InputError(f"'{name}' has the column '{repeated[0]}' twice; rename one of them")
    return row


def _lines(stream: BinaryIO, name: str) -> Iterator[str]:
    for number, line in _raw_lines(stream, name):
        yield _decoded(line, Place(name, number))


def _raw_lines(stream: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(_MAX_LINE):
        number += 1
        if len(line) == _MAX_LINE:
            limit = f"{_MAX_LINE >> 20} MiB"
            raise InputError(f"'{name}:{number}' is longer than {limit}; put a record on a line")
        yield number, line


def _decoded(line: bytes, place: Place) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        found = _LOOKS_LIKE.get(line[:2]) or f"holds byte 0x{line[error.start]:02x}"
        raise BadRecordError(
            place, f"is not UTF-8 text but {found}", "convert the file to UTF-8"
        ) from None
    return text.removeprefix("\ufeff") if place.line == 1 else text


def _parsed(text: str, place: Place, decoder: Decoder) -> Any:
    try:
        return decoder.decode(text)
    except RecursionError:
        reason = "nested too deep"
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at column {error.colno}"
    except ValueError as error:
        reason = str(error)
    raise BadRecordError(place, f"is no JSON ({reason})", "every line must be one JSON object")


def _entry(value: Any, place: Place, source: str, decoder: Decoder, findings: Findings) -> Entry:
    """The record that ``decoder`` made of ``source``, if it is one.

    Raises:
        BadRecordError: no object, or something in it that is no text or no number.
    """
    if not isinstance(value, dict):
        raise BadRecordError(
            place,
            f"holds {json.dumps(value)[:40]}, which is no JSON object",
            'every record must be one, such as {"text": ".."}',
        )
    if decoder.beyond:
        number = decoder.beyond[0]
        shown = number if len(number) <= 40 else f"{number[:40]}.."
        raise BadRecordError(
            place, f"holds the number {shown}, which is beyond 64-bit floats", "write it as a text"
        )
    if may_hold_half(source):
        _check_whole(value, place)
    findings.changes.update(decoder.changes)
    return Entry(value, place)


def _check_whole(value: Any, place: Place) -> None:
    """Check that no text in ``value`` holds half of a surrogate pair."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        before = error.object[max(0, error.start - 20) : error.start].rsplit('"', 1)[-1]
        raise BadRecordError(
            place,
            f"holds half of a surrogate pair (\\u{ord(half):04x} behind '{before}'), which is no "
            "character",
            "repair the text",
        ) from None
    except RecursionError:
        raise BadRecordError(place, "is nested too deep", "flatten it") from None
