"""Products of queries and points in float32, and which of them reach a bar: on the CPU's cores."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Protocol, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray

Item = TypeVar("Item")
Result = TypeVar("Result")

TILE_FLOATS = 2**20
"""Products that are looked through at once: they stay in the cache of a core."""
BLOCK_FLOATS = 2**22
SEARCHES = 1_024
"""Queries of one product."""
INLINE = 1_000_000
"""Products up to this many are looked through by one thread: a second one costs more to start."""


class Products(Protocol):
    """What computes products.

    Attributes:
        workers: how many calls may run side by side.
    """

    workers: int

    def block_rows(self, searches: int, dimension: int) -> int:
        """How many points one call should be about."""

    def highest(
        self, queries: Float32Array, block: Float32Array, penalty: FloatArray | None, rank: int
    ) -> FloatArray:
        """(B,) the ``rank`` highest of each query's (product - ``penalty``) over the points."""

    def reaching(
        self,
        queries: Float32Array,
        block: Float32Array,
        penalty: FloatArray | None,
        bars: FloatArray,
    ) -> tuple[IntArray, IntArray]:
        """Pairs (query, point) whose product less the point's ``penalty`` reaches the bar.

        Args:
            queries: (B, D).
            block: (n, D) points.
            penalty: (n,) of each point, or none.
            bars: (B,) of each query; minus infinity lets all through but NaN and infinity.
        """


class CpuProducts:
    """By BLAS, one thread for each of the workers."""

    def __init__(self) -> None:
        self.workers = blas_threads()

    def block_rows(self, searches: int, dimension: int) -> int:
        """As many as make a tile, and no block that is no longer in a cache when it is used."""
        rows = TILE_FLOATS // max(1, min(searches, SEARCHES))
        return int(np.clip(rows, 256, max(256, BLOCK_FLOATS // dimension)))

    def highest(
        self, queries: Float32Array, block: Float32Array, penalty: FloatArray | None, rank: int
    ) -> FloatArray:
        """See :class:`Products`."""
        values = _values(queries, block, penalty)
        values[~(np.abs(values) < np.inf)] = -np.inf
        place = values.shape[1] - rank
        return np.partition(values, place, axis=1)[:, place].astype(np.float64)

    def reaching(
        self,
        queries: Float32Array,
        block: Float32Array,
        penalty: FloatArray | None,
        bars: FloatArray,
    ) -> tuple[IntArray, IntArray]:
        """See :class:`Products`."""
        values = _values(queries, block, penalty)
        pairs = np.flatnonzero(values >= rounded_down(bars)[:, None])
        pairs = pairs[values.ravel()[pairs] < np.inf]
        return pairs // values.shape[1], pairs % values.shape[1]


def rounded_down(bars: FloatArray) -> Float32Array:
    """``bars`` (B,) in float32: none higher than it was, and none that minus infinity reaches."""
    below = np.nextafter(bars.astype(np.float32), np.float32(-np.inf))
    bounded: Float32Array = np.maximum(below, np.finfo(np.float32).min)
    return bounded


def _values(queries: Float32Array, block: Float32Array, penalty: FloatArray | None) -> Float32Array:
    with np.errstate(over="ignore", invalid="ignore"):
        values: Float32Array = queries @ block.T
        if penalty is not None:
            values -= penalty.astype(np.float32)
    return values


class Share:
    """Says how many of ``searches`` are done, where all of them go on together."""

    def __init__(self, searches: int, on_batch: Callable[[int], None] | None) -> None:
        self._searches = searches
        self._on_batch = on_batch
        self._said = 0

    def reach(self, share: float) -> None:
        """A ``share`` of the work is done."""
        self.count(int(share * self._searches) - self._said)

    def count(self, searches: int) -> None:
        """That many more are done."""
        if self._on_batch is not None and searches > 0:
            self._said += searches
            self._on_batch(searches)


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """``work`` of each of the ``items``, in their order, by ``workers`` threads of one core."""
    if workers == 1:
        yield from map(work, items)
        return
    with _controller().limit(limits=1, user_api="blas"):
        pool = ThreadPoolExecutor(workers)
        try:
            yield from pool.map(work, items)
        finally:
            pool.shutdown(cancel_futures=True)


def blas_threads() -> int:
    """How many threads BLAS may use: the cores, unless the environment says less."""
    libraries: list[Any] = _controller().select(user_api="blas").info()
    return max((library["num_threads"] for library in libraries), default=1)


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
