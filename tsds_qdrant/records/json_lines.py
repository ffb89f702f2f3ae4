"""Records in JSON lines, and JSON values as records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from tsds_qdrant.errors import BadRecordError
from tsds_qdrant.files.json_values import Decoder, may_hold_half
from tsds_qdrant.records.entries import Entry, Findings, Place
from tsds_qdrant.records.lines import decoded, raw_lines


def json_lines(stream: BinaryIO, name: str, findings: Findings) -> Iterator[Entry]:
    """Read one JSON object a line; blank lines are skipped.

    A line that is no UTF-8, no JSON or no object is a bad record.

    Raises:
        InputError: a line without end.
    """
    decoder = Decoder()
    for number, line in raw_lines(stream, name):
        place = Place(name, number)
        try:
            text = decoded(line, place)
            if text.strip():
                yield entry_of(_parsed(text, place, decoder), place, text, decoder, findings)
        except BadRecordError as error:
            findings.bad(error)


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


def entry_of(value: Any, place: Place, source: str, decoder: Decoder, findings: Findings) -> Entry:
    """The record that ``decoder`` made of ``source``, if it is one.

    Raises:
        BadRecordError: no object, or something in it that is no text or no number, or is there
            twice.
    """
    if not isinstance(value, dict):
        raise BadRecordError(
            place,
            f"holds {json.dumps(value)[:40]}, which is no JSON object",
            'every record must be one, such as {"text": ".."}',
        )
    if decoder.repeated:
        raise BadRecordError(
            place, f"has the key '{decoder.repeated[0]}' twice", "rename one of them"
        )
    if decoder.beyond:
        number = decoder.beyond[0]
        shown = number if len(number) <= 40 else f"{number[:40]}.."
        raise BadRecordError(
            place, f"holds the number {shown}, which is beyond 64-bit floats", "write it as a text"
        )
    if may_hold_half(source):
        _check_whole(value, place)
    if decoder.changes:
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
