"""Records of a JSON file of any form: lines, an array, a document that holds a list."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import BinaryIO, Literal, TextIO

from tsds_qdrant.errors import BadRecordError, InputError, SettingsError
from tsds_qdrant.files.json_values import Decoder
from tsds_qdrant.records.entries import Entry, Findings, Place
from tsds_qdrant.records.json_document import WHOLE, found_at, outlined
from tsds_qdrant.records.json_lines import entry_of, json_lines
from tsds_qdrant.records.json_window import Parsed, Window

Opened = Callable[[], AbstractContextManager[BinaryIO]]
Shape = Literal["array", "object", "lines"]
_BEGINNING = 4096
_MARK = b"\xef\xbb\xbf"
_RECORDS = re.compile(rb"\[\s*[{\]]")
_SPREAD = re.compile(rb"\{[^\n]*[\[{,:]\s*\n|\{\s*\n")
_NEXT_RECORD = re.compile(rb"\{[^\n]*[,:]\s*\n\s*\{")


def json_file(
    opened: Opened, name: str, field: str | None, findings: Findings, *, lines: bool
) -> Iterator[Entry]:
    """Read the records of a JSON file.

    These are the items of an array; or the objects on its lines; or, where the file is one
    document, the items of the list that it holds (``field`` says which, if it holds several),
    else the document itself. Objects one behind the other, over several lines each, are records.

    Args:
        opened: opens the file, which is read twice if it is a document.
        name: of the file.
        field: where a document holds its records, see
            :attr:`~tsds_qdrant.records.form.FileForm.json_field`.
        findings: is given bad records.
        lines: the file is said to hold lines; it does unless its beginning shows otherwise.

    Raises:
        InputError: no JSON, or a document of which it is not clear what its records are.
        SettingsError: ``field``, and the file is no document.
    """
    with opened() as stream:
        shape = _shape(stream, lines=lines)
    if shape == "array" and field is None:
        yield from _entries(opened, name, findings, Window.array)
    elif shape == "array":
        raise SettingsError(_no_document(name, "an array"))
    elif shape == "lines" and lines:
        if field is not None:
            raise SettingsError(_no_document(name, "JSON lines"))
        with opened() as stream:
            yield from json_lines(stream, name, findings)
    else:
        doubtful = sys.maxsize if lines else int(shape == "lines")
        yield from _document(opened, name, field, findings, doubtful=doubtful)


def json_stream(stream: BinaryIO, name: str, findings: Findings) -> Iterator[Entry]:
    """Read the records of a stream that is read once: lines, an array, or objects in a row.

    Raises:
        InputError: no JSON.
    """
    if not hasattr(stream, "peek"):
        stream = io.BufferedReader(stream)  # type: ignore[type-var]
    shape = _shape(stream, lines=True)
    if shape == "lines":
        yield from json_lines(stream, name, findings)
    else:
        parse = Window.array if shape == "array" else Window.values
        yield from _entries(lambda: nullcontext(stream), name, findings, parse)


def holds_lines(stream: BinaryIO) -> bool:
    """Whether a stream that is said to hold JSON lines does, by its beginning."""
    return _shape(stream, lines=True) == "lines"


def _shape(stream: BinaryIO, *, lines: bool) -> Shape:
    """What the beginning shows: an array, or an object that does not end on its line."""
    beginning: bytes = stream.peek(_BEGINNING)  # type: ignore[attr-defined]
    text = beginning[:_BEGINNING].removeprefix(_MARK).lstrip()
    if _RECORDS.match(text) or (text.startswith(b"[") and not lines):
        return "array"
    if _SPREAD.match(text) and not _NEXT_RECORD.match(text):
        return "object"
    return "lines"


def _document(
    opened: Opened, name: str, field: str | None, findings: Findings, *, doubtful: int
) -> Iterator[Entry]:
    """Records of what begins as an object; no JSON up to line ``doubtful`` may be broken lines."""
    try:
        with opened() as stream, _text(stream, name) as text:
            outline = outlined(Window(text.read, Decoder()))
    except ValueError as error:
        if int(str(error).partition(": ")[0]) > doubtful:
            raise _broken(name, error) from None
        outline = None
    if outline is not None and not outline.more:
        path = outline.records_at(name) if field is None else field
        note = f"records came from the list '{path}' of '{name}'"
        for entry in _entries(opened, name, findings, lambda it: found_at(it, path, name)):
            if field is None and path != WHOLE:
                findings.changes[note] += 1
            yield entry
    elif field is not None:
        raise SettingsError(_no_document(name, "several objects"))
    elif outline is None or outline.on_one_line:
        with opened() as stream:
            yield from json_lines(stream, name, findings)
    else:
        yield from _entries(opened, name, findings, Window.values)


def _entries(
    opened: Opened, name: str, findings: Findings, parse: Callable[[Window], Iterator[Parsed]]
) -> Iterator[Entry]:
    decoder = Decoder()
    try:
        with opened() as stream, _text(stream, name) as text:
            for line, source, value in parse(Window(text.read, decoder)):
                place = Place(name, line)
                try:
                    yield entry_of(value, place, source, decoder, findings)
                except BadRecordError as error:
                    findings.bad(error)
    except ValueError as error:
        raise _broken(name, error) from None


@contextmanager
def _text(stream: BinaryIO, name: str) -> Iterator[TextIO]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="\n")
    try:
        yield text
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise InputError(
            f"'{name}' is not UTF-8 text but holds byte 0x{byte:02x}; convert the file to UTF-8"
        ) from None
    finally:
        text.detach()


def _broken(name: str, error: ValueError) -> InputError:
    line, _, reason = str(error).partition(": ")
    return InputError(
        f"'{name}:{line}' is no JSON ({reason}); "
        "the file must be an array of objects, one object a line, or one document"
    )


def _no_document(name: str, found: str) -> str:
    return f"--json-field is for one JSON document, and '{name}' is {found}; leave it out"
