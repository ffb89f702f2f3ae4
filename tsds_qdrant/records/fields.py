"""Fields of a record by dotted name, and what an error says about them."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

from tsds_qdrant.errors import BadRecordError
from tsds_qdrant.records.dialogue import parsed
from tsds_qdrant.records.entries import Place
from tsds_qdrant.records.headers import table_advice

_MOST_LISTED = 20
_MOST_COMPARED = 200
_MOST_SHOWN = 40


def field_values(record: Any, path: str) -> list[Any]:
    """Find the values at ``path``: one, none where there is no such field, or many with ``*``.

    A key that equals ``path`` comes first; else dots separate the keys of nested records and
    the positions in lists, and ``*`` stands for every position. Dots reach into JSON text too, and
    a text where ``*.text`` asks for the parts of a content is its one part.
    """
    if isinstance(record, str):
        inside = parsed(record)
        if inside is None:
            return [record] if path == "*.text" else []
        return field_values(inside, path)
    if isinstance(record, Mapping):
        if path in record:
            return [record[path]]
        first, dot, rest = path.partition(".")
        return field_values(record[first], rest) if dot and first in record else []
    if not isinstance(record, (list, tuple)):
        return []
    first, dot, rest = path.partition(".")
    if first == "*":
        items = list(record)
    elif first.isdecimal() and int(first) < len(record):
        items = [record[int(first)]]
    else:
        return []
    return [value for item in items for value in field_values(item, rest)] if dot else items


def name_of(record: Mapping[str, Any], path: str) -> str:
    """The field of ``record`` itself that holds what is at ``path``."""
    return path if path in record else path.partition(".")[0]


def spelt(record: Any, path: str, place: object = None) -> str:
    """``path`` as ``record`` spells it: where it has no such key, the one that differs in case.

    Raises:
        BadRecordError: several do; ``place`` is where the record stands.
    """
    if isinstance(record, str):
        return spelt(parsed(record), path, place)
    first, dot, rest = path.partition(".")
    if isinstance(record, (list, tuple)):
        at = 0 if first == "*" else int(first) if first.isdecimal() else len(record)
        inside = record[at] if dot and at < len(record) else None
        return path if inside is None else f"{first}.{spelt(inside, rest, place)}"
    if not isinstance(record, Mapping) or path in record:
        return path
    if not (dot and first in record):
        if whole := _alike(record, path, place):
            return whole
        first = dot and _alike(record, first, place)
    return f"{first}.{spelt(record[first], rest, place)}" if first else path


def record_values(record: Any, path: str, place: object = None) -> list[Any]:
    """:func:`field_values` at ``path`` as the record of a file spells it.

    Raises:
        BadRecordError: see :func:`spelt`.
    """
    return field_values(record, spelt(record, path, place))


def number_at(record: Any, path: str) -> float:
    """The one finite number at ``path``; NaN where there is none, or several."""
    values = field_values(record, path)
    value = values[0] if len(values) == 1 else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    return float(value) if math.isfinite(value) else math.nan


def missing_field(record: Mapping[str, Any], path: str, place: Place | None) -> BadRecordError:
    """Say which fields there are, and which of them was probably meant."""
    fault = f"has no field '{path}' ({listed_fields(record)})"
    return BadRecordError(
        place, fault, table_advice(record, place) or _probably_meant(record, path)
    )


def likely_field(path: str, names: Collection[str]) -> str | None:
    """Which of ``names`` was probably meant by ``path``; None if none is like it."""
    meant = [name for name in names if name.casefold() == path.casefold()]
    return next(iter(meant or difflib.get_close_matches(path, names, n=1)), None)


def _alike(record: Mapping[str, Any], name: str, place: object) -> str:
    """The key of ``record`` that differs from ``name`` in case alone; "" if there is none.

    Raises:
        BadRecordError: there are several.
    """
    found = [key for key in record if str(key).casefold() == name.casefold()]
    if len(found) > 1:
        listed = " and ".join(f"'{key}'" for key in found)
        raise BadRecordError(
            place, f"has no field '{name}' but {listed}", "name one of them as it is written"
        )
    return found[0] if found else ""


def _probably_meant(record: Mapping[str, Any], path: str) -> str:
    close = likely_field(path, list(islice(_paths(record), _MOST_COMPARED)))
    return f"did you mean '{close}'?" if close else "name one of them"


def listed_fields(record: Mapping[str, Any]) -> str:
    """List the names of the fields, the first twenty of them."""
    return listed_names(record)


def listed_names(names: Collection[Any]) -> str:
    """List ``names`` of fields, the first twenty of them, and of each the beginning."""
    if not names:
        return "it has no fields"
    listed = ", ".join(_cut(str(name)) for name in islice(names, _MOST_LISTED))
    more = len(names) - _MOST_LISTED
    return f"its fields: {listed}" + (f" and {more} more" if more > 0 else "")


def label(value: Any) -> str:
    """A payload value as text: strings as they are, everything else as JSON, its keys sorted."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def shown(value: Any) -> str:
    """Show the beginning of a value."""
    return _cut(json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}.."


def _paths(value: Any) -> Iterator[str]:
    pairs: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, Mapping):
        pairs = iter(value.items())
    elif isinstance(value, (list, tuple)):
        pairs = enumerate(value[:1])
    for key, item in pairs:
        yield str(key)
        yield from (f"{key}.{path}" for path in _paths(item))
