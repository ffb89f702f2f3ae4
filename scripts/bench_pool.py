"""Synthetic pools that resemble text embeddings, for the benchmarks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]


def clustered_pool(
    candidates: int,
    queries: int,
    *,
    dimension: int = 384,
    cluster_size: int = 10,
    duplicates: float = 0.1,
    seed: int = 0,
) -> tuple[Float32Array, Float32Array]:
    """Unit vectors of a pool (N, D) and of task examples (M, D) from the same clusters.

    Topics hold clusters of about ``cluster_size``; a share of ``duplicates`` are near-copies of
    other candidates (distance .02 to .4). The nearest neighbour of a candidate lies at about
    .14 / .61 / .82 (5 / 50 / 95 %), close to the .20 / .63 / .98 of real texts under MiniLM.
    """
    rng = np.random.default_rng(seed)
    unit = np.float32(1 / np.sqrt(dimension))

    def noise(rows: int) -> Float32Array:
        return rng.standard_normal((rows, dimension), dtype=np.float32) * unit

    clusters = max(20, candidates // cluster_size)
    topics = noise(max(5, clusters // 50))
    centers = topics[rng.integers(0, len(topics), clusters)] + np.float32(0.9) * noise(clusters)
    centers = normalized(centers)
    total = candidates + queries
    spread = rng.uniform(0.3, 1.0, (total, 1)).astype(np.float32)
    vectors = normalized(centers[rng.integers(0, clusters, total)] + spread * noise(total))
    copies = rng.permutation(candidates)[: int(duplicates * candidates)]
    sources = rng.integers(0, candidates, len(copies))
    edits = rng.uniform(0.02, 0.4, (len(copies), 1)).astype(np.float32)
    vectors[copies] = normalized(vectors[sources] + edits * noise(len(copies)))
    return vectors[:candidates], vectors[candidates:]


def normalized(vectors: Float32Array) -> Float32Array:
    lengths: Float32Array = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths
