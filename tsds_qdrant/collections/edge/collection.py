"""The embedded adapter: a collection is a directory that holds one Qdrant Edge shard.

The engine runs inside this process, takes an exclusive lock on the directory, must not be used
across ``fork``, and holds the interpreter lock during a batch: batches are kept short so that
Ctrl-C is answered (Qdrant Edge documentation, "Shard lifecycle").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from itertools import chain, islice
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as edge

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.distance import (
    checked_vectors,
    oversampling,
    score_threshold,
    score_to_distance,
)
from tsds_qdrant.collections.edge.directory import (
    CONFIG_FILE,
    check_location,
    read_config,
    read_metadata,
    shard_path,
    write_metadata,
)
from tsds_qdrant.collections.edge.failures import edge_failures
from tsds_qdrant.collections.edge.points import EdgePoints, plain_id
from tsds_qdrant.collections.edge.scan import fits
from tsds_qdrant.collections.filters import edge_filter
from tsds_qdrant.collections.hits import Hits, within
from tsds_qdrant.collections.spaces import UNIT_SAMPLE, check_unit_length, chosen_vector
from tsds_qdrant.collections.values import CollectionInfo, Filter, Metric
from tsds_qdrant.errors import CollectionExistsError

SEARCH_BATCH = 100
UPSERT_BATCH = 1_000
SCROLL_PAGE = 10_000


class EdgeCollection(EdgePoints):
    """One vector of an embedded collection; see :class:`Collection` for the methods."""

    def __init__(self, shard: edge.EdgeShard, description: CollectionInfo) -> None:
        super().__init__(shard, description)
        self._path = shard_path(description.location, description.name)

    @classmethod
    def open(cls, location: str, name: str, *, vector: str | None = None) -> EdgeCollection:
        """Open the shard in ``location/name``.

        Raises:
            CollectionNotFoundError: no shard there, or no vector of that name.
            CollectionLockedError: another process has it open.
            UnsupportedCollectionError: a multivector, or a dot product of unequal lengths.
        """
        config = read_config(location, name)
        vector = chosen_vector(config, vector, name)
        params = config["vectors"][vector]
        with edge_failures(location, name):
            shard = edge.EdgeShard.load(str(shard_path(location, name)))
        quantization = params.get("quantization_config") or config.get("quantization_config")
        description = CollectionInfo(
            location=location,
            name=name,
            vector=vector,
            dimension=int(params["size"]),
            metric=params["distance"],
            count=0,
            indexed=0,
            segments=0,
            quantization=next(iter(quantization)) if quantization else None,
            engine=f"qdrant-edge {version('qdrant-edge-py')}",
        )
        collection = cls(shard, description)
        if description.metric == "Dot":
            ids = list(islice(chain.from_iterable(collection.scroll_ids()), UNIT_SAMPLE))
            sample = collection.retrieve(ids, payloads=False, vectors=True)
            check_unit_length(((record.id, record.vector) for record in sample), f"'{name}'")
        return collection

    @classmethod
    def create(
        cls,
        location: str,
        name: str,
        *,
        dimension: int,
        metric: Metric,
        metadata: Mapping[str, Any] | None = None,
    ) -> EdgeCollection:
        """Create an empty collection in ``location/name``.

        Raises:
            CollectionExistsError: there is one already.
        """
        path = shard_path(location, name)
        if (path / CONFIG_FILE).exists():
            raise CollectionExistsError(
                f"collection '{name}' exists already in {location}; choose another name"
            )
        check_location(location)
        params = edge.EdgeVectorParams(size=dimension, distance=getattr(edge.Distance, metric))
        with edge_failures(location, name):
            shard = edge.EdgeShard.create(str(path), edge.EdgeConfig(vectors=params))
            shard.close()
        write_metadata(path, dict(metadata or {}))
        return cls.open(location, name)

    def info(self) -> CollectionInfo:
        """Describe the collection."""
        with self._failures():
            state = self._shard.info()
        indexes = {
            field: str(index.data_type).rsplit(".", 1)[-1].lower()
            for field, index in state.payload_schema.items()
        }
        description, count = self._description, self.count()
        small = fits(count, description.dimension, description.metric)
        return replace(
            description,
            count=count,
            scanner="numpy" if small else "qdrant",
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
        metric = self._description.metric
        queries = checked_vectors(vectors, self._description.dimension, metric, what="query")
        if exact and fits(self.count(), self._description.dimension, metric):
            return self.loaded(where).search(queries, limit, max_distance, on_batch)
        threshold = None if max_distance is None else score_threshold(max_distance, metric)
        walk = None if ef is None or exact else max(ef, limit)
        params = edge.SearchParams(
            hnsw_ef=walk,
            exact=exact,
            quantization=edge.QuantizationSearchParams(
                rescore=True, oversampling=oversampling(walk, limit)
            ),
        )
        condition = edge_filter(where)
        using = self._description.vector or None
        ids: list[int | UUID | str] = []
        scores: list[float] = []
        counts: list[int] = []
        for start in range(0, len(queries), SEARCH_BATCH):
            requests = [
                edge.QueryRequest(
                    limit=limit,
                    query=edge.Query.Nearest(query, using=using),
                    score_threshold=threshold,
                    filter=condition,
                    params=params,
                    with_payload=False,
                    with_vector=False,
                )
                for query in queries[start : start + SEARCH_BATCH].tolist()
            ]
            with self._failures():
                answers = self._shard.query_batch(edge.QueryBatchRequest(requests))
            for hits in answers:
                ids += [hit.id for hit in hits]
                scores += [hit.score for hit in hits]
                counts.append(len(hits))
            if on_batch:
                on_batch(len(answers))
        return within(
            Hits(
                [plain_id(point_id) for point_id in ids],
                score_to_distance(np.array(scores, dtype=np.float64), metric),
                np.array(counts, dtype=np.int64),
            ),
            max_distance,
        )

    def optimize(self) -> None:
        """Build the HNSW graph of whatever is not in one yet, and flush to disk."""
        with self._failures():
            self._shard.optimize()
            self._shard.flush()

    def update_metadata(self, changes: Mapping[str, Any]) -> None:
        """Keep ``changes`` beside the shard."""
        write_metadata(self._path, {**read_metadata(self._path), **changes})

    def close(self) -> None:
        """Flush and release the directory's lock."""
        with self._failures():
            self._shard.close()
