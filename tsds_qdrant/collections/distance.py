"""Qdrant's scores and the distances of the transport problem, in one place.

Cosine and unit-length dot products s give the chord d = sqrt(2 - 2 s); Euclid and Manhattan
scores are distances already. Qdrant computes in float32, so a cosine distance below about
4e-4 is no different from zero.
"""

from __future__ import annotations

import math

import numpy as np

from tsds_qdrant.arrays import BoolArray, Float32Array, FloatArray
from tsds_qdrant.collections.lengths import UNIT_TOLERANCE
from tsds_qdrant.collections.values import Geometry, Metric
from tsds_qdrant.errors import InputError


def is_similarity(metric: Geometry) -> bool:
    """Whether larger scores are nearer."""
    return metric in ("Cosine", "Dot", "Product")


def score_to_distance(scores: FloatArray, metric: Geometry) -> FloatArray:
    """Distances of ``scores`` (n,): float64, cast to float32 first as REST and gRPC differ."""
    rounded = np.asarray(scores, dtype=np.float32).astype(np.float64)
    if not is_similarity(metric):
        return rounded
    chord: FloatArray = np.sqrt(2.0 - 2.0 * np.clip(rounded, -1.0, 1.0))
    return chord


def score_threshold(max_distance: float, metric: Metric) -> float:
    """The threshold that keeps every hit at ``max_distance`` or nearer.

    Qdrant's ``score_threshold`` is strict and float32: this one is loose by a few units in the
    last place, callers drop what lies beyond ``max_distance``.
    """
    if is_similarity(metric):
        score = np.float32(1.0 - max_distance * max_distance / 2.0)
        return float(score - np.float32(4e-7))
    score = np.float32(max_distance)
    return float(np.nextafter(score * np.float32(1 + 1e-6), np.float32(math.inf)))


def oversampling(ef: int | None, limit: int) -> float | None:
    """How many times ``limit`` is rescored by full vectors where they are quantised.

    All that a walk with ``ef`` keeps: it costs little beside the walk, and without it coarse
    quantisation loses neighbours that were found.
    """
    return None if ef is None else max(1.0, ef / limit)


def normalized(vectors: Float32Array, metric: Geometry) -> Float32Array:
    """``vectors`` (n, D) as Qdrant compares them: of unit length under Cosine.

    Where that has no meaning they stay as they are; see :func:`cosine_lengths`.
    """
    if metric != "Cosine":
        return vectors
    unit: Float32Array = (vectors / cosine_lengths(vectors.astype(np.float64))).astype(np.float32)
    return unit


def cosine_lengths(vectors: FloatArray) -> FloatArray:
    """(n, 1) what ``vectors`` (n, D) are divided by under Cosine.

    1 for those so short that Qdrant takes them for zero and leaves them as they are.
    """
    lengths: FloatArray = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[np.square(lengths) < np.finfo(np.float32).eps] = 1.0
    return lengths


def checked_vectors(
    vectors: Float32Array,
    dimension: int,
    metric: Metric,
    *,
    what: str = "vector",
    first: int = 0,
    unit: bool = True,
) -> Float32Array:
    """``vectors`` (n, D) as contiguous float32.

    Raises:
        InputError: another dimension, NaN, infinity, length zero under Cosine, or (if ``unit``,
            as distances need) another length than one under Dot; the message names the first
            row at fault, counted from ``first``.
    """
    array = np.asarray(vectors)
    if array.ndim != 2 or array.shape[1] != dimension:
        shape = " x ".join(map(str, array.shape))
        raise InputError(
            f"{what}s of shape {shape} do not fit a collection of dimension {dimension}; "
            f"use the model that made the collection's vectors"
        )
    array = np.ascontiguousarray(array, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", array, array)
    bad = ~np.isfinite(squares)
    if bad.any():
        row = int(np.argmax(bad))
        fault = (
            "numbers too large for float32" if np.isfinite(array[row]).all() else "NaN or infinity"
        )
        raise InputError(f"{what} {first + row} holds {fault}; remove or repair that row")
    if metric == "Cosine":
        short = squares < np.finfo(np.float32).eps
        if short.any():
            raise InputError(
                f"{what} {first + int(np.argmax(short))} has length zero, which has no cosine; "
                f"remove or repair that row"
            )
    if metric == "Dot" and unit:
        unequal = _not_of_unit_length(squares)
        if unequal.any():
            raise InputError(
                f"{what} {first + int(np.argmax(unequal))} is not of unit length, which the metric "
                f"Dot needs here; normalise the vectors, or use Cosine"
            )
    return array


def shortened(rows: Float32Array, length: float) -> Float32Array:
    """``rows`` (n, D), those of ``length`` divided by it; unit vectors stay as they are."""
    if length == 1.0:
        return rows
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(np.asarray(rows, dtype=np.float64), axis=1, keepdims=True)
    long = np.abs(norms / length - 1.0) <= 2 * UNIT_TOLERANCE
    return np.where(long, rows / np.float32(length), rows).astype(np.float32, copy=False)


def uneven_squares(squares: Float32Array, length: float = 1.0) -> BoolArray:
    """(n,) which squared lengths are neither that of ``length`` nor 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        even = squares / np.float32(length * length)
    uneven: BoolArray = _not_of_unit_length(even) & ~(squares < np.finfo(np.float32).eps)
    return uneven


def _not_of_unit_length(squares: Float32Array) -> BoolArray:
    unequal: BoolArray = ~(np.abs(squares - 1.0) <= 2 * UNIT_TOLERANCE)
    return unequal
