"""The points of an embedded collection, written and deleted by id."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import qdrant_edge as edge

from tsds_qdrant.collections.edge.forms import edge_ids
from tsds_qdrant.collections.edge.room import check_room, written_bytes
from tsds_qdrant.collections.edge.vectors import EdgeVectors
from tsds_qdrant.collections.filters import edge_filter
from tsds_qdrant.collections.ids import checked_ids
from tsds_qdrant.collections.payloads import checked_payloads, levels_of
from tsds_qdrant.collections.values import (
    Filter,
    IndexKind,
    Payload,
    PointId,
)


class EdgePoints(EdgeVectors):
    """What :class:`Collection` does with points, except searching them."""

    def _write(self, operation: edge.UpdateOperation, points: int = 1, values: float = 0.0) -> None:
        """Run ``operation``, and forget what it may have changed.

        It writes vectors and payloads of ``values`` bytes to ``points``.
        """
        needed, purpose = written_bytes(points, values), f"write {points} points"
        check_room(self._place, self._path, needed, purpose, self._kept)
        self._known.forget()
        try:
            with self._failures():
                self._shard.update(operation)
        except BaseException:  # whether it was done is not known
            self._known.files.drop()
            raise

    def _kept(self) -> str:
        return f"its {self.count()} points are kept" if self.count() else "nothing is stored yet"

    def write_again(self, ids: Sequence[PointId]) -> None:
        """Nothing: there are no replicas."""

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points; ids that do not exist are ignored."""
        gone = checked_ids(ids)
        self._write(edge.UpdateOperation.delete_points(edge_ids(gone)), len(gone))
        self._known.files.remove(gone)

    def set_payload(self, key: str, ids: Sequence[PointId], values: Sequence[Payload]) -> None:
        """Set fields of the object at the payload path ``key``, or of the payload where it is "".

        Points in a row with one and the same object as their value are written at once.
        """
        points = checked_ids(ids)
        sizes = checked_payloads(points, values, above=levels_of(key))
        stored = self.existing(points)
        start = 0
        for _, alike in groupby(map(id, values)):
            stop = start + sum(1 for _ in alike)
            known = [point_id for point_id in points[start:stop] if point_id in stored]
            if known:
                operation = edge.UpdateOperation.set_payload(
                    edge_ids(known), values[start], key=key or None
                )
                self._write(operation, len(known), sizes[start] * len(known))
            start = stop

    def delete_payload(self, key: str, ids: Sequence[PointId]) -> None:
        """Delete what is at the payload path ``key``; ids that do not exist are ignored."""
        stored = edge_ids(list(self.existing(ids)))
        self._write(edge.UpdateOperation.delete_payload(stored, [key]), len(stored))

    def clear_payload(self, key: str, where: Filter, *, by: str) -> None:
        """Delete what is at the payload path ``key`` of all points that match ``where``."""
        condition = edge_filter(where)
        assert condition is not None
        operation = edge.UpdateOperation.delete_payload_by_filter(condition, [key])
        self._write(operation, self.count(where))

    def index_payload(self, field: str, kind: IndexKind = "integer") -> None:
        """Make an index on a payload field of integers, other numbers, keywords, or dates."""
        schema: Any = {
            "integer": edge.IntegerIndexParams(lookup=False, range=True, enable_hnsw=False),
            "float": edge.FloatIndexParams(enable_hnsw=False),
            "keyword": edge.KeywordIndexParams(enable_hnsw=False),
            "datetime": edge.DatetimeIndexParams(enable_hnsw=False),
        }[kind]
        self._write(edge.UpdateOperation.create_field_index(field, schema))
        self._seal()  # whoever only reads may make one, and be killed later
