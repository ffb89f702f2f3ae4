"""The embedded adapter: a collection is a directory that holds one Qdrant Edge shard.

The engine runs inside this process, takes an exclusive lock on the directory, must not be used
across ``fork``, and holds the interpreter lock during a batch: batches are kept short so that
Ctrl-C is answered (Qdrant Edge documentation, "Shard lifecycle").
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import qdrant_edge as edge

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.checked import checked_queries
from tsds_qdrant.collections.distance import oversampling, score_threshold
from tsds_qdrant.collections.edge.asking import Search, ask
from tsds_qdrant.collections.edge.directory import (
    read_config,
    read_metadata,
    shard_path,
    write_metadata,
)
from tsds_qdrant.collections.edge.failures import edge_failures, without_reports
from tsds_qdrant.collections.edge.fingerprint import fingerprint_of
from tsds_qdrant.collections.edge.known import Known, spaces_of
from tsds_qdrant.collections.edge.lengths import EdgeLengths
from tsds_qdrant.collections.edge.making import make_shard
from tsds_qdrant.collections.edge.reads import described
from tsds_qdrant.collections.edge.room import check_room
from tsds_qdrant.collections.edge.shared import OPENING, log_of, share, shared
from tsds_qdrant.collections.edge.vector_files import VectorFiles
from tsds_qdrant.collections.filters import edge_filter
from tsds_qdrant.collections.hits import Hits, within
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.reserved import MANIFESTS, REPRESENTATION
from tsds_qdrant.collections.scanning import Scanning
from tsds_qdrant.collections.spaces import (
    checked_kind,
    chosen_space,
)
from tsds_qdrant.collections.values import CollectionInfo, Filter, Metric
from tsds_qdrant.sparse import SparseRows, checked_sparse


class EdgeCollection(EdgeLengths):
    """One space of an embedded collection; see :class:`Collection` for the methods."""

    @classmethod
    def open(
        cls,
        location: str,
        name: str,
        *,
        vector: str | None = None,
        scanning: Scanning | None = None,
    ) -> EdgeCollection:
        """Open the shard in ``location/name``; ``scanning`` says how exact searches are computed.

        One that this process has open is shared.

        Raises:
            CollectionNotFoundError: no shard there, or no vector of that name.
            CollectionLockedError: another process has it open.
            DamagedCollectionError: a file of it cannot be read.
            RequestRejectedError: there is no room on the disk.
            UnsupportedCollectionError: no dense vector, or a multivector.
        """
        with OPENING:
            known, path = shared(location, name), shard_path(location, name)
            spaces = spaces_of(read_config(location, name)) if known is None else known.spaces
            kept = read_metadata(path)
            space = chosen_space(
                spaces, vector, kept.get(REPRESENTATION), name, kept.get(MANIFESTS)
            )
            if known is None:
                shard = load_shard(location, name)
                files = VectorFiles(path, spaces, fingerprint_of(shard, path))
                how = scanning or Scanning()
                known = Known(shard, log_of(path), spaces, space.name, files, how)
                share(known, location, name)
            known.scan(scanning)
            description = CollectionInfo(
                location=location,
                name=name,
                vector="",
                dimension=0,
                metric="Dot",
                count=0,
                indexed=0,
                segments=0,
                engine=f"qdrant-edge {version('qdrant-edge-py')}",
            )
            return cls(known, described(description, space), is_view=False)

    @classmethod
    def create(
        cls,
        location: str,
        name: str,
        *,
        dimension: int,
        metric: Metric,
        metadata: Mapping[str, Any] | None = None,
        scanning: Scanning | None = None,
    ) -> EdgeCollection:
        """Create an empty collection in ``location/name``.

        Raises:
            CollectionExistsError: there is one already.
            RequestRejectedError: there is no room on the disk.
        """
        params = edge.EdgeVectorParams(size=dimension, distance=getattr(edge.Distance, metric))
        make_shard(location, name, edge.EdgeConfig(vectors=params), dict(metadata or {}))
        return cls.open(location, name, scanning=scanning)

    def info(self) -> CollectionInfo:
        """Describe the collection."""
        with self._failures():
            state = self._shard.info()
        indexes = {
            field: str(index.data_type).rsplit(".", 1)[-1].lower()
            for field, index in state.payload_schema.items()
        }
        description, count = self._description, self.count()
        dense = description.dimension > 0
        scanned = dense and self._is_scanned()
        return replace(
            description,
            count=count,
            scanner="numpy" if scanned else "qdrant",
            indexed=state.indexed_vectors_count,
            segments=state.segments_count,
            payload_indexes=indexes,
            metadata=read_metadata(self._path),
        )

    def search(
        self,
        vectors: Float32Array,
        *,
        limit: int,
        max_distance: float | None = None,
        exact: bool = False,
        ef: int | None = None,
        where: Filter | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Hits:
        """Find the nearest points of every row of ``vectors`` (B, D)."""
        info = self._description
        checked_kind(self._known.spaces[info.vector], "dense", info.name)
        metric = info.metric
        queries = checked_queries(vectors, info)
        if exact and self._is_scanned():
            return self.loaded(where).search(queries, limit, max_distance, on_batch)
        walk = None if ef is None or exact else max(ef, limit)
        search = Search(
            using=info.vector,
            limit=limit,
            params=edge.SearchParams(
                hnsw_ef=walk,
                exact=exact,
                quantization=edge.QuantizationSearchParams(
                    rescore=True, oversampling=oversampling(walk, limit)
                ),
            ),
            where=edge_filter(where),
            threshold=None if max_distance is None else score_threshold(max_distance, metric),
        )
        with self._failures():
            hits = ask(self._shard, search, queries, metric, on_batch)
        return within(hits, max_distance)

    def search_sparse(
        self,
        rows: SparseRows,
        *,
        limit: int,
        where: Filter | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Hits:
        """Find the points of the largest dot products with each of B sparse ``rows``."""
        info = self._description
        checked_kind(self._known.spaces[info.vector], "sparse", info.name)
        queries = checked_sparse(rows, what="query")
        search = Search(info.vector, limit, edge.SearchParams(exact=True), edge_filter(where))
        with self._failures():
            return ask(self._shard, search, queries, None, on_batch)

    def optimize(self) -> None:
        """Build the HNSW graph of whatever is not in one yet, and flush to disk.

        Raises:
            RequestRejectedError: there is no room on the disk. All points are kept.
        """
        self._known.files.changing()
        with self._failures():
            self._shard.optimize()
            self._shard.flush()
        space = self._known.spaces[self._description.vector]
        if space.dimension is not None and self._can_scan(space):
            self._mapped()  # a graph without a file would leave scans to the engine

    def update_metadata(self, changes: Mapping[str, Any]) -> None:
        """Keep ``changes`` beside the shard."""
        write_metadata(self._path, {**read_metadata(self._path), **changes})

    def close(self) -> None:
        """Flush and release the directory's lock; closing a view does nothing.

        The lock stays while the same shard is open for another collection of this process.
        """
        if self._is_view:
            return
        with OPENING, self._failures():
            self._known.users.discard(self)
            if self._known.users or self._known.log is None:
                return
            self._seal()
            self._shard.close()
            self._known.close()


def load_shard(location: str, name: str) -> edge.EdgeShard:
    """The open shard in ``location/name``; for what is raised see :meth:`EdgeCollection.open`."""
    path = shard_path(location, name)
    if os.access(path, os.W_OK):
        check_room(Place(location, name), path, 0, "be opened", lambda: "its points are kept")
    with edge_failures(location, name), without_reports():
        return edge.EdgeShard.load(str(path))
