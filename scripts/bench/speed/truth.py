"""The truth: brute force in float64, in blocks, with the threshold by a heap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from bench.pools import Float32Array
from bench.speed.plain import FloatArray, IntArray, fill_by_heap

FIRST_DEPTH = 512
BLOCK_ENTRIES = 20_000_000
"""Entries of a block of distances: 160 MB."""
BLOCK_ROWS = 50_000
DENSITY_ROWS = 512


@dataclass(frozen=True)
class Truth:
    """The exact solution.

    Attributes:
        probabilities: (N,) p.
        needed: how many densities it depends on.
        depth: neighbours that were looked at for each task example.
    """

    probabilities: FloatArray
    needed: int
    depth: int


def brute_force(
    vectors: Float32Array,
    queries: Float32Array,
    *,
    alpha: float,
    cost_scale: float,
    bandwidth: float,
    depth: int = FIRST_DEPTH,
) -> Truth:
    """Solve for unit ``vectors`` (N, D) and ``queries`` (M, D).

    Lists are made twice as deep until the solution lies inside them.

    Raises:
        ValueError: alpha is so small that the rule of the threshold does not hold.
    """
    densities = np.full(len(vectors), np.nan)
    budget = (1 - alpha) / alpha * len(queries) * cost_scale
    depth = min(depth, len(vectors))
    while True:
        lists, distances = _nearest(vectors, queries, depth)
        while True:
            weights = np.where(np.isnan(densities), 1.0, 1.0 / densities)
            filled = fill_by_heap(lists, distances, weights, budget)
            missing = filled.touched[np.isnan(densities[filled.touched])]
            if not len(missing):
                break
            densities[missing] = _densities(vectors, missing, bandwidth)
        if not filled.dry or depth == len(vectors):
            break
        depth = min(2 * depth, len(vectors))
    # Z is at least the weight that is known; s <= Z / 2 makes the threshold the optimum.
    if filled.dry or 2 * filled.threshold > np.nansum(1.0 / densities):
        raise ValueError(f"alpha {alpha:g} is too small for {len(vectors)} candidates; raise it")
    return Truth(filled.probabilities, len(filled.touched), depth)


def _nearest(
    vectors: Float32Array, queries: Float32Array, depth: int
) -> tuple[IntArray, FloatArray]:
    """(M, depth) the nearest candidates of each query and their distances."""
    wanted = _unit(queries)
    size = max(1_000, min(BLOCK_ROWS, BLOCK_ENTRIES // len(queries)))
    best = np.empty((len(queries), 0))
    lists = np.empty((len(queries), 0), dtype=np.int64)
    for start in range(0, len(vectors), size):
        block = _unit(vectors[start : start + size])
        numbers = np.broadcast_to(np.arange(start, start + len(block)), (len(queries), len(block)))
        squared = np.concatenate([best, np.maximum(0.0, 2.0 - 2.0 * wanted @ block.T)], axis=1)
        numbers = np.concatenate([lists, numbers], axis=1)
        if squared.shape[1] > depth:
            kept = np.argpartition(squared, depth - 1, axis=1)[:, :depth]
            squared = np.take_along_axis(squared, kept, 1)
            numbers = np.take_along_axis(numbers, kept, 1)
        best, lists = squared, numbers
    order = np.argsort(best, axis=1, kind="stable")
    return np.take_along_axis(lists, order, 1), np.sqrt(np.take_along_axis(best, order, 1))


def _densities(vectors: Float32Array, candidates: IntArray, bandwidth: float) -> FloatArray:
    """(c,) densities of ``candidates``, over the whole pool."""
    wanted = _unit(vectors[candidates])
    densities = np.zeros(len(candidates))
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = _unit(vectors[start : start + BLOCK_ROWS])
        for first in range(0, len(candidates), DENSITY_ROWS):
            rows = slice(first, first + DENSITY_ROWS)
            squared = np.maximum(0.0, 2.0 - 2.0 * wanted[rows] @ block.T)
            own = np.flatnonzero(
                (candidates[rows] >= start) & (candidates[rows] < start + len(block))
            )
            squared[own, candidates[rows][own] - start] = 0.0
            row, column = np.nonzero(squared < bandwidth**2)
            kernel = 1.0 - squared[row, column] / bandwidth**2
            densities[rows] += np.bincount(row, weights=kernel, minlength=len(squared))
    return densities


def _unit(rows: Float32Array) -> FloatArray:
    wide = rows.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide
