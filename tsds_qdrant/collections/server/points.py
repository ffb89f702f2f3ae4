"""The points of a collection on a server, written and deleted by id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qdrant_client import models

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.checked import check_pairs, checked_dense, parts_by_size
from tsds_qdrant.collections.ids import checked_ids
from tsds_qdrant.collections.limits import Rights
from tsds_qdrant.collections.payloads import checked_payloads, levels_of, paths_of
from tsds_qdrant.collections.server.batches import Batches
from tsds_qdrant.collections.server.rates import Cost, Rate
from tsds_qdrant.collections.server.reads import POINT_BATCH, ServerReads
from tsds_qdrant.collections.server.rights import rights_of
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.spaces import Space, checked_kind
from tsds_qdrant.collections.values import CollectionInfo, IndexKind, Payload, PointId
from tsds_qdrant.errors import RequestRejectedError, UnconfirmedWriteError

REQUEST_FLOATS = 500_000
"""Numbers in one request: about 10 MB of JSON, a third of what Qdrant accepts by default."""
REQUEST_BYTES = 10_000_000
"""Of payloads in one request, a third of what Qdrant accepts by default."""
WRITES = {
    "upsert": Cost(row=1),
    "beside": Cost(row=2),
    "amend": Cost(row=3),
    "payload": Cost(row=1),
    "vectors": Cost(row=1),
    "delete": Cost(row=1),
}
"""What the writes of a point cost: Qdrant counts the points that each operation names."""
SPARSE_FLOATS = 1_000
"""Numbers of a sparse vector, reckoned generously."""


class ServerPoints(ServerReads):
    """What :class:`Collection` does with points, except searching them."""

    def __init__(
        self, session: Session, described: CollectionInfo, spaces: dict[str, Space]
    ) -> None:
        super().__init__(session, described, spaces)
        allowed, clock = described.limits.write_rate, session.patience.clock
        self._write_rate = Rate(allowed, "writes", self._name, clock)
        self._writes = self._write_batches(described)

    def rights(self) -> Rights:
        """What the key may do here; nothing is written to find out."""
        return rights_of(self._session)

    def _write_batches(self, described: CollectionInfo) -> Batches[Any]:
        """Requests that write vectors of the space that ``described`` names."""
        rows = min(
            POINT_BATCH,
            REQUEST_FLOATS // (described.dimension or SPARSE_FLOATS),
            described.limits.upsert_batch or POINT_BATCH,
        )
        session = self._session
        return Batches(rows, session.place, session.patience, writes=True, rate=self._write_rate)

    def set_payload(self, key: str, ids: Sequence[PointId], values: Sequence[Payload]) -> None:
        """Set fields of the object at the payload path ``key``, other values for each point."""
        checked_payloads(points := checked_ids(ids), values, above=levels_of(key))
        value_of = dict(zip(points, values, strict=True))

        def operations(points: list[Any]) -> list[Any]:
            return [
                models.SetPayloadOperation(
                    set_payload=models.SetPayload(payload=value_of[i], points=[i], key=key)
                )
                for i in points
            ]

        self._update(list(value_of), operations)

    def amend(
        self,
        ids: Sequence[PointId],
        vectors: Float32Array,
        payloads: Sequence[Payload],
        dropped: Sequence[Sequence[str]],
    ) -> None:
        """Change vectors and some payload fields of stored points."""
        checked_kind(self._space, "dense", self._name)
        points = checked_ids(ids)
        rows = checked_dense(vectors, self._space)
        check_pairs(len(points), len(rows), payloads)
        sizes = checked_payloads(points, payloads)
        row_of = {point_id: row for row, point_id in enumerate(points)}

        def operations(part: list[Any]) -> list[Any]:
            wanted = [row_of[point_id] for point_id in part]
            made = [vectors_operation(part, rows[wanted].tolist(), self._description.vector)]
            for point_id, row in zip(part, wanted, strict=True):
                if paths := paths_of(dropped[row]):
                    deletion = models.DeletePayload(keys=paths, points=[point_id])
                    made.append(models.DeletePayloadOperation(delete_payload=deletion))
                change = models.SetPayload(payload=payloads[row], points=[point_id])
                made.append(models.SetPayloadOperation(set_payload=change))
            return made

        for group in parts_by_size(sizes, rows=len(sizes), size=REQUEST_BYTES):
            self._update(points[group.start : group.stop], operations, "amend")

    def delete_payload(self, key: str, ids: Sequence[PointId]) -> None:
        """Delete what is at the payload path ``key``; ids that do not exist are ignored."""

        def operations(points: list[Any]) -> list[Any]:
            deletion = models.DeletePayload(keys=[key], points=points)
            return [models.DeletePayloadOperation(delete_payload=deletion)]

        self._update(checked_ids(ids), operations)

    def _update(
        self,
        points: list[PointId],
        operations: Callable[[list[Any]], list[Any]],
        kind: str = "payload",
    ) -> None:
        """Send the ``operations`` on ``points`` in batches.

        One point that is not stored fails a whole request; then all is sent once more without
        such points, as it does not matter how often it is done.
        """

        def write(batch: range) -> None:
            part = points[batch.start : batch.stop]
            sent = self._session.client.batch_update_points(self._name, operations(part), wait=True)
            self._check_confirmed(sent, len(part))

        try:
            self._writes.run(len(points), write, kind=kind, cost=WRITES[kind])
        except (RequestRejectedError, KeyError):  # local mode raises the key that it misses
            stored = self.existing(points)
            left = [point_id for point_id in points if point_id in stored]
            if len(left) == len(points):
                raise
            self._update(left, operations, kind)

    def _check_confirmed(self, operations: Sequence[models.UpdateResult], points: int) -> None:
        for operation in operations:
            if operation.status != models.UpdateStatus.COMPLETED:
                raise UnconfirmedWriteError(
                    f"{self._session.place} does not confirm {points} points "
                    f"({operation.status}); store them again"
                )

    def index_payload(self, field: str, kind: IndexKind = "integer") -> None:
        """Make an index on a payload field of integers, other numbers, or keywords.

        Local mode has no indexes, and does without.
        """
        if self._session.local:
            return
        schema: Any = {
            "integer": models.IntegerIndexParams(
                type=models.IntegerIndexType.INTEGER, lookup=False, range=True, enable_hnsw=False
            ),
            "float": models.FloatIndexParams(type=models.FloatIndexType.FLOAT, enable_hnsw=False),
            "keyword": models.KeywordIndexParams(
                type=models.KeywordIndexType.KEYWORD, enable_hnsw=False
            ),
        }[kind]
        self._session.send(
            lambda client: client.create_payload_index(self._name, field, schema, wait=True)
        )

    def write_again(self, ids: Sequence[PointId]) -> None:
        """Write stored points again as they are, with all their vectors."""
        points: list[Any] = checked_ids(ids)

        def write(batch: range) -> None:
            client, part = self._session.client, points[batch.start : batch.stop]
            found = client.retrieve(self._name, part, with_payload=True, with_vectors=True)
            whole: list[Any] = [
                models.PointStruct(id=one.id, vector=vectors_of(one), payload=one.payload)
                for one in found
            ]
            if whole:
                self._check_confirmed([client.upsert(self._name, whole, wait=True)], len(whole))

        self._writes.run(len(points), write, kind="again")

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points; ids that do not exist are ignored."""
        points: list[Any] = checked_ids(ids)
        self._writes.run(
            len(points),
            lambda rows: self._session.client.delete(
                self._name,
                models.PointIdsList(points=points[rows.start : rows.stop]),
                wait=True,
            ),
            kind="delete",
            cost=WRITES["delete"],
        )


def vectors_operation(ids: Sequence[Any], values: Sequence[Any], name: str) -> Any:
    """The operation that sets ``values``, dense or sparse vectors, of ``ids`` in space ``name``."""
    points = [
        models.PointVectors(id=point_id, vector={name: value})
        for point_id, value in zip(ids, values, strict=True)
    ]
    return models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(points=points))


def vectors_of(point: models.Record) -> Any:
    """All vectors of a stored point, as they are written."""
    return point.vector or {}
