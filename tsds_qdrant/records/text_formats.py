"""Records in a stream of UTF-8 text: JSON lines, a JSON array, a table (CSV or TSV)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from tsds_qdrant.errors import InputError
from tsds_qdrant.files.json_values import parse_json
from tsds_qdrant.records.json_array import iterate_array

_MAX_LINE = 1 << 28
_LOOKS_LIKE = {
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x1f\x8b": "gzip (name it .gz)",
    b"\x28\xb5": "Zstandard (name it .zst)",
}


def json_lines(stream: BinaryIO, name: str) -> Iterator[dict[str, Any]]:
    """Read one JSON object a line; blank lines are skipped.

    Raises:
        InputError: a line that is no UTF-8, no JSON or no object; all name file and line.
    """
    for number, line in enumerate(_lines(stream, name), 1):
        if line.isspace():
            continue
        try:
            value = parse_json(line)
        except ValueError as error:
            reason = str(error)
            if isinstance(error, json.JSONDecodeError):
                reason = f"{error.msg} at column {error.colno}"
            raise InputError(
                f"'{name}:{number}' is no JSON ({reason}); every line must be one JSON object"
            ) from None
        yield _record(value, f"{name}:{number}")


def json_array_or_lines(stream: BinaryIO, name: str) -> Iterator[dict[str, Any]]:
    """Read the objects of one JSON array, or JSON lines where the text does not begin with [.

    Raises:
        InputError: as :func:`json_lines`.
    """
    beginning: bytes = stream.peek(64)  # type: ignore[attr-defined]
    if not beginning.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        yield from json_lines(stream, name)
        return
    try:
        with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="\n") as text:
            for line, value in iterate_array(text.read):
                yield _record(value, f"{name}:{line}")
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


def table_rows(stream: BinaryIO, name: str, delimiter: str) -> Iterator[dict[str, str]]:
    """Read the rows under a header row; all values are strings, blank lines are skipped.

    Raises:
        InputError: a row of another length than the header, a broken quote, a repeated column.
    """
    # Subtle: this limit belongs to the csv module as a whole; texts often pass its 128 KiB.
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_LINE))
    reader = csv.reader(_lines(stream, name), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            if not row:
                continue
            if header is None:
                header = _header(row, name)
            elif len(row) == len(header):
                yield dict(zip(header, row, strict=True))
            else:
                raise InputError(
                    f"'{name}:{reader.line_num}' has {len(row)} fields where the header has "
                    f"{len(header)}; quote fields that hold the delimiter"
                )
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
    number = 0
    while line := stream.readline(_MAX_LINE):
        number += 1
        if len(line) == _MAX_LINE:
            limit = f"{_MAX_LINE >> 20} MiB"
            raise InputError(f"'{name}:{number}' is longer than {limit}; put a record on a line")
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            found = _LOOKS_LIKE.get(line[:2]) or f"holds byte 0x{line[error.start]:02x}"
            raise InputError(
                f"'{name}:{number}' is not UTF-8 text but {found}; convert the file to UTF-8"
            ) from None
        yield text.removeprefix("\ufeff") if number == 1 else text


def _record(value: Any, place: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise InputError(
        f"'{place}' holds {json.dumps(value)[:40]}, which is no JSON object; "
        'every record must be one, such as {"text": ".."}'
    )
