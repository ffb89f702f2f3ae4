"""Vectors block by block: those that can be used, in blocks of one size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from tsds_qdrant.arrays import BoolArray, Float32Array, FloatArray
from tsds_qdrant.errors import InputError
from tsds_qdrant.representations.base import NONFINITE, OK, ZERO_VECTOR

BLOCK_FLOATS = 1 << 21
"""Numbers of a block, 16 MiB in float64: what is computed at once needs a few times as much."""


def block_rows(dimension: int) -> int:
    """Rows of that dimension in a block."""
    return max(1, BLOCK_FLOATS // max(1, dimension))


def statuses(rows: Float32Array) -> list[str]:
    """(n,) ``ok``, or why a row of ``rows`` (n, D) has no direction."""
    found = np.full(len(rows), OK, dtype=object)
    found[~np.any(rows, axis=1)] = ZERO_VECTOR
    found[~np.all(np.isfinite(rows), axis=1)] = NONFINITE
    words: list[str] = found.tolist()
    return words


def usable(rows: Float32Array) -> BoolArray:
    """(n,) whether a row of ``rows`` (n, D) has a direction."""
    found: BoolArray = np.logical_and(np.isfinite(rows).all(axis=1), np.any(rows, axis=1))
    return found


def regrouped(blocks: Iterator[Any]) -> Iterator[Float32Array]:
    """The usable rows of ``blocks``, in blocks of one size, so that sums over them are the same
    however they come.
    """
    waiting: list[Float32Array] = []
    held = 0
    for block in blocks:
        rows = block[usable(block)]
        size = block_rows(block.shape[1])
        waiting.append(rows)
        held += len(rows)
        if held >= size:
            joined = np.concatenate(waiting)
            whole = held - held % size
            for start in range(0, whole, size):
                yield joined[start : start + size]
            waiting, held = [joined[whole:]], held - whole
    if held:
        yield np.concatenate(waiting)


def numbers(column: FloatArray, status: Sequence[str]) -> list[float | None]:
    """(n,) payload values of a column; None without a vector, and where there is no such number."""
    pairs = zip(column.tolist(), status, strict=True)
    return [x if one == OK and math.isfinite(x) else None for x, one in pairs]


def unit(rows: FloatArray) -> FloatArray:
    """``rows`` (n, D) brought to unit length; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    divided: FloatArray = rows / np.where(lengths > 0, lengths, 1)
    return divided


def directions(rows: Float32Array) -> Float32Array:
    """``rows`` (n, D) brought to unit length in float32."""
    found: Float32Array = unit(rows.astype(np.float64)).astype(np.float32)
    return found


def by_blocks(
    rows: Float32Array, dimension: int, made: Callable[[FloatArray], Any], source: str
) -> Iterator[tuple[slice, Any]]:
    """What ``made`` returns of each block of ``rows`` (n, D) in float64, and where they stand.

    Raises:
        InputError: rows of another dimension.
    """
    if rows.shape[1] != dimension:
        raise InputError(
            f"vectors of dimension {rows.shape[1]} do not belong to {named(source)} of dimension "
            f"{dimension}; give vectors of that space"
        )
    size = block_rows(dimension)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        block = rows[part].astype(np.float64)
        block[~usable(rows[part])] = 0
        yield part, made(block)


def unfitted(name: str) -> NoReturn:
    """Raise that nothing was learnt yet."""
    raise InputError(
        f"'{name}' has not learnt anything of the candidates; represent the collection first"
    )


def named(source: str) -> str:
    """The space ``source`` in a sentence."""
    return f"the space '{source}'" if source else "the unnamed space"
