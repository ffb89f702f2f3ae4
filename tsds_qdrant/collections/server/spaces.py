"""The vectors of a collection on a server: added as spaces, and written one space at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from qdrant_client import models

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.checked import (
    check_pairs,
    checked_dense,
    checked_rows,
    parts_by_size,
)
from tsds_qdrant.collections.cluster import check_placed
from tsds_qdrant.collections.ids import checked_ids
from tsds_qdrant.collections.payloads import checked_payloads
from tsds_qdrant.collections.reserved import REPRESENTATION
from tsds_qdrant.collections.server import description
from tsds_qdrant.collections.server.points import ServerPoints
from tsds_qdrant.collections.server.upserts import Upserts, vectors_operation
from tsds_qdrant.collections.server.writes import REQUEST_BYTES, WRITES
from tsds_qdrant.collections.spaces import (
    Space,
    checked_kind,
    is_new,
)
from tsds_qdrant.collections.values import FLOAT32, Payload, PointId
from tsds_qdrant.errors import AccessDeniedError, UnsupportedCollectionError
from tsds_qdrant.sparse import SparseRows


class ServerSpaces(ServerPoints):
    """What :class:`Collection` does with spaces and the vectors in them, except searching."""

    _searched: str
    """The space of the collection as it was opened, of which the others are views."""

    @property
    def spaces(self) -> Mapping[str, Space]:
        """All spaces by name."""
        return MappingProxyType(self._spaces)

    @abstractmethod
    def at(self, name: str) -> ServerSpaces:
        """A view of the same session whose searched space is ``name``."""

    def _refreshed(self) -> models.CollectionInfo:
        """What Qdrant says of the collection now; all views learn of new spaces."""
        found = description.fetch(self._session)
        spaces = description.spaces_of(found, self._session)
        for name in self._spaces.keys() - spaces.keys():
            del self._spaces[name]
        self._spaces.update(spaces)
        return found

    def add_space(self, space: Space) -> None:
        """Add a dense or sparse vector that no point has yet."""
        metadata = description.metadata_of(self._refreshed())
        if self._session.local:
            space = replace(space, datatype=FLOAT32)  # it keeps no other
        if not is_new(space, self._spaces, self._name):
            return
        description.check_added_spaces(self._session, self._description.engine)
        if REPRESENTATION not in metadata:
            # A token for one collection may write points, but no metadata.
            with suppress(AccessDeniedError, UnsupportedCollectionError):
                self._keep_metadata({**metadata, REPRESENTATION: self._searched})
        modifier = models.Modifier.IDF if space.idf else None
        sparse = models.SparseVectorConfig(modifier=modifier)
        config: Any = models.SparseVectorNameConfig(sparse=sparse)
        if space.dimension is not None:
            distance = models.Distance(space.metric)
            datatype: Any = None if space.datatype == FLOAT32 else space.datatype
            dense = models.DenseVectorConfig(
                size=space.dimension, distance=distance, datatype=datatype
            )
            config = models.DenseVectorNameConfig(dense=dense)
        self._session.send(
            lambda client: client.create_vector_name(self._name, space.name, config, wait=True)
        )
        self._spaces[space.name] = space

    def update_metadata(self, changes: Mapping[str, Any]) -> None:
        """Keep ``changes`` with the collection, for ``info().metadata``."""
        self._keep_metadata({**description.metadata_of(self._refreshed()), **changes})

    def _keep_metadata(self, kept: Mapping[str, Any]) -> None:
        description.check_metadata_support(self._session, self._description.engine)
        self._session.send(
            lambda client: client.update_collection(
                self._name, metadata={description.METADATA_KEY: dict(kept)}
            )
        )

    def upsert(
        self,
        ids: Sequence[PointId],
        vectors: Float32Array,
        payloads: Sequence[Payload] | None = None,
    ) -> None:
        """Insert or replace points; returns when they are stored."""
        info = self._description
        checked_kind(self._space, "dense", info.name)
        check_placed(info.name, info.shard_keys, info.shard_key)
        points = checked_ids(ids)
        rows = checked_dense(vectors, self._space)
        check_pairs(len(points), len(rows), payloads)
        sizes = [0] * len(points) if payloads is None else checked_payloads(points, payloads)

        for group in parts_by_size(sizes, rows=len(sizes), size=REQUEST_BYTES):
            own = slice(group.start, group.stop)
            contents = None if payloads is None else list(payloads[own])
            self._upsert(points[own], rows[own], contents)

    def _upsert(
        self, points: list[PointId], rows: Float32Array, payloads: list[Payload] | None
    ) -> None:
        """Write ``points``; whatever depends on a look at them is decided before any is sent.

        *subtle*: after a write that too few replicas confirm, one of them says nothing of what
        the others have, so all is repeated as it was.
        """
        info = self._description
        upserts = Upserts(info.vector, info.shard_key, points, rows, payloads)

        several = len(self._spaces) > 1
        stored = self.existing(points) if several and not self._replicated else set()

        def write(batch: range) -> None:
            client = self._session.client
            if not several:
                key = info.shard_key
                whole = upserts.batch(batch)
                sent = [client.upsert(self._name, whole, wait=True, shard_key_selector=key)]
            else:
                operations = (
                    upserts.everywhere(batch) if self._replicated else upserts.beside(batch, stored)
                )
                sent = client.batch_update_points(self._name, operations, wait=True)
            self._check_confirmed(sent, f"{len(batch)} points")

        kind = "beside" if several else "upsert"
        self._writes.run(len(rows), write, kind=kind, cost=WRITES[kind])

    def set_vectors(
        self,
        ids: Sequence[PointId],
        vectors: Float32Array | SparseRows,
        *,
        space: str | None = None,
    ) -> None:
        """Set the vectors of stored points in one space, and touch nothing else of them."""
        if space is not None and space != self._description.vector:
            self.at(space).set_vectors(ids, vectors)
            return
        own = self._space
        rows = checked_rows(vectors, own, self._name)
        points = checked_ids(ids)
        check_pairs(len(points), len(rows))
        row_of = {point_id: row for row, point_id in enumerate(points)}

        def operations(part: list[Any], key: Any) -> list[Any]:
            wanted = [row_of[point_id] for point_id in part]
            if isinstance(rows, SparseRows):
                pairs = rows.take(wanted).pairs()
                values: list[Any] = [models.SparseVector(indices=i, values=v) for i, v in pairs]
            else:
                values = rows[wanted].tolist()
            return [vectors_operation(part, values, own.name, key)]

        self._update(list(row_of), operations, "vectors")

    def delete_vectors(self, ids: Sequence[PointId], *, space: str | None = None) -> None:
        """Delete the vectors of points in one space, and touch nothing else of them."""
        if space is not None and space != self._description.vector:
            self.at(space).delete_vectors(ids)
            return
        name = self._description.vector

        def operations(part: list[Any], key: Any) -> list[Any]:
            gone = models.DeleteVectors(points=part, vector=[name], shard_key=key)
            return [models.DeleteVectorsOperation(delete_vectors=gone)]

        self._update(checked_ids(ids), operations)
