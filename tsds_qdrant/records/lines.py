"""Lines of UTF-8 text, or what a file holds instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from tsds_qdrant.errors import BadRecordError, InputError
from tsds_qdrant.records.entries import Place

MAX_LINE = 1 << 28
_LOOKS_LIKE = {
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x1f\x8b": "gzip (name it .gz)",
    b"\x28\xb5\x2f\xfd": "Zstandard (name it .zst)",
    b"PAR1": "Parquet (name it .parquet)",
    b"ARROW1": "Arrow (name it .arrow)",
    b"PK\x03\x04": "a zip archive (unzip it)",
    b"BZh": "bzip2 (unpack it with bzip2 -d)",
    b"\xfd7zXZ": "xz (unpack it with xz -d)",
    b"\x04\x22\x4d\x18": "lz4 (unpack it with lz4 -d)",
}


def raw_lines(stream: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line.

    Raises:
        InputError: a line without end.
    """
    number = 0
    while line := stream.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            limit = f"{MAX_LINE >> 20} MiB"
            raise InputError(f"'{name}:{number}' is longer than {limit}; put a record on a line")
        yield number, line


def decoded(line: bytes, place: Place) -> str:
    """The text of a line, without the mark at the beginning of a file.

    Raises:
        BadRecordError: it is not UTF-8.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"holds byte 0x{line[error.start]:02x}"
        if place.line == 1:
            found = looks_like(line) or found
        raise BadRecordError(
            place, f"is not UTF-8 text but {found}", "convert the file to UTF-8"
        ) from None
    return text.removeprefix("\ufeff") if place.line == 1 else text


def looks_like(beginning: bytes) -> str | None:
    """What a file is that begins so, if that is no text."""
    return next((what for magic, what in _LOOKS_LIKE.items() if beginning.startswith(magic)), None)
