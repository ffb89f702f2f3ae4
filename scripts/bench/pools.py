"""The pools of the benchmark: synthetic ones that resemble text embeddings, or ready vectors."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]

MOST_QUERIES = 2_000
SPARE_PART = 100
TAKEN_QUERIES = 100
SYNTHETIC_BANDWIDTH = 0.6
TEXT_BANDWIDTH = 0.45
"""What the defaults come to on real text, where the derived C is about 1."""


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


@dataclass(frozen=True)
class Pool:
    """Candidates and task examples, on disk.

    Attributes:
        name: of the pool, in the tables.
        directory: where it lies, and what is built from it.
        vectors: (N, D) candidates, unit vectors, mapped from the file.
        queries: (Q, D) task examples.
        spare: (S, D) candidates that come later; none for ready vectors.
        bandwidth: h that suits it at C = 1.
    """

    name: str
    directory: Path
    vectors: Float32Array
    queries: Float32Array
    spare: Float32Array
    bandwidth: float


def synthetic(store: Path, candidates: int, dimension: int = 384) -> Pool:
    """A clustered pool of ``candidates``, one per cent more to come, and task examples."""
    directory = store / f"clusters-{candidates}x{dimension}"
    if not directory.exists():
        spare = candidates // SPARE_PART
        vectors, queries = clustered_pool(candidates + spare, MOST_QUERIES, dimension=dimension)
        _save(directory, vectors[:candidates], queries, vectors[candidates:])
    return _load(f"{candidates:,} synthetic", directory, SYNTHETIC_BANDWIDTH)


def taken_from(store: Path, file: Path, seed: int = 0) -> Pool:
    """The rows of ``file`` without the task examples, which are taken out of one neighbourhood.

    Of the rows nearest to a seeded one, every second is a task example.
    """
    rows = np.load(file).astype(np.float32, copy=False)
    directory = store / f"{file.stem}-{len(rows)}x{rows.shape[1]}-{crc32(rows.tobytes()):08x}"
    if not directory.exists():
        rows = normalized(rows)
        center = rows[np.random.default_rng(seed).integers(len(rows))]
        near = np.argsort(-(rows @ center), kind="stable")[: 2 * TAKEN_QUERIES]
        out = near[::2]
        _save(directory, np.delete(rows, out, axis=0), rows[out], rows[:0])
    left = f"{len(rows) - TAKEN_QUERIES:,} of {file.name}"
    return _load(left, directory, TEXT_BANDWIDTH)


def kept_pool(
    name: str, directory: Path, rows: tuple[Float32Array, Float32Array] | None, bandwidth: float
) -> Pool:
    """A pool of ready unit ``rows``, candidates and task examples; None where they are kept."""
    if rows is not None:
        _save(directory, *rows, rows[0][:0])
    return _load(name, directory, bandwidth)


def _save(directory: Path, vectors: Float32Array, queries: Float32Array, spare: Any) -> None:
    draft = directory.with_name(f"{directory.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    np.save(draft / "pool.npy", vectors)
    np.save(draft / "queries.npy", queries)
    np.save(draft / "spare.npy", spare)
    draft.rename(directory)


def _load(name: str, directory: Path, bandwidth: float) -> Pool:
    vectors = np.load(directory / "pool.npy", mmap_mode="r")
    queries, spare = np.load(directory / "queries.npy"), np.load(directory / "spare.npy")
    return Pool(name, directory, vectors, queries, spare, bandwidth)
