"""Vectors that records bring along: taken out of them, as numbers and not as Python's floats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import BadRecordError
from tsds_qdrant.records.entries import Entry, Findings, Place
from tsds_qdrant.records.fields import missing_field, shown, spelt

NO_VECTOR: Float32Array = np.empty(0, dtype=np.float32)
"""Of a record that has none: null, or an empty list."""
ADVICE = "give a list of numbers"


def with_vector(entry: Entry, path: str) -> Entry:
    """``entry`` with the vector at ``path``, which its record holds no longer.

    Raises:
        BadRecordError: there is no such field, or it is no list of numbers.
    """
    if entry.vector is not None:
        return entry
    value = _taken(entry.record, path, entry.place)
    return Entry(entry.record, entry.place, _numbers(value, path, entry.place))


def with_vectors(entries: Iterator[Entry], path: str, findings: Findings) -> Iterator[Entry]:
    """The ``entries`` :func:`with_vector`; those that have none are bad records."""
    for entry in entries:
        if found := _with_vector(entry, path, findings):
            yield found


def _with_vector(entry: Entry, path: str, findings: Findings) -> Entry | None:
    try:
        return with_vector(entry, path)
    except BadRecordError as error:
        findings.bad(error)
        return None


def checked_vector(
    entry: Entry, path: str, dimension: int | None, metric: Metric | None
) -> Float32Array:
    """The vector (D,) of ``entry``, fit to be stored beside others.

    Args:
        entry: that :func:`with_vector` gave.
        path: of its field.
        dimension: of the others; None where there are none.
        metric: of the collection.

    Raises:
        BadRecordError: it is not.
    """
    vector, place = entry.vector, entry.place
    assert vector is not None
    if not len(vector):
        fault, advice = f"has no numbers in '{path}', but null or an empty list", ADVICE
    elif dimension is not None and len(vector) != dimension:
        fault = f"has {len(vector)} numbers in '{path}' where {dimension} are needed"
        advice = "use the model that made the other vectors"
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            square = float(vector @ vector)
        if np.isfinite(square) and (metric != "Cosine" or square >= np.finfo(np.float32).eps):
            return vector
        fault, advice = f"has a vector of length zero in '{path}', which has no cosine", "repair it"
        if not np.isfinite(square):
            fault = f"has NaN, null, infinity or a number that float32 cannot hold in '{path}'"
    raise BadRecordError(place, fault, advice)


def split_batch(
    batch: Any, path: str, place: object = None
) -> tuple[Any, list[Float32Array] | None]:
    """An Arrow batch without the column of vectors at ``path``, and the vector of each row.

    None for the vectors, and the batch as it is, where that column holds no lists of numbers.

    Raises:
        BadRecordError: several columns are named like ``path`` but for case; ``place`` is that of
            the batch.
    """
    names = list(batch.schema.names)
    path = spelt(dict.fromkeys(names), path, place)
    first, _, rest = (path, "", "") if path in names else path.partition(".")
    if first not in names:
        return batch, None
    at = names.index(first)
    found, left = _without(batch.column(at), rest)
    vectors = None if found is None else _vectors(found)
    if vectors is None:
        return batch, None
    if left is None:
        return batch.select([k for k in range(len(names)) if k != at]), vectors
    return batch.set_column(at, first, left), vectors


def _without(column: Any, path: str) -> tuple[Any, Any]:
    """What is at ``path`` in an Arrow column, and the column without it; None for neither."""
    import pyarrow as pa

    if hasattr(column, "combine_chunks"):
        column = column.combine_chunks()
    if not path:
        return column, None
    if not pa.types.is_struct(column.type):
        return None, None
    names = [column.type.field(k).name for k in range(column.type.num_fields)]
    path = spelt(dict.fromkeys(names), path)
    first, _, rest = (path, "", "") if path in names else path.partition(".")
    if first not in names:
        return None, None
    children = dict(zip(names, column.flatten(), strict=True))
    found, left = _without(children.pop(first), rest)
    if left is not None:
        children[first] = left
    kept = [name for name in names if name in children]
    mask = column.is_null()
    made = pa.StructArray.from_arrays([children[name] for name in kept], names=kept, mask=mask)
    return found, made


def _vectors(column: Any) -> list[Float32Array] | None:
    """The rows of an Arrow array of lists of numbers; None if it is none."""
    import pyarrow as pa

    kinds = pa.types
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    fixed = kinds.is_fixed_size_list(column.type)
    if not (fixed or kinds.is_list(column.type) or kinds.is_large_list(column.type)):
        return None
    inner = column.type.value_type
    if not (kinds.is_floating(inner) or kinds.is_integer(inner)):
        return None
    if fixed:
        size = column.type.list_size
        values = column.values.slice(column.offset * size, len(column) * size)
        ends = np.arange(len(column) + 1) * size
    else:
        offsets = column.offsets.to_numpy()
        values = column.values.slice(offsets[0], offsets[-1] - offsets[0])
        ends = offsets - offsets[0]
    numbers = _as_float32(values.to_numpy(zero_copy_only=False))
    there = column.is_valid().to_numpy(zero_copy_only=False)
    pairs = zip(ends[:-1].tolist(), ends[1:].tolist(), there.tolist(), strict=True)
    return [numbers[start:stop] if valid else NO_VECTOR for start, stop, valid in pairs]


def _as_float32(numbers: npt.NDArray[Any]) -> Float32Array:
    """``numbers`` as float32; whole ones that it cannot hold exactly become NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = numbers.astype(np.float32)
        if numbers.dtype.kind in "iu":
            rounded[rounded.astype(np.float64) != numbers.astype(np.float64)] = np.nan
    return rounded


def _taken(record: dict[str, Any], path: str, place: Place) -> Any:
    """The value at ``path``, taken out of ``record``."""
    inside: Any = record
    rest = spelt(record, path, place)
    while isinstance(inside, dict):
        if rest in inside:
            return inside.pop(rest)
        first, dot, after = rest.partition(".")
        if not dot or first not in inside:
            break
        inside, rest = inside[first], after
    raise missing_field(record, path, place)


def _numbers(value: Any, path: str, place: Place) -> Float32Array:
    if value is None:
        return NO_VECTOR
    numbers = None
    if isinstance(value, list) and all(type(one) in (int, float) for one in value):
        try:
            numbers = np.array(value, dtype=np.float64)
        except OverflowError:
            numbers = np.array([np.inf])
    if numbers is None:
        raise BadRecordError(place, f"holds {shown(value)} in '{path}', no list of numbers", ADVICE)
    return _as_float32(numbers)
