"""The points of a collection on a server, written and deleted by id."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from qdrant_client import models

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.checked import check_pairs, checked_dense, parts_by_size
from tsds_qdrant.collections.cluster import ShardKey, check_placed
from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.ids import checked_ids
from tsds_qdrant.collections.payloads import checked_payloads, levels_of
from tsds_qdrant.collections.server.batches import Batches
from tsds_qdrant.collections.server.description import inserts_only
from tsds_qdrant.collections.server.reads import POINT_BATCH, ServerReads
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.server.upserts import Upserts
from tsds_qdrant.collections.spaces import Space, checked_kind
from tsds_qdrant.collections.values import CollectionInfo, Filter, IndexKind, Payload, PointId
from tsds_qdrant.errors import RequestRejectedError, UnconfirmedWriteError

REQUEST_FLOATS = 500_000
"""Numbers in one request: about 10 MB of JSON, a third of what Qdrant accepts by default."""
REQUEST_BYTES = 10_000_000
"""Of payloads in one request, a third of what Qdrant accepts by default."""
SPARSE_FLOATS = 1_000
"""Numbers of a sparse vector, reckoned generously."""


class ServerPoints(ServerReads):
    """What :class:`Collection` does with points, except searching them."""

    def __init__(
        self, session: Session, described: CollectionInfo, spaces: dict[str, Space]
    ) -> None:
        super().__init__(session, described, spaces)
        self._writes = self._write_batches(described)

    def _write_batches(self, described: CollectionInfo) -> Batches[Any]:
        """Requests that write vectors of the space that ``described`` names."""
        rows = min(POINT_BATCH, REQUEST_FLOATS // (described.dimension or SPARSE_FLOATS))
        return Batches(rows, self._session.line, writes=True)

    @property
    def _replicated(self) -> bool:
        """Whether points may be missing in a replica, and can be inserted there alone."""
        info = self._description
        return info.replicas > 1 and inserts_only(info.engine)

    def set_payload(self, key: str, ids: Sequence[PointId], values: Sequence[Payload]) -> None:
        """Set fields of the object at the payload path ``key``, other values for each point."""
        checked_payloads(points := checked_ids(ids), values, above=levels_of(key))
        value_of = dict(zip(points, values, strict=True))

        def operations(part: list[Any], shard_key: Any) -> list[Any]:
            return [
                models.SetPayloadOperation(
                    set_payload=models.SetPayload(
                        payload=value_of[i], key=key, shard_key=shard_key, **self._only(i)
                    )
                )
                for i in part
            ]

        self._update(list(value_of), operations, everywhere=not self._session.local)

    def _only(self, point_id: Any) -> dict[str, Any]:
        """What names one point in an operation that is to do nothing where it is not stored.

        *subtle*: an operation on its id fails in a replica that lacks it, and with it in all.
        """
        if self._session.local:  # where a filter looks at every point
            return {"points": [point_id]}
        return {"filter": models.Filter(must=[models.HasIdCondition(has_id=[point_id])])}

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

        def operations(part: list[Any], key: Any) -> list[Any]:
            wanted = [row_of[point_id] for point_id in part]
            upserts = Upserts(self._description.vector, key, points, rows, payloads)
            missing = upserts.missing(wanted) if self._replicated else []
            return missing + upserts.amended(wanted, dropped)

        for group in parts_by_size(sizes, rows=len(sizes), size=REQUEST_BYTES):
            self._update(points[group.start : group.stop], operations, "amend")

    def delete_payload(self, key: str, ids: Sequence[PointId]) -> None:
        """Delete what is at the payload path ``key``; ids that do not exist are ignored."""

        def operations(part: list[Any], shard_key: Any) -> list[Any]:
            deletion = models.DeletePayload(keys=[key], points=part, shard_key=shard_key)
            return [models.DeletePayloadOperation(delete_payload=deletion)]

        self._update(checked_ids(ids), operations)

    def clear_payload(self, key: str, where: Filter, *, by: str) -> None:
        """Delete what is at the payload path ``key`` of all points that match ``where``."""
        info = self._description
        keys: Any = info.shard_key
        if keys is None and info.shard_keys:
            keys = list(info.shard_keys)
        check_placed(info.name, info.shard_keys, keys)
        span = max(1, self.count(where))

        def write(numbers: range) -> None:
            bounds = {"gte": numbers.start, "lt": numbers.stop}
            if numbers.stop == span:  # other replicas may have larger ones
                del bounds["lt"]
            some = {**where, "must": [*where.get("must", ()), {"key": by, "range": bounds}]}
            part = server_filter(where if len(numbers) == span else some)
            deletion = models.DeletePayload(keys=[key], filter=part, shard_key=keys)
            operation: Any = models.DeletePayloadOperation(delete_payload=deletion)
            sent = self._session.client.batch_update_points(self._name, [operation], wait=True)
            self._check_confirmed(sent, f"that '{key}' is cleared")

        batches: Batches[None] = Batches(span, self._session.line, writes=True)
        batches.run(span, write)

    def _update(
        self,
        points: list[PointId],
        operations: Callable[[list[Any], Any], list[Any]],
        kind: str = "payload",
        *,
        everywhere: bool = False,
    ) -> None:
        """Send the ``operations`` on ``points`` in batches, those of one shard key together.

        What is not found is left out, unless it is to be written ``everywhere``: another replica
        may have it.
        """
        for key, group in self._by_key(points).items():
            if key is not None or self._description.shard_keys is None:
                self._update_at(key, group, operations, kind)
            elif everywhere and self._description.shard_keys:
                self._update_at(list(self._description.shard_keys), group, operations, kind)

    def _update_at(
        self,
        key: Any,
        points: list[PointId],
        operations: Callable[[list[Any], Any], list[Any]],
        kind: str,
    ) -> None:
        """Send the ``operations`` on ``points`` of one shard key.

        One point that is not stored fails a whole request; then all is sent once more without
        such points, as it does not matter how often it is done. A write that too few replicas
        confirm is repeated as it was: what one of them has says nothing of the others.

        Raises:
            UnconfirmedWriteError: a replica lacks a point that another one has.
        """

        def write(batch: range) -> None:
            part = points[batch.start : batch.stop]
            sent = self._session.client.batch_update_points(
                self._name, operations(part, key), wait=True
            )
            self._check_confirmed(sent, f"{len(part)} points")

        try:
            self._writes.run(len(points), write, kind=kind)
        except (RequestRejectedError, KeyError) as error:  # local mode raises the missing id
            stored = self.existing(points)
            left = [point_id for point_id in points if point_id in stored]
            if len(left) < len(points):
                self._update_at(key, left, operations, kind)
            elif re.search("no point with id", str(error), re.IGNORECASE):
                raise UnconfirmedWriteError(
                    f"a replica of {self._session.place} lacks points that another one has "
                    f"({error}); store them again"
                ) from error
            else:
                raise

    def _check_confirmed(self, operations: Sequence[models.UpdateResult], what: str) -> None:
        for operation in operations:
            if operation.status != models.UpdateStatus.COMPLETED:
                raise UnconfirmedWriteError(
                    f"{self._session.place} does not confirm {what} ({operation.status.value}); "
                    f"write them again"
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
        for key, group in self._by_key(checked_ids(ids)).items():
            if key is not None or self._description.shard_keys is None:
                self._write_again_at(key, group)

    def _write_again_at(self, key: ShardKey | None, points: list[Any]) -> None:
        placed: dict[str, Any] = {"shard_key_selector": key}

        def write(batch: range) -> None:
            client, part = self._session.client, points[batch.start : batch.stop]
            found = client.retrieve(
                self._name, part, with_payload=True, with_vectors=True, **placed
            )
            whole: list[Any] = [
                models.PointStruct(id=one.id, vector=vectors_of(one), payload=one.payload)
                for one in found
            ]
            if whole:
                sent = client.upsert(self._name, whole, wait=True, **placed)
                self._check_confirmed([sent], f"{len(whole)} points")

        self._writes.run(len(points), write, kind="again")

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points; ids that do not exist are ignored."""

        def operations(part: list[Any], shard_key: Any) -> list[Any]:
            gone = models.PointIdsList(points=part, shard_key=shard_key)
            return [models.DeleteOperation(delete=gone)]

        self._update(checked_ids(ids), operations, "delete", everywhere=True)


def vectors_of(point: models.Record) -> Any:
    """All vectors of a stored point, as they are written."""
    return point.vector or {}
