"""Nested values as Parquet columns: an Arrow type for every regular column, JSON text for others.

A column is regular if its values, and at every depth the values inside them, have one type:
texts, true and false, numbers without loss, lists of one type, objects of named fields. An object
that lacks a field that others have gets null there. A column of several types, of objects with
nothing inside or with more than ``MOST_FIELDS`` fields, or nested deeper than ``DEEPEST``, holds
the JSON text of each value instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, BinaryIO

MOST_FIELDS = 256
DEEPEST = 16
ROW_GROUP = 8192
_EXACT = 2**53
_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class ValueKinds:
    """The kinds of the values seen at one place, and inside them."""

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._kinds: set[str] = set()
        self._items: ValueKinds | None = None
        self._fields: dict[str, ValueKinds] = {}

    def see(self, value: Any) -> None:
        """Take one more value of JSON into account."""
        kind = _kind(value)
        self._kinds.add(kind)
        if self._depth >= DEEPEST:
            return
        if kind == "list":
            self._items = self._items or ValueKinds(self._depth + 1)
            for item in value:
                self._items.see(item)
        elif kind == "object" and len(self._fields) <= MOST_FIELDS:
            for name, item in value.items():
                self._fields.setdefault(name, ValueKinds(self._depth + 1)).see(item)

    def arrow_type(self) -> Any:
        """The Arrow type of a regular column; None for any other."""
        import pyarrow as pa

        kinds = self._kinds - {"null"}
        if self._depth >= DEEPEST and kinds & {"list", "object"}:
            return None
        if kinds == {"list"}:
            assert self._items is not None
            items = self._items.arrow_type()
            return items and pa.list_(items)
        if kinds == {"object"}:
            types = {name: place.arrow_type() for name, place in self._fields.items()}
            if not 0 < len(types) <= MOST_FIELDS or None in types.values():
                return None
            return pa.struct(list(types.items()))
        if not kinds or kinds == {"string"}:
            return pa.string()
        for name, fitting in _NUMBERS.items():
            if kinds <= fitting:
                return getattr(pa, name)()
        return None


_NUMBERS = {
    "bool_": {"bool"},
    "int64": {"natural", "negative", "wide natural", "wide negative"},
    "uint64": {"natural", "wide natural", "uint64"},
    "float64": {"natural", "negative", "float"},
}
"""Arrow type -> kinds of numbers that it holds without loss."""


def _kind(value: Any) -> str:
    if value is None or isinstance(value, str):
        return "null" if value is None else "string"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, float):
        return "float"
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            return "huge"
        if value >= 2**63:
            return "uint64"
        sign = "negative" if value < 0 else "natural"
        return sign if abs(value) <= _EXACT else f"wide {sign}"
    return "list" if isinstance(value, list) else "object"


def irregular(columns: Mapping[str, ValueKinds]) -> list[str]:
    """Names of the columns that Parquet can hold as JSON text alone."""
    return [name for name, kinds in columns.items() if kinds.arrow_type() is None]


def write_parquet(
    stream: BinaryIO, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, ValueKinds]
) -> int:
    """Write ``rows`` with nested values as columns, and return how many.

    Args:
        stream: where to.
        rows: read once; a missing key is null.
        columns: name -> the kinds of all its values.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    as_text = set(irregular(columns))
    schema = pa.schema(
        [(name, kinds.arrow_type() or pa.string()) for name, kinds in columns.items()]
    )
    count = 0
    source = iter(rows)
    with ParquetWriter(stream, schema, compression="zstd") as writer:
        while batch := list(islice(source, ROW_GROUP)):
            count += len(batch)
            arrays = [
                pa.array([_cell(row.get(name), name in as_text) for row in batch], part.type)
                for name, part in zip(columns, schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return count


def _cell(value: Any, as_text: bool) -> Any:
    return _json(value) if as_text and value is not None else value
