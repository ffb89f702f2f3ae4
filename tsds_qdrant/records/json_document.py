"""A JSON document: one object that holds records, or is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tsds_qdrant.errors import InputError
from tsds_qdrant.records.dialogue import is_message
from tsds_qdrant.records.fields import field_values, listed_names
from tsds_qdrant.records.json_window import Parsed, Window
from tsds_qdrant.records.shapes import SHAPES

WHOLE = "."
"""The document itself."""
_TEXTS = {name for parts in SHAPES.values() for names in parts.values() for name in names}
"""Names of fields that usual records have."""
_COLUMNS = "holds the columns of a table, not its records"
_BY_ROWS = "write them with df.to_json(.., orient='records', lines=True)"


@dataclass(frozen=True)
class Part:
    """A field of a document.

    Attributes:
        kind: ``list``, ``object``, ``text`` or ``other``.
        count: items of a list, fields of an object.
        first: the first item of a list.
        numbered: the fields of an object are called by whole numbers.
    """

    kind: str
    count: int = 1
    first: Any = None
    numbered: bool = False

    @property
    def turns(self) -> bool:
        """Whether it is a conversation, which belongs to one record."""
        return is_message(self.first)


@dataclass(frozen=True)
class Outline:
    """What an object holds.

    Attributes:
        parts: its fields.
        more: whether anything follows it.
        on_one_line: whether it ends on the line where it begins.
    """

    parts: dict[str, Part]
    more: bool
    on_one_line: bool

    def records_at(self, name: str) -> str:
        """The only field that holds a list of objects; ``WHOLE`` if the object is a record.

        Raises:
            InputError: there are several such fields, or it holds columns.
        """
        kinds = {key: part.kind for key, part in self.parts.items()}
        lists = {key: part for key, part in self.parts.items() if isinstance(part.first, Mapping)}
        if any(part.turns for part in lists.values()) or any(
            kinds.get(key) == "text" for key in _TEXTS
        ):
            return WHOLE
        if len(lists) > 1:
            longest = max(lists, key=lambda key: lists[key].count)
            raise InputError(
                f"'{name}' holds the lists {', '.join(lists)}; choose one, as in "
                f"--json-field {longest}"
            )
        if not lists and self._holds_columns():
            raise InputError(f"'{name}' {_COLUMNS}; {_BY_ROWS}")
        return next(iter(lists), WHOLE)

    def _holds_columns(self) -> bool:
        parts = list(self.parts.values())
        if {"columns", "data"} <= {*self.parts}:
            return all(part.kind == "list" for part in parts)
        if parts and all(part.kind == "object" for part in parts):
            return all(part.numbered for part in parts) or all(map(str.isdecimal, self.parts))
        counts = {part.count for part in parts}
        return all(part.kind == "list" for part in parts) and len(counts) == 1 and max(counts) > 1


def outlined(window: Window) -> Outline:
    """What the object at the beginning of ``window`` holds; nothing of it is kept.

    Raises:
        ValueError: no JSON, or a field is there twice; the message begins with the line.
    """
    window.peek()
    first_line = window.line
    parts: dict[str, Part] = {}
    try:
        for key in window.fields():
            if key in parts:
                raise ValueError(f"{window.line}: the key '{key}' is there twice")
            parts[key] = _passed(window)
    except RecursionError:
        raise ValueError(f"{window.line}: nested too deep") from None
    on_one_line = window.line == first_line
    return Outline(parts, bool(window.peek()), on_one_line)


def found_at(window: Window, path: str, name: str) -> Iterator[Parsed]:
    """The items of the list, or the object, at ``path`` in the document ``name``.

    Raises:
        ValueError: no JSON.
        InputError: there is nothing at ``path``.
    """
    if path == WHOLE:
        yield window.value()
    else:
        yield from _descended(window, path, f"'{name}'")


def _descended(window: Window, path: str, where: str) -> Iterator[Parsed]:
    opening = window.peek()
    if opening == "[":
        yield from _of_items(window, path, where)
        return
    if opening != "{":
        line, source, value = window.value()
        if path:
            raise InputError(f"{where} holds no object and so no '{path}'; choose another field")
        yield line, source, value
        return
    if not path:
        yield window.value()
        return
    keys: list[str] = []
    found = False
    for key in window.fields():
        keys.append(key)
        if not found and (path == key or path.startswith(f"{key}.")):
            found = True
            yield from _descended(window, path[len(key) + 1 :], f"'{key}' of {where}")
        else:
            _passed(window)
    if not found:
        raise InputError(
            f"{where} has no field '{path}' ({listed_names(keys)}); name one of them with "
            "--json-field"
        )


def _of_items(window: Window, path: str, where: str) -> Iterator[Parsed]:
    if not path:
        yield from window.items()
        return
    first, _, rest = path.partition(".")
    if first != "*" and not first.isdecimal():
        raise InputError(f"{where} is a list and has no field '{path}'; write '*.{path}' for all")
    for number, (line, source, item) in enumerate(window.items()):
        if first in ("*", str(number)):
            for value in field_values(item, rest) if rest else [item]:
                for one in value if isinstance(value, list) else [value]:
                    yield line, source, one


def _passed(window: Window) -> Part:
    """Read on behind the value that comes next."""
    opening = window.peek()
    if opening == "[":
        first, count = None, 0
        for _, _, item in window.items():
            first = item if not count else first
            count += 1
        return Part("list", count, first)
    if opening == "{":
        count, numbered = 0, True
        for key in window.fields():
            _passed(window)
            count += 1
            numbered = numbered and key.isdecimal()
        return Part("object", count, numbered=numbered and count > 0)
    _, _, value = window.value()
    return Part("text" if isinstance(value, str) else "other")
