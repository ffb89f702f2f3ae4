"""The points of an embedded collection: counted, read, written and deleted by id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from pydantic_core import to_json

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.closing import Closing
from tsds_qdrant.collections.distance import checked_vectors
from tsds_qdrant.collections.edge.failures import edge_failures
from tsds_qdrant.collections.edge.scan import LoadedVectors
from tsds_qdrant.collections.filters import edge_filter
from tsds_qdrant.collections.ids import checked_ids, largest_in
from tsds_qdrant.collections.values import CollectionInfo, Filter, Payload, PointId, Record

UPSERT_BATCH = 1_000
SCROLL_PAGE = 10_000


class EdgePoints(Closing):
    """What :class:`Collection` does with points, except searching them."""

    def __init__(self, shard: edge.EdgeShard, description: CollectionInfo) -> None:
        self._shard = shard
        self._description = description
        self._points: int | None = None
        self._loaded: tuple[str, LoadedVectors] | None = None

    @property
    def bytes_moved(self) -> int:
        """None: the engine runs in this process."""
        return 0

    def count(self, where: Filter | None = None) -> int:
        """Count the points, exactly."""
        if where is None and self._points is not None:
            return self._points
        with self._failures():
            found = self._shard.count(edge.CountRequest(exact=True, filter=edge_filter(where)))
        if where is None:
            self._points = found
        return found

    def loaded(self, where: Filter | None) -> LoadedVectors:
        """All vectors that match ``where``, kept until something is written."""
        about = to_json(where).decode()
        if self._loaded is None or self._loaded[0] != about:
            ids = list(chain.from_iterable(self.scroll_ids(where)))
            stored = self.retrieve(ids, payloads=False, vectors=True)
            rows = [record.vector for record in stored if record.vector is not None]
            matrix = np.array(rows, dtype=np.float32).reshape(len(rows), -1)
            loaded = LoadedVectors(
                [record.id for record in stored if record.vector is not None],
                matrix,
                self._description.metric,
            )
            if not names_ids(where):
                self._loaded = about, loaded
            return loaded
        return self._loaded[1]

    def _write(self, operation: edge.UpdateOperation) -> None:
        """Run ``operation``, and forget what it may have changed."""
        self._points = self._loaded = None
        with self._failures():
            self._shard.update(operation)

    def retrieve(
        self, ids: Sequence[PointId], *, payloads: bool = True, vectors: bool = False
    ) -> list[Record]:
        """Fetch stored points in the order of ``ids``; ids that do not exist are left out."""
        wanted = checked_ids(ids)
        found = {plain_id(point.id): point for point in self._stored(wanted, payloads, vectors)}
        return [
            Record(i, found[i].payload or {}, self._vector_of(found[i].vector))
            for i in wanted
            if i in found
        ]

    def existing(self, ids: Sequence[PointId]) -> set[PointId]:
        """Which of ``ids`` are stored."""
        return {plain_id(point.id) for point in self._stored(checked_ids(ids), False, False)}

    def _stored(self, ids: list[PointId], payloads: bool, vectors: bool) -> list[edge.Record]:
        with self._failures():
            return self._shard.retrieve(
                [edge_id(i) for i in ids], with_payload=payloads, with_vector=vectors
            )

    def scroll_ids(self, where: Filter | None = None) -> Iterator[list[PointId]]:
        """All ids, page by page, in ascending order (numbers before UUIDs)."""
        condition = edge_filter(where)
        offset = None
        while True:
            with self._failures():
                page, offset = self._shard.scroll(
                    edge.ScrollRequest(
                        offset=offset,
                        limit=SCROLL_PAGE,
                        filter=condition,
                        with_payload=False,
                        with_vector=False,
                    )
                )
            if page:
                yield [plain_id(point.id) for point in page]
            if offset is None:
                return

    def upsert(
        self,
        ids: Sequence[PointId],
        vectors: Float32Array,
        payloads: Sequence[Payload] | None = None,
    ) -> None:
        """Insert or replace points; they are in the write-ahead log on return."""
        info = self._description
        rows = checked_vectors(vectors, info.dimension, info.metric)
        point_ids = checked_ids(ids)
        for start in range(0, len(rows), UPSERT_BATCH):
            batch = slice(start, start + UPSERT_BATCH)
            points = [
                edge.Point(
                    edge_id(point_id),
                    {info.vector: row} if info.vector else row,
                    payloads[start + k] if payloads is not None else None,
                )
                for k, (point_id, row) in enumerate(
                    zip(point_ids[batch], rows[batch].tolist(), strict=True)
                )
            ]
            self._write(edge.UpdateOperation.upsert_points(points))

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points; ids that do not exist are ignored."""
        gone: list[int | UUID | str] = [edge_id(i) for i in checked_ids(ids)]
        self._write(edge.UpdateOperation.delete_points(gone))

    def set_payload(self, key: str, ids: Sequence[PointId], values: Sequence[Payload]) -> None:
        """Set fields of the object at the payload path ``key``, other values for each point."""
        stored = self.existing(ids)
        for point_id, value in zip(checked_ids(ids), values, strict=True):
            if point_id in stored:
                self._write(edge.UpdateOperation.set_payload([edge_id(point_id)], value, key=key))

    def delete_payload(self, key: str, ids: Sequence[PointId]) -> None:
        """Delete what is at the payload path ``key``; ids that do not exist are ignored."""
        stored: list[int | UUID | str] = [edge_id(point_id) for point_id in self.existing(ids)]
        self._write(edge.UpdateOperation.delete_payload(stored, [key]))

    def largest(self, field: str) -> int | float | str | None:
        """The largest number, or latest date, that any point has in ``field``."""
        with self._failures():
            found, _ = self._shard.scroll(
                edge.ScrollRequest(
                    limit=1,
                    order_by=edge.OrderBy(field, direction=edge.Direction.Desc),
                    with_payload=[field],
                    with_vector=False,
                )
            )
        return largest_in(found[0].payload if found else None, field)

    def index_payload(self, field: str) -> None:
        """Make a range index on an integer payload field."""
        schema = edge.IntegerIndexParams(lookup=False, range=True, enable_hnsw=False)
        self._write(edge.UpdateOperation.create_field_index(field, schema))

    def _vector_of(self, stored: Any) -> Float32Array | None:
        row = stored.get(self._description.vector) if isinstance(stored, dict) else stored
        return None if row is None else np.array(row, dtype=np.float32)

    def _failures(self) -> AbstractContextManager[None]:
        return edge_failures(self._description.location, self._description.name)


def edge_id(point_id: PointId) -> int | UUID:
    """The id as the engine wants it."""
    return UUID(point_id) if isinstance(point_id, str) else point_id


def names_ids(where: Filter | None) -> bool:
    """Whether ``where`` asks for points by their ids, as a repair does: another set each time."""
    return where is not None and any("has_id" in condition for condition in where.get("must", ()))


def plain_id(point_id: int | UUID | str) -> PointId:
    """The id as the rest of the package knows it."""
    return point_id if isinstance(point_id, int) else str(point_id)
