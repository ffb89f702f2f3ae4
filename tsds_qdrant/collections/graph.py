"""How many vectors of one space an HNSW graph holds, as far as Qdrant's figures say that."""

from __future__ import annotations

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo


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
    """Why no vector of the searched space is in an HNSW graph; "" where some are."""
    if collection.spaces[info.vector].m == 0:
        return "its vectors get no HNSW graph, as m is 0"
    return "" if in_graph(collection, info) else "no HNSW graph yet"
