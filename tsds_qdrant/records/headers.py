"""Tables whose header is none, or is one column by a wrong delimiter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tsds_qdrant.files.compression import split_suffix
from tsds_qdrant.records.entries import Place
from tsds_qdrant.records.formats import TABLES

_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")
_SENTENCE = re.compile(r"\S+(\s+\S+){3,}|.{60,}|.*\s.*[.!?]", re.DOTALL)
_NAMES = {"\t": "tab"}


def looks_like_a_record(names: Iterable[str]) -> bool:
    """Whether these are no names of columns, but a number or a sentence is among them."""
    listed = list(names)
    counted = listed == [str(number) for number in range(len(listed))]
    return not counted and any(
        _NUMBER.fullmatch(name) or _SENTENCE.fullmatch(name.strip()) for name in listed
    )


def table_advice(record: Mapping[str, Any], place: Place | None) -> str | None:
    """What to do about a record without a text, if that is because of the header of its table."""
    if place is None or split_suffix(Path(place.file))[1].lower() not in TABLES:
        return None
    names = [str(name) for name in record]
    if len(names) == 1:
        for delimiter in ("\t", ";", "|", ","):
            if delimiter in names[0]:
                return f"give --delimiter '{_NAMES.get(delimiter, delimiter)}' if that separates"
    if looks_like_a_record(names):
        return (
            "if its first row is a record, give --no-header and, as columns then count from 0, "
            f"--text-field {_longest(names)}"
        )
    return None


def _longest(names: list[str]) -> int:
    return max(range(len(names)), key=lambda column: len(names[column]))
