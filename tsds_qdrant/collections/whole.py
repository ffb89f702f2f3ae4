"""Points with all their vectors, and what a copy of their collection is made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tsds_qdrant.collections.values import Payload, PointId

PAGE_POINTS = 1_000
PAGE_FLOATS = 500_000
"""Points, and numbers of their vectors, of one page."""
SPARSE_FLOATS = 500
"""Numbers of a sparse vector, reckoned generously."""
NEAR = 1e-2


@dataclass(frozen=True)
class Whole:
    """A stored point.

    Attributes:
        vectors: name of a space -> the vector as JSON has it: numbers, rows of numbers for a
            multivector, ``{"indices": .., "values": ..}`` for a sparse one.
    """

    id: PointId
    payload: Payload
    vectors: Mapping[str, Any]


def near_vectors(one: Whole, other: Whole) -> list[bool]:
    """Of each dense space in which both points have a vector, whether these are about the same.

    Two ways of storing one may differ in the last bits.
    """
    found = []
    for name in one.vectors.keys() & other.vectors.keys():
        if isinstance(one.vectors[name], Mapping):
            continue
        rows = [np.asarray(point.vectors[name], dtype=np.float32) for point in (one, other)]
        same = rows[0].shape == rows[1].shape
        found.append(same and np.allclose(rows[0], rows[1], rtol=NEAR, atol=NEAR, equal_nan=True))
    return found


@dataclass(frozen=True)
class WholePage:
    """Points in the order of their ids.

    Attributes:
        following: the id at which the next page begins; None behind the last one.
    """

    points: Sequence[Whole]
    following: PointId | None


@dataclass(frozen=True)
class Index:
    """An index on a payload field.

    Attributes:
        kind: keyword, integer, float, geo, text, bool, datetime or uuid.
        params: further settings, as Qdrant's REST API has them.
    """

    kind: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """All of a collection but its points.

    Attributes:
        config: vectors, sparse vectors, graph and quantisation, as the embedded engine writes them
            into ``edge_config.json``.
        indexes: payload field -> its index.
        metadata: what this package keeps with the collection.
    """

    config: Mapping[str, Any]
    indexes: Mapping[str, Index]
    metadata: Mapping[str, Any]

    @property
    def page(self) -> int:
        """How many points one page should have."""
        floats: int = sum(
            one["size"] * (8 if one.get("multivector_config") else 1)
            for one in self.config.get("vectors", {}).values()
        )
        floats += SPARSE_FLOATS * len(self.config.get("sparse_vectors", {}))
        return max(1, min(PAGE_POINTS, PAGE_FLOATS // max(1, floats)))


GRAPH_KEYS = (
    *("m", "ef_construct", "full_scan_threshold", "max_indexing_threads", "on_disk", "payload_m"),
    *("inline_storage", "memory"),
)
VECTOR_KEYS = ("size", "distance", "multivector_config", "datatype", "on_disk", "memory")
SPARSE_KEYS = ("full_scan_threshold", "on_disk", "datatype", "memory")


def config_of(described: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of an embedded copy, from ``config`` of a server's description."""
    params, graph = described["params"], _only(described.get("hnsw_config"), GRAPH_KEYS)
    vectors = params.get("vectors") or {}
    made: dict[str, Any] = {"vectors": {}, "sparse_vectors": {}}
    for name, one in ({"": vectors} if "size" in vectors else vectors).items():
        own = _only(one, VECTOR_KEYS)
        if one.get("hnsw_config"):
            own["hnsw_config"] = {**graph, **_only(one["hnsw_config"], GRAPH_KEYS)}
        if isinstance(codes := one.get("quantization_config"), Mapping):
            own["quantization_config"] = dict(codes)
        made["vectors"][name] = own
    for name, one in (params.get("sparse_vectors") or {}).items():
        modifier = one.get("modifier")
        own = _only(one.get("index"), SPARSE_KEYS)
        made["sparse_vectors"][name] = own | ({"modifier": modifier} if modifier == "idf" else {})
    if graph:
        made["hnsw_config"] = graph
    if isinstance(codes := described.get("quantization_config"), Mapping):
        made["quantization_config"] = dict(codes)
    return {key: value for key, value in made.items() if value}


def _only(given: Any, keys: Sequence[str]) -> dict[str, Any]:
    return {key: given[key] for key in keys if given and given.get(key) is not None}
