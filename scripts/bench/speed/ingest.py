"""Ingest of ready vectors, without a graph, against the bare engine's upsert."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any

import qdrant_edge as edge
from bench.pools import Float32Array
from bench.speed.clock import alternate

from tsds_qdrant import Destination, ingest_vectors

BATCH = 1_000


def compare_ingest(vectors: Float32Array, repeats: int, patience: float) -> dict[str, Any]:
    """Both store ``vectors`` (N, D) in fresh directories, in turn."""
    done = alternate(
        {
            "ingest": lambda: _fresh(lambda place: _ours(place, vectors)),
            "bare engine": lambda: _fresh(lambda place: _bare(place, vectors)),
        },
        repeats,
        patience,
    )
    (mine, _), (theirs, _) = done.values()
    return {
        "candidates": len(vectors),
        "ours": mine,
        "engine": theirs,
        "ratio": mine.median / theirs.median,
    }


def _ours(place: str, vectors: Float32Array) -> None:
    ingest_vectors(Destination(place, "pool"), vectors)


def _bare(place: str, vectors: Float32Array) -> None:
    params = edge.EdgeVectorParams(size=vectors.shape[1], distance=edge.Distance.Cosine)
    shard = edge.EdgeShard.create(f"{place}/pool", edge.EdgeConfig(vectors=params))
    for start in range(0, len(vectors), BATCH):
        rows = vectors[start : start + BATCH].tolist()
        points = [edge.Point(start + k, row, None) for k, row in enumerate(rows)]
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.flush()
    shard.close()


def _fresh(run: Callable[[str], None]) -> tuple[float, None]:
    place = tempfile.mkdtemp(prefix="bench-")
    started = time.perf_counter()
    run(place)
    seconds = time.perf_counter() - started
    shutil.rmtree(place)
    return seconds, None
