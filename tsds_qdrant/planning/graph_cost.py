"""After how many selections a graph has paid, on this machine.

A graph saves time in every search and takes some to be built. With B seconds to build it, S of a
selection of usual size by scans and W of the same one by walks, it has paid after B / (S - W)
selections, and never where W is not below S.

S is measured, by a few scans of the collection itself. Where there is a graph, W is measured in the
same way, and B is what :func:`~tsds_qdrant.collections.graph.build_graph` took and wrote down.
Where there is none, or nobody wrote that down, a graph of a few thousand of the stored vectors is
built and walked, which takes about a second, and scaled up: the building by n log n and a walk by
log n (Malkov and Yashunin, arXiv 1603.09320, section 4.2), and both twice as much again, as a large
graph does not fit into the processor's caches. At 50,000 to 100,000 vectors of 384 dimensions that
factor of two was between 1 and 3.2: the answer is right in its order of magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice
from math import ceil, log
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.edge.trial import Trial, try_graph
from tsds_qdrant.collections.graph import graph_seconds, no_graph
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.errors import CollectionError
from tsds_qdrant.neighbors.allowed import EF_LADDER
from tsds_qdrant.neighbors.search import SCAN_COUNT
from tsds_qdrant.planning.cost import LIMIT, SearchCost
from tsds_qdrant.pool.pool import vectors_found

TRIED_POINTS, MOST_TRIED = 4_000, 8_000
TRIED_SEARCHES = 64
BEYOND_CACHES = 2.0


@dataclass(frozen=True)
class GraphCost:
    """What a graph costs, and saves.

    Attributes:
        build: seconds to build it.
        scan: seconds of a selection by scans.
        walk: seconds of the same selection by walks.
        built: there is one.
        measured: ``build`` is what it took; else it is an estimate.
    """

    build: float
    scan: float
    walk: float
    built: bool
    measured: bool

    @property
    def pays_after(self) -> int | None:
        """Selections after which it has paid; None where it never does."""
        saved = self.scan - self.walk
        return max(1, ceil(self.build / saved)) if saved > 0 else None

    def as_dict(self) -> dict[str, Any]:
        """The figures for a machine to read."""
        return {
            "built": self.built,
            "build_seconds": self.build,
            "build_measured": self.measured,
            "selection_seconds": {"scan": self.scan, "graph": self.walk},
            "pays_after_selections": self.pays_after,
        }


def graph_cost(
    collection: Collection, info: CollectionInfo, cost: SearchCost, searches: float
) -> GraphCost | None:
    """What a graph of the searched vectors costs, and saves a selection of ``searches``.

    None where that is no question: on a server, which builds one by itself, for a few thousand
    points, where ``m`` is 0, where scans are refused, or where a graph cannot be tried.

    Args:
        collection: embedded.
        info: what is known of it.
        cost: of one search; without a walk where all searches scan.
        searches: of the selection.
    """
    ours = not is_server(info.location) and info.limits.writes
    space = collection.spaces[info.vector]
    if not ours or info.count <= SCAN_COUNT or space.m == 0 or cost.scan is None:
        return None
    built, build, walk = not no_graph(collection, info), graph_seconds(info), cost.walk
    measured = built and build is not None
    if built and walk is None:  # walks find too little
        walk = cost.scan
    if not measured or walk is None:
        tried = _tried(collection, info, space.m)
        if tried is None:
            return None
        build = build if measured else tried.build
        walk = tried.walk if walk is None else walk
    scanned = SearchCost(cost.scan, None).seconds(searches)
    walked = SearchCost(cost.scan, walk).seconds(searches)
    return GraphCost(build or 0.0, scanned, walked, built, measured)


def _tried(collection: Collection, info: CollectionInfo, m: int | None) -> Trial | None:
    """What a graph of all vectors would cost, from one of a few; None where that fails."""
    vectors = _sample(collection, info)
    if len(vectors) < TRIED_SEARCHES:
        return None
    try:
        tried = try_graph(
            vectors, info.metric, m=m, limit=LIMIT, ef=EF_LADDER[0], searches=TRIED_SEARCHES
        )
    except (CollectionError, OSError):
        return None
    larger = max(1.0, info.count / len(vectors))
    deeper = log(info.count) / log(len(vectors)) * (BEYOND_CACHES if larger > 1 else 1.0)
    return Trial(tried.build * larger * deeper, tried.walk * deeper)


def _sample(collection: Collection, info: CollectionInfo) -> Float32Array:
    """(n, D) about :data:`TRIED_POINTS` of the stored vectors, the same ones each time."""
    slices = info.count // TRIED_POINTS
    where = {"must": [{"slice": {"total": slices, "index": 0}}]} if slices > 1 else None
    ids: list[PointId] = list(islice(chain.from_iterable(collection.scroll_ids(where)), MOST_TRIED))
    _, vectors = vectors_found(collection, ids, info)
    return vectors[np.isfinite(vectors).all(axis=1)]
