"""The HNSW graph of a collection: what it holds, as far as Qdrant's figures say, and its making.

An embedded collection gets one only when that is asked for, as a few selections by scans take less
time than its making. From then on it is kept up to date; the metadata remember what it took.
"""

from __future__ import annotations

import time
from dataclasses import replace

from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo

GRAPH = "graph"
"""Metadata key: what a graph that was asked for has taken, ``{"seconds": 57.1}``."""

GRAPH_SHARE = 0.75
NO_GRAPH = "no HNSW graph"
"""Why an embedded collection is scanned that has none."""


def in_graph(collection: Collection, info: CollectionInfo) -> int:
    """About how many vectors of the searched space of ``collection`` are in an HNSW graph.

    Qdrant counts indexed vectors over all spaces. Sparse ones are indexed always, and a segment
    gets graphs for all its dense spaces or for none (their ``m`` is counted as if it were not 0),
    so what is left belongs to the dense spaces in the proportion of their vectors.
    """
    spaces = dict(collection.spaces)
    own = spaces[info.vector]
    if own.m == 0 or not info.indexed:
        return 0
    if len(spaces) == 1 or not collection.limits.has_room(None):
        return min(info.indexed, info.count)
    held = {name: collection.count({"must": [{"has_vector": name}]}) for name in spaces}
    dense = sum(held[name] for name, space in spaces.items() if space.kind == "dense")
    left = info.indexed - (sum(held.values()) - dense)
    share = min(1.0, max(0, left) / max(1, dense))
    return round(share * held[info.vector])


def no_graph(collection: Collection, info: CollectionInfo) -> str:
    """Why searches of the searched space had better scan than walk in an HNSW graph; "" if not.

    What is in no graph is scanned by the engine at every walk. Where this package's own scan takes
    its place, that of all vectors costs less from a quarter of them on.
    """
    if collection.spaces[info.vector].m == 0:
        return "its vectors get no HNSW graph, as m is 0"
    held = in_graph(collection, info)
    if not held:
        return "no HNSW graph yet" if is_server(info.location) else NO_GRAPH
    if info.scanner == "numpy" and held < GRAPH_SHARE * info.count:
        having = collection.count({"must": [{"has_vector": info.vector}]})
        if held < GRAPH_SHARE * having:
            return f"only {held} of {having} vectors are in an HNSW graph"
    return ""


def keeps_graph(collection: Collection) -> bool:
    """Whether a dense space of an embedded ``collection`` has a graph, or one was asked for.

    The embedded engine makes none of few vectors, so that one may have been asked for in vain.
    """
    info = collection.info()
    if is_server(info.location):  # which keeps its own
        return False
    dense = [name for name, space in collection.spaces.items() if space.kind == "dense"]
    return GRAPH in info.metadata or any(
        in_graph(collection, replace(info, vector=name)) for name in dense
    )


def build_graph(collection: Collection) -> float:
    """Put all vectors into a graph, or wait until a server has; the seconds that it took.

    An embedded collection remembers them, added to those of earlier times.

    Raises:
        RequestRejectedError: there is no room on the disk. All points are kept.
    """
    first, known = not keeps_graph(collection), graph_seconds(collection.info())
    started = time.perf_counter()
    collection.optimize()
    seconds = time.perf_counter() - started
    if not is_server(collection.info().location) and (first or known is not None):
        collection.update_metadata({GRAPH: {"seconds": round((known or 0.0) + seconds, 3)}})
    return seconds


def graph_seconds(info: CollectionInfo) -> float | None:
    """What the graph has taken so far; None where nobody wrote that down."""
    kept = info.metadata.get(GRAPH)
    seconds = kept.get("seconds") if isinstance(kept, dict) else None
    return float(seconds) if isinstance(seconds, int | float) else None
