"""The points of an embedded collection: counted, read, written and deleted by id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from pydantic_core import to_json

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.closing import Closing
from tsds_qdrant.collections.distance import normalized
from tsds_qdrant.collections.edge.directory import read_config, shard_path
from tsds_qdrant.collections.edge.failures import edge_failures
from tsds_qdrant.collections.edge.forms import edge_id, plain_id
from tsds_qdrant.collections.edge.known import Known, spaces_of
from tsds_qdrant.collections.edge.room import check_room, written_bytes
from tsds_qdrant.collections.edge.scan import LoadedVectors
from tsds_qdrant.collections.filters import edge_filter
from tsds_qdrant.collections.ids import checked_ids, largest_in
from tsds_qdrant.collections.ordered import Valued, ordered_pages, ordering
from tsds_qdrant.collections.payloads import checked_payloads, levels_of
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.sparse import SparseRows
from tsds_qdrant.collections.values import CollectionInfo, Filter, Payload, PointId, Record

SCROLL_PAGE = 10_000


class EdgePoints(Closing):
    """What :class:`Collection` does with points, except searching them."""

    def __init__(
        self, shard: edge.EdgeShard, description: CollectionInfo, known: Known | None = None
    ) -> None:
        """A view shares what is ``known`` with the collection that it is a view of."""
        self._shard = shard
        self._description = description
        self._is_view = known is not None
        if known is None:
            config = read_config(description.location, description.name)
            known = Known(spaces_of(config), description.vector)
        self._known = known

    @property
    def bytes_moved(self) -> int:
        """None: the engine runs in this process."""
        return 0

    def count(self, where: Filter | None = None) -> int:
        """Count the points, exactly."""
        if where is None and self._known.points is not None:
            return self._known.points
        with self._failures():
            found = self._shard.count(edge.CountRequest(exact=True, filter=edge_filter(where)))
        if where is None:
            self._known.points = found
        return found

    def loaded(self, where: Filter | None) -> LoadedVectors:
        """All vectors that match ``where``, kept until something is written."""
        about, info = to_json(where).decode(), self._description
        kept = self._known.loaded.get(info.vector)
        if kept is not None and kept[0] == about:
            return kept[1]
        ids = list(chain.from_iterable(self.scroll_ids(where)))
        stored = self.retrieve(ids, payloads=False, vectors=True)
        rows = [record.vector for record in stored if record.vector is not None]
        matrix = np.array(rows, dtype=np.float32).reshape(len(rows), info.dimension)
        if info.datatype == "uint8":  # alone not brought to unit length when it is stored
            matrix = normalized(matrix, info.metric)
        ids = [record.id for record in stored if record.vector is not None]
        loaded = LoadedVectors(ids, matrix, info.geometry)
        if not names_ids(where):
            self._known.loaded[info.vector] = about, loaded
        return loaded

    def _write(self, operation: edge.UpdateOperation, points: int = 1, values: float = 0.0) -> None:
        """Run ``operation``, and forget what it may have changed.

        It writes vectors and payloads of ``values`` bytes to ``points``.
        """
        needed, purpose = written_bytes(points, values), f"write {points} points"
        check_room(self._place, self._path, needed, purpose, self._kept)
        self._known.forget()
        with self._failures():
            self._shard.update(operation)

    def _kept(self) -> str:
        return f"its {self.count()} points are kept" if self.count() else "nothing is stored yet"

    def retrieve(
        self, ids: Sequence[PointId], *, payloads: bool = True, vectors: bool = False
    ) -> list[Record]:
        """Fetch stored points in the order of ``ids``; ids that do not exist are left out."""
        wanted = checked_ids(ids)
        found = {plain_id(point.id): point for point in self._stored(wanted, payloads, vectors)}
        return [
            Record(i, found[i].payload or {}, *self._own_vector(found[i].vector))
            for i in wanted
            if i in found
        ]

    def existing(self, ids: Sequence[PointId]) -> set[PointId]:
        """Which of ``ids`` are stored."""
        return {plain_id(point.id) for point in self._stored(checked_ids(ids), False, False)}

    def _stored(self, ids: list[PointId], payloads: bool, vectors: bool) -> list[edge.Record]:
        own = [self._description.vector] if vectors else False
        with self._failures():
            return self._shard.retrieve(
                [edge_id(i) for i in ids], with_payload=payloads, with_vector=own
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

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points; ids that do not exist are ignored."""
        gone: list[int | UUID | str] = [edge_id(i) for i in checked_ids(ids)]
        self._write(edge.UpdateOperation.delete_points(gone), len(gone))

    def set_payload(self, key: str, ids: Sequence[PointId], values: Sequence[Payload]) -> None:
        """Set fields of the object at the payload path ``key``, other values for each point."""
        points = checked_ids(ids)
        sizes = checked_payloads(points, values, above=levels_of(key))
        stored = self.existing(points)
        for point_id, value, size in zip(points, values, sizes, strict=True):
            if point_id in stored:
                operation = edge.UpdateOperation.set_payload([edge_id(point_id)], value, key=key)
                self._write(operation, values=size)

    def delete_payload(self, key: str, ids: Sequence[PointId]) -> None:
        """Delete what is at the payload path ``key``; ids that do not exist are ignored."""
        stored: list[int | UUID | str] = [edge_id(point_id) for point_id in self.existing(ids)]
        self._write(edge.UpdateOperation.delete_payload(stored, [key]), len(stored))

    def largest(self, field: str) -> int | float | str | None:
        """The largest number, or latest date, that any point has in ``field``."""
        with ordering(self._place, field), self._failures():
            found, _ = self._shard.scroll(
                edge.ScrollRequest(
                    limit=1,
                    order_by=edge.OrderBy(field, direction=edge.Direction.Desc),
                    with_payload=[field],
                    with_vector=False,
                )
            )
        return largest_in(found[0].payload if found else None, field)

    def scroll_ordered(
        self,
        field: str,
        *,
        descending: bool = False,
        limit: int | None = None,
        where: Filter | None = None,
    ) -> Iterator[list[Valued]]:
        """Points in the order of the number in ``field``, with that number, page by page."""
        condition = edge_filter(where)
        direction = edge.Direction.Desc if descending else edge.Direction.Asc

        def ask(wanted: int, start: Any) -> list[Valued]:
            with ordering(self._place, field), self._failures():
                points, _ = self._shard.scroll(
                    edge.ScrollRequest(
                        limit=wanted,
                        filter=condition,
                        order_by=edge.OrderBy(field, direction=direction, start_from=start),
                        with_payload=False,
                        with_vector=False,
                    )
                )
            return [(plain_id(point.id), point.order_value or 0) for point in points]

        return ordered_pages(ask, page=SCROLL_PAGE, descending=descending, limit=limit)

    def index_payload(self, field: str, *, real: bool = False) -> None:
        """Make a range index on a payload field of integers, or of ``real`` numbers."""
        schema: Any = edge.IntegerIndexParams(lookup=False, range=True, enable_hnsw=False)
        if real:
            schema = edge.FloatIndexParams(enable_hnsw=False)
        self._write(edge.UpdateOperation.create_field_index(field, schema))

    def _own_vector(self, stored: Any) -> tuple[Float32Array | None, SparseRows | None]:
        """Of the vectors ``stored`` with a point, that of the searched space: dense or sparse."""
        name = self._description.vector
        if not isinstance(stored, dict):  # the unnamed one alone comes without its name
            stored = {"": stored}
        own = stored.get(name)
        if isinstance(own, edge.SparseVector):
            return None, SparseRows.of([dict(zip(own.indices, own.values, strict=True))])
        return None if own is None else np.array(own, dtype=np.float32), None

    @property
    def _path(self) -> Path:
        return shard_path(self._description.location, self._description.name)

    @property
    def _place(self) -> Place:
        return Place(self._description.location, self._description.name)

    def _failures(self) -> AbstractContextManager[None]:
        return edge_failures(self._description.location, self._description.name)


def names_ids(where: Filter | None) -> bool:
    """Whether ``where`` asks for points by their ids, as a repair does: another set each time."""
    return where is not None and any("has_id" in condition for condition in where.get("must", ()))
