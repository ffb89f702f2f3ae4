"""Select against a plain faiss pipeline and brute force: ratios of one run, as Markdown.

The plain pipeline does what the published reference implementation does: an IVF index with
sqrt(N) / 2 lists and nprobe 10, the 5,000 nearest candidates of every task example, the density
of all of them from their 1,000 nearest, then the threshold by a heap. Sums are float64. Timings
are medians of alternating runs with the index ready; the truth is brute force in float64.
"""

from __future__ import annotations

import argparse
import heapq
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from bench_pool import Float32Array, clustered_pool

from tsds_qdrant import SelectionSettings, create_collection, select

FloatArray = npt.NDArray[np.float64]
ALPHA, COST_SCALE, BANDWIDTH = 0.5, 1.0, 0.6
DEPTH, DENSITY_NEIGHBORS, NPROBE = 5_000, 1_000, 10


def plain_pipeline(
    index: faiss.Index, pool: Float32Array, queries: Float32Array
) -> tuple[FloatArray, int]:
    """Probabilities (N,) and the number of densities computed."""
    scores, lists = index.search(queries, min(DEPTH, len(pool)))
    distances = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * scores.astype(np.float64)))
    candidates = np.unique(lists[lists >= 0])
    near, _ = index.search(pool[candidates], DENSITY_NEIGHBORS)
    squared = np.maximum(0.0, 2.0 - 2.0 * near.astype(np.float64))
    densities = np.ones(len(pool))
    densities[candidates] = np.maximum(1.0, np.maximum(0.0, 1 - squared / BANDWIDTH**2).sum(axis=1))
    return heap_probabilities(lists, distances, 1.0 / densities), len(candidates)


def heap_probabilities(lists: Any, distances: FloatArray, weights: FloatArray) -> FloatArray:
    """The threshold search with a heap over the ends of the rows."""
    queries = len(lists)
    budget = (1 - ALPHA) / ALPHA * queries * COST_SCALE
    position = [0] * queries
    heap = [(weights[lists[row, 0]], row) for row in range(queries)]
    heapq.heapify(heap)
    slope = 0.0
    while True:
        reached, row = heap[0]
        at = position[row]
        slope += (distances[row, at + 1] - distances[row, at]) * reached
        if slope >= budget:
            threshold = reached
            break
        position[row] = at + 1
        heapq.heapreplace(heap, (reached + weights[lists[row, at + 1]], row))
    probabilities = np.zeros(len(weights))
    for row in range(queries):
        filled = 0.0
        for candidate in lists[row]:
            room = min(weights[candidate], threshold - filled)
            if room <= 0:
                break
            probabilities[candidate] += room / (threshold * queries)
            filled += weights[candidate]
    return probabilities


def brute_force(pool: Float32Array, queries: Float32Array, depth: int = 512) -> FloatArray:
    """The truth: exact lists and densities in float64 (unit vectors)."""
    pool64, queries64 = pool.astype(np.float64), queries.astype(np.float64)
    pool64 /= np.linalg.norm(pool64, axis=1, keepdims=True)
    queries64 /= np.linalg.norm(queries64, axis=1, keepdims=True)
    lists, distances = [], []
    for start in range(0, len(queries64), 64):
        squared = np.maximum(0.0, 2.0 - 2.0 * queries64[start : start + 64] @ pool64.T)
        order = np.argpartition(squared, depth, axis=1)[:, :depth]
        near = np.take_along_axis(squared, order, 1)
        inside = np.argsort(near, axis=1, kind="stable")
        lists.append(np.take_along_axis(order, inside, 1))
        distances.append(np.sqrt(np.take_along_axis(near, inside, 1)))
    listed, far = np.concatenate(lists), np.concatenate(distances)
    densities = np.ones(len(pool))
    needed = np.unique(listed[:, :128])
    for start in range(0, len(needed), 256):
        rows = needed[start : start + 256]
        squared = np.maximum(0.0, 2.0 - 2.0 * pool64[rows] @ pool64.T)
        squared[np.arange(len(rows)), rows] = 0.0
        densities[rows] = np.maximum(0.0, 1 - squared / BANDWIDTH**2).sum(axis=1)
    truth = heap_probabilities(listed, far, 1.0 / densities)
    assert np.isin(np.flatnonzero(truth), needed).all(), "raise the depth of the truth"
    return truth


def timed(run: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    seconds, result = [], None
    for _ in range(repeats):
        started = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), result


def variation(a: FloatArray, b: FloatArray) -> float:
    return float(np.abs(a - b).sum() / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    pool, queries = clustered_pool(options.candidates, options.queries)
    truth = brute_force(pool, queries)
    index = faiss.index_factory(
        pool.shape[1],
        f"IVF{max(1, int(np.sqrt(len(pool)) / 2))},Flat",
        faiss.METRIC_INNER_PRODUCT,
    )
    index.train(pool)
    index.add(pool)
    index.nprobe = NPROBE
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as directory:
        collection = create_collection(directory, "bench", dimension=pool.shape[1])
        collection.upsert(range(len(pool)), pool)
        collection.optimize()
        for exact in (False, True):
            settings = SelectionSettings(
                sizes=(1000,),
                alpha=ALPHA,
                cost_scale=COST_SCALE,
                bandwidth=BANDWIDTH,
                exact=exact,
            )
            seconds, selection = timed(
                lambda settings=settings: select(collection, queries, settings),
                1 if exact else options.repeats,
            )
            mine = np.zeros(len(pool))
            mine[np.array(selection.ids)] = selection.probabilities
            rows.append(
                {
                    "what": "select --exact" if exact else f"select (HNSW, ef {selection.ef})",
                    "seconds": seconds,
                    "variation": variation(mine, truth),
                    "densities": selection.counts.density_searches,
                    "needed": selection.densities_needed,
                    "bound": selection.accuracy.variation_bound,
                }
            )
        collection.close()
    seconds, (theirs, densities) = timed(lambda: plain_pipeline(index, pool, queries), 1)
    rows.append(
        {
            "what": "plain pipeline (faiss IVF)",
            "seconds": seconds,
            "variation": variation(theirs, truth),
            "densities": densities,
            "needed": rows[0]["needed"],
            "bound": None,
        }
    )
    print(
        f"{len(pool):,} x {pool.shape[1]} candidates, {len(queries)} task examples, alpha {ALPHA}\n"
    )
    print("| what | seconds | times as fast as plain | total variation of p | densities / needed |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['what']} | {row['seconds']:.2f} | {seconds / row['seconds']:.1f} | "
            f"{row['variation']:.1e} | {row['densities'] / row['needed']:.2f} |"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
