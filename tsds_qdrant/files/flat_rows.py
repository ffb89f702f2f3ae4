"""Payloads as columns of a table, one for each field, and back again.

``{"payload": {"text": "a", "tags": ["b"]}}`` is ``payload.text`` and ``payload.tags.json``: lists
and objects are JSON text, in a column whose name says so. As that goes by the value and not by the
field, no text is ever taken for anything else: a field that holds both has both columns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tsds_qdrant.files.json_values import parse_json

PAYLOAD = "payload"
PAYLOAD_COLUMN = "payload_json"
"""The whole payload as JSON text, where its fields make no columns."""
MOST_COLUMNS = 1_000
_PREFIX = f"{PAYLOAD}."
_JSON = ".json"
_UNFIT_NAME = re.compile(r'[\x00-\x1f"\x7f]')
_UNFIT_TEXT = "\0"

Cell = bool | int | float | str | None

as_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def is_json_column(column: str) -> bool:
    """Whether a column of a table holds JSON text of a payload's lists and objects."""
    return column.startswith(_PREFIX) and column.endswith(_JSON)


def flat(payload: Mapping[str, Any] | None) -> Iterator[tuple[str, Cell]]:
    """The columns of a payload, as JSON has it, and what is in them.

    A field whose own name ends in ``.json``, and a text that a table cannot hold, are JSON text.
    """
    for name, value in (payload or {}).items():
        column = f"{_PREFIX}{name}"
        unfit = isinstance(value, str) and _UNFIT_TEXT in value
        if unfit or name.endswith(_JSON) or isinstance(value, (dict, list)):
            yield f"{column}{_JSON}", None if value is None else as_json(value)
        else:
            yield column, value


def fits(payload: Any) -> bool:
    """Whether the fields of a payload can be columns: their names are plain text."""
    if payload is None:
        return True
    return isinstance(payload, dict) and not any(map(_UNFIT_NAME.search, payload))


def nested(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a table that holds a selection, with the payload that :func:`flat` spread.

    Others are given back as they are. Fields that are null, or in a table of texts empty, are left
    out of the payload; where all are, it is None.
    """
    if "rank" not in row or "id" not in row or PAYLOAD in row:
        return row
    columns = [column for column in row if column.startswith(_PREFIX)]
    if not columns:
        return row
    blank = (None, "") if isinstance(row["rank"], str) else (None,)
    payload = dict(_field(column, row[column]) for column in columns if row[column] not in blank)
    made: dict[str, Any] = {}
    for column, value in row.items():
        if column.startswith(_PREFIX):
            made.setdefault(PAYLOAD, payload or None)
        else:
            made[column] = value
    return made


def _field(column: str, value: Any) -> tuple[str, Any]:
    name = column.removeprefix(_PREFIX)
    if not (name.endswith(_JSON) and isinstance(value, str)):
        return name, value
    try:
        return name.removesuffix(_JSON), parse_json(value)
    except ValueError:
        return name, value
