"""Times of Arrow's columns in microseconds, the finest that Python's own times hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tsds_qdrant.files.json_values import CUT, Changes

_PER_MICROSECOND = 1000


def cut_to_microseconds(batch: Any, changes: Changes) -> Any:
    """A RecordBatch or Table without nanoseconds, at any depth; times that lose some count."""
    columns = batch.columns
    for index, column in enumerate(columns):
        coarse = _coarse(column.type)
        if coarse != column.type:
            if lost := sum(map(_lost, _fine_times(column))):
                changes[CUT] += lost
            columns[index] = column.cast(coarse, safe=False)
    return type(batch).from_arrays(columns, batch.schema.names)


def _coarse(kind: Any) -> Any:
    """The type with microseconds for nanoseconds."""
    import pyarrow as pa

    is_ = pa.types
    if getattr(kind, "unit", "") == "ns":
        if is_.is_timestamp(kind):
            return pa.timestamp("us", tz=kind.tz)
        return pa.duration("us") if is_.is_duration(kind) else pa.time64("us")
    if is_.is_dictionary(kind):
        coarse = _coarse(kind.value_type)
        return kind if coarse == kind.value_type else coarse
    if is_.is_struct(kind):
        fields = [kind.field(position) for position in range(kind.num_fields)]
        return pa.struct([field.with_type(_coarse(field.type)) for field in fields])
    if is_.is_map(kind):
        return pa.map_(_coarse(kind.key_type), _coarse(kind.item_type))
    if is_.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_coarse(kind.value_type)), kind.list_size)
    for is_list, made in ((is_.is_list, pa.list_), (is_.is_large_list, pa.large_list)):
        if is_list(kind):
            return made(kind.value_field.with_type(_coarse(kind.value_type)))
    return kind


def _fine_times(column: Any) -> Iterator[Any]:
    """The arrays of nanoseconds in a column."""
    import pyarrow as pa

    is_ = pa.types
    if isinstance(column, pa.ChunkedArray):
        for chunk in column.chunks:
            yield from _fine_times(chunk)
    elif getattr(column.type, "unit", "") == "ns":
        yield column
    elif is_.is_dictionary(column.type):
        yield from _fine_times(column.dictionary_decode())
    elif is_.is_struct(column.type):
        for inner in column.flatten():
            yield from _fine_times(inner)
    elif is_.is_map(column.type):
        yield from _fine_times(column.keys)
        yield from _fine_times(column.items)
    elif column.type.num_fields:
        yield from _fine_times(column.flatten())


def _lost(times: Any) -> int:
    counts = np.asarray(times.drop_null().cast("int64"))
    return int(np.count_nonzero(counts % _PER_MICROSECOND))
