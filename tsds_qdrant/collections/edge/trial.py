"""A small graph, built and walked to learn what one costs on this machine.

It lies in a directory of its own for as long as that takes; no collection is touched.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import qdrant_edge as edge

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.edge.asking import Search, ask
from tsds_qdrant.collections.edge.failures import edge_failures, without_reports
from tsds_qdrant.collections.values import Metric

USUAL_M = 16
EF_CONSTRUCT = 100
"""Those of the engine."""
FEW_KB = 1
"""A graph is built from that size on, and walked."""


@dataclass(frozen=True)
class Trial:
    """What a graph of a few vectors has cost.

    Attributes:
        build: seconds to build it.
        walk: milliseconds of one search in it.
    """

    build: float
    walk: float


def try_graph(
    vectors: Float32Array, metric: Metric, *, m: int | None, limit: int, ef: int, searches: int
) -> Trial:
    """Build a graph of ``vectors`` (n, D), and walk from ``searches`` of them.

    Args:
        vectors: without NaN.
        metric: of the collection.
        m: links of a node; None for the engine's own.
        limit: of each search.
        ef: candidates that a walk keeps.
        searches: how many, in one batch.

    Raises:
        CollectionError: there is no room for it.
    """
    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(vectors.shape[1], getattr(edge.Distance, metric)),
        hnsw_config=edge.HnswIndexConfig(m or USUAL_M, EF_CONSTRUCT, FEW_KB),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=FEW_KB),
    )
    points = [edge.Point(number, row, {}) for number, row in enumerate(vectors.tolist())]
    with (
        tempfile.TemporaryDirectory(prefix="tsds-trial-") as place,
        edge_failures(place, "trial"),
        without_reports(),
    ):
        shard = edge.EdgeShard.create(str(Path(place) / "trial"), config)
        shard.update(edge.UpdateOperation.upsert_points(points))
        started = time.perf_counter()
        shard.optimize()
        built = time.perf_counter()
        search = Search("", limit, edge.SearchParams(hnsw_ef=ef))
        rows = np.ascontiguousarray(vectors[:searches])
        ask(shard, search, rows, metric, None)  # which warms caches
        warm = time.perf_counter()
        ask(shard, search, rows, metric, None)
        walked = time.perf_counter() - warm
        shard.close()
    return Trial(built - started, walked / max(1, len(rows)) * 1000)
