"""What is known of an open shard, by all who look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import qdrant_edge as edge

from tsds_qdrant.collections.edge.loaded import LoadedVectors
from tsds_qdrant.collections.edge.vector_file import Mapped
from tsds_qdrant.collections.edge.vector_files import VectorFiles
from tsds_qdrant.collections.scanning import Scanning
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import FLOAT32


@dataclass
class Known:
    """Shared by all who look at one open shard, so that a write through any counts for all.

    Attributes:
        shard: the open shard.
        log: what marks its log among those of all shards; None once it is closed.
        spaces: by name.
        files: the vectors of spaces, kept beside the shard.
        scanning: how exact searches are computed.
        searched: the space of the collection as it was opened first.
        users: the collections that it was opened for and that are not closed; views are none.
        filled: points were written since it was opened.
        points: how many, None where they were not counted since the last write.
        mapped: space -> its vector file, as of the last write.
        loaded: space -> filter and the vectors that match it, read since the last write.
        lengths: spaces whose lengths were checked since the last write.
    """

    shard: edge.EdgeShard
    log: tuple[int, int] | None
    spaces: dict[str, Space]
    searched: str
    files: VectorFiles
    scanning: Scanning
    filled: bool = False
    points: int | None = None
    mapped: dict[str, Mapped] = field(default_factory=dict)
    loaded: dict[str, tuple[str, LoadedVectors]] = field(default_factory=dict)
    lengths: set[str] = field(default_factory=set)
    users: WeakSet[Any] = field(default_factory=WeakSet)

    def scan(self, scanning: Scanning | None) -> None:
        """Compute exact searches as ``scanning`` says from now on, if it says anything."""
        if scanning not in (None, self.scanning):
            self.scanning = scanning
            self.loaded.clear()

    def close(self) -> None:
        """Forget what was read of points, as the shard is closed, and share it no longer."""
        self.log = None
        self.files.unmap()
        self._unload()

    def _unload(self) -> None:
        self.points = None
        self.mapped.clear()
        self.loaded.clear()

    def forget(self) -> None:
        """Forget what a write may change that is about to be made."""
        self.files.changing()
        self._unload()
        self.lengths.clear()


def spaces_of(config: Mapping[str, Any]) -> dict[str, Space]:
    """The spaces that the engine's own ``config`` names."""
    spaces = {}
    for name, params in (config.get("vectors") or {}).items():
        codes = params.get("quantization_config") or config.get("quantization_config")
        graph = {**(config.get("hnsw_config") or {}), **(params.get("hnsw_config") or {})}
        spaces[name] = Space(
            name,
            "dense",
            int(params["size"]),
            params["distance"],
            multivector=bool(params.get("multivector_config")),
            datatype=params.get("datatype") or FLOAT32,
            quantization=next(iter(codes)) if codes else None,
            m=graph.get("m"),
            payload_m=graph.get("payload_m"),
            on_disk=bool(params.get("on_disk")) or params.get("memory") == "cold",
        )
    for name, params in (config.get("sparse_vectors") or {}).items():
        idf = str(params.get("modifier") or "").lower() == "idf"
        spaces[name] = Space(name, "sparse", None, "Dot", idf=idf)
    return spaces
