"""The plain pipeline: what the published reference implementation does, on faiss.

An IVF index over the pool with sqrt(N) / 2 lists of which 10 are looked into, the 5,000 nearest
candidates of every task example (at most a tenth of the pool), a second index of the same kind
over the union of all of them, the density of each from its 1,000 nearest in that union, then the
threshold by a heap (arXiv 2410.11303, section 5, and its repository). Sums are float64 here.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from bench.pools import Float32Array

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DEPTH, DENSITY_NEIGHBORS, POOL_PART, PROBES = 5_000, 1_000, 10, 10
DENSITY_BLOCK = 5_000
"""This many densities are computed at once: 60 MB of answers."""
SAMPLED_DENSITIES = 5_000
WHOLE_DENSITIES = 20_000
"""Up to this many densities, all of them are computed, whatever was asked."""


@dataclass(frozen=True)
class Filled:
    """The solution on given lists.

    Attributes:
        probabilities: (N,) p.
        threshold: s.
        touched: candidates whose weights mattered.
        dry: a list ended before the threshold, so p is not the optimum of the whole pool.
    """

    probabilities: FloatArray
    threshold: float
    touched: IntArray
    dry: bool


def fill_by_heap(
    lists: IntArray, distances: FloatArray, weights: FloatArray, budget: float
) -> Filled:
    """Raise the threshold from end to end of the rows until the slope meets ``budget``.

    Args:
        lists: (M, K) candidates, nearest first; -1 behind the end of a short row.
        distances: (M, K).
        weights: (N,) 1 / density.
        budget: (1 - alpha) M C / alpha.
    """
    lengths = np.count_nonzero(lists >= 0, axis=1)
    position = [0] * len(lists)
    heap = [(float(weights[lists[row, 0]]), row) for row in np.flatnonzero(lengths > 1).tolist()]
    heapq.heapify(heap)
    slope = threshold = 0.0
    ended = np.flatnonzero(lengths <= 1).tolist()
    while heap and slope < budget:
        threshold, row = heap[0]
        at = position[row]
        slope += float(distances[row, at + 1] - distances[row, at]) * threshold
        if slope >= budget:
            break
        if at + 2 < lengths[row]:
            position[row] = at + 1
            heapq.heapreplace(heap, (threshold + float(weights[lists[row, at + 1]]), row))
        else:
            ended.append(heapq.heappop(heap)[1])
    probabilities = np.zeros(len(weights))
    for row, length in enumerate(lengths.tolist()):
        listed = lists[row, :length]
        room = weights[listed]
        masses = np.clip(threshold - (np.cumsum(room) - room), 0.0, room) / threshold
        masses[-1] += max(0.0, 1.0 - masses.sum())
        probabilities[listed] += masses / len(lists)
    used = [lists[row, : at + 2] for row, at in enumerate(position)]
    touched = np.unique(np.concatenate(used))
    short = any(weights[lists[row, : lengths[row]]].sum() <= threshold for row in ended)
    return Filled(probabilities, threshold, touched[touched >= 0], short or slope < budget)


@dataclass(frozen=True)
class PlainSelection:
    """What the plain pipeline found, and what that took.

    Attributes:
        probabilities: (N,) p.
        union: (U,) the candidates prefetched.
        neighbors: neighbours fetched for all task examples.
        seconds: time, scaled up where only a part of the densities was timed.
        share: of the densities that were timed; 1 if all were.
    """

    probabilities: FloatArray
    union: IntArray
    neighbors: int
    seconds: float
    share: float


def ivf_over(vectors: Float32Array, probes: int = PROBES) -> Any:
    """An IVF index of ``vectors`` (n, D) as the reference implementation makes it."""
    import faiss

    lists = max(1, int(np.sqrt(len(vectors))) // 2)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(vectors.shape[1]), vectors.shape[1], lists)
    index.train(vectors)
    index.add(vectors)
    index.nprobe = probes
    return index


def flat_over(vectors: Float32Array, probes: int = PROBES) -> Any:
    """A flat index of ``vectors`` (n, D), which compares with all; ``probes`` mean nothing."""
    import faiss

    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors)
    return index


@dataclass(frozen=True)
class PlainPipeline:
    """The pipeline over one pool.

    Attributes:
        vectors: (N, D) unit vectors.
        index: see :func:`ivf_over`.
        depth: neighbours of a task example; by default as published.
        neighbors: neighbours for a density; by default as published.
        sampled: time this many densities and scale up.
        whole: unless there are at most this many.
        probes: lists looked into by the second index.
        made: makes the second index; IVF by default.
    """

    vectors: Float32Array
    index: Any
    depth: int = 0
    neighbors: int = 0
    sampled: int = SAMPLED_DENSITIES
    whole: int = WHOLE_DENSITIES
    probes: int = PROBES
    made: Callable[[Float32Array, int], Any] = ivf_over

    def prefetch(self, queries: Float32Array) -> tuple[IntArray, FloatArray]:
        """(M, K) candidates and distances."""
        depth = self.depth or min(DEPTH, len(self.vectors) // POOL_PART)
        squared, lists = self.index.search(queries, depth)
        return lists, np.sqrt(squared.astype(np.float64))

    def second(self, union: IntArray) -> DensityIndex:
        """The index over the union."""
        neighbors = self.neighbors or min(DENSITY_NEIGHBORS, len(self.vectors) // POOL_PART)
        features = self.vectors[union]
        return DensityIndex(features, self.made(features, self.probes), min(neighbors, len(union)))

    def select(
        self,
        queries: Float32Array,
        *,
        alpha: float,
        cost_scale: float,
        bandwidth: float,
        complete: bool = False,
        seed: int = 0,
    ) -> PlainSelection:
        """Probabilities of all candidates.

        Unless ``complete``, many densities are not all computed: those that the solution depends
        on are, off the clock, and a seeded sample of all is timed. p is the same.
        """
        started = time.perf_counter()
        lists, distances = self.prefetch(queries)
        union = np.unique(lists[lists >= 0])
        index = self.second(union)
        densities = np.full(len(self.vectors), np.nan)
        searched = time.perf_counter()
        rows = np.arange(len(union))
        if not complete and len(union) > self.whole:
            rows = np.sort(np.random.default_rng(seed).permutation(len(union))[: self.sampled])
        densities[union[rows]] = index.densities(rows, bandwidth)
        measured = time.perf_counter()
        budget = (1 - alpha) / alpha * len(queries) * cost_scale
        while True:
            last = time.perf_counter()
            # Weight 1 is the most there can be, so nothing is touched that would not be.
            weights = np.where(np.isnan(densities), 1.0, 1.0 / densities)
            filled = fill_by_heap(lists, distances, weights, budget)
            missing = filled.touched[np.isnan(densities[filled.touched])]
            if not len(missing):
                break
            densities[missing] = index.densities(np.searchsorted(union, missing), bandwidth)
        share = len(rows) / len(union)
        seconds = searched - started + (measured - searched) / share + time.perf_counter() - last
        neighbors = int(np.count_nonzero(lists >= 0))
        return PlainSelection(filled.probabilities, union, neighbors, seconds, share)


@dataclass(frozen=True)
class DensityIndex:
    """The index over the union: its vectors (U, D), and how many neighbours a density takes."""

    features: Float32Array
    index: Any
    neighbors: int

    def densities(self, rows: IntArray, bandwidth: float) -> FloatArray:
        """(r,) densities of the candidates ``rows`` of the union."""
        found = np.empty(len(rows))
        for start in range(0, len(rows), DENSITY_BLOCK):
            block = slice(start, start + DENSITY_BLOCK)
            squared, _ = self.index.search(self.features[rows[block]], self.neighbors)
            kernel = np.maximum(0.0, 1.0 - squared.astype(np.float64) / bandwidth**2)
            found[block] = np.maximum(1.0, kernel.sum(axis=1))
        return found
