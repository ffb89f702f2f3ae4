"""The points of a collection on a server, written and deleted by id."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from qdrant_client import models

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.checked import check_pairs, checked_dense, parts_by_size
from tsds_qdrant.collections.cluster import ShardKey, check_placed
from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.ids import checked_ids
from tsds_qdrant.collections.payloads import checked_payloads, levels_of
from tsds_qdrant.collections.server.batches import Batches
from tsds_qdrant.collections.server.description import fetch
from tsds_qdrant.collections.server.fetching import POINT_BATCH
from tsds_qdrant.collections.server.rates import Cost
from tsds_qdrant.collections.server.upserts import Upserts
from tsds_qdrant.collections.server.writes import REQUEST_BYTES, WRITES, ServerWrites
from tsds_qdrant.collections.spaces import checked_kind
from tsds_qdrant.collections.values import Filter, IndexKind, Payload, PointId

GREEN_WITHIN_S = 600.0


class ServerPoints(ServerWrites):
    """What :class:`Collection` does with points, except searching them."""

    def set_payload(self, key: str, ids: Sequence[PointId], values: Sequence[Payload]) -> None:
        """Set fields of the object at the payload path ``key``, of the payload where it is ""."""
        checked_payloads(points := checked_ids(ids), values, above=levels_of(key))
        value_of = dict(zip(points, values, strict=True))

        def operations(part: list[Any], shard_key: Any) -> list[Any]:
            return [
                models.SetPayloadOperation(
                    set_payload=models.SetPayload(
                        payload=value_of[i], key=key or None, shard_key=shard_key, **self._only(i)
                    )
                )
                for i in part
            ]

        self._update(list(value_of), operations, everywhere=not self._session.local)

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
        numbered = {"key": by, "range": {"gte": 0}}  # said by every range of numbers too

        def write(numbers: range) -> None:
            bounds = {"gte": numbers.start, "lt": numbers.stop}
            if numbers.stop == span:  # other replicas may have larger ones
                del bounds["lt"]
            tests = [one for one in where.get("must", ()) if one != numbered]
            some = {**where, "must": [*tests, {"key": by, "range": bounds}]}
            part = server_filter(where if len(numbers) == span else some)
            deletion = models.DeletePayload(keys=[key], filter=part, shard_key=keys)
            operation: Any = models.DeletePayloadOperation(delete_payload=deletion)
            sent = self._session.client.batch_update_points(self._name, [operation], wait=True)
            self._check_confirmed(sent, f"that '{key}' is cleared")

        line, rate = self._session.line, self._write_rate
        batches: Batches[None] = Batches(span, line, writes=True, rate=rate)
        batches.run(span, write, cost=WRITES["clear"])

    def index_payload(self, field: str, kind: IndexKind = "integer") -> None:
        """Make an index on a payload field of integers, other numbers, keywords, or dates.

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
            "datetime": models.DatetimeIndexParams(
                type=models.DatetimeIndexType.DATETIME, enable_hnsw=False
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

        most = self._read_rate.rows(Cost(row=1), POINT_BATCH)
        self._writes.run(len(points), write, kind="again", at_most=most, cost=WRITES["again"])

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points; ids that do not exist are ignored."""

        def operations(part: list[Any], shard_key: Any) -> list[Any]:
            gone = models.PointIdsList(points=part, shard_key=shard_key)
            return [models.DeleteOperation(delete=gone)]

        self._update(checked_ids(ids), operations, "delete", everywhere=True)

    def optimize(self) -> None:
        """Wait until the server has built its index, which it does by itself."""
        deadline = time.monotonic() + GREEN_WITHIN_S
        pause = 0.1
        while fetch(self._session).status == models.CollectionStatus.YELLOW:
            if time.monotonic() > deadline:
                return
            time.sleep(pause)
            pause = min(5.0, pause * 2)


def vectors_of(point: models.Record) -> Any:
    """All vectors of a stored point, as they are written."""
    return point.vector or {}
