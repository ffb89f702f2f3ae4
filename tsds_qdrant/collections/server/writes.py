"""How points of a collection on a server are written: in batches, by shard key, confirmed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from qdrant_client import models

from tsds_qdrant.collections.limits import Rights
from tsds_qdrant.collections.server.batches import Batches
from tsds_qdrant.collections.server.description import inserts_only
from tsds_qdrant.collections.server.fetching import POINT_BATCH
from tsds_qdrant.collections.server.rates import Cost, Rate
from tsds_qdrant.collections.server.reads import ServerReads
from tsds_qdrant.collections.server.rights import rights_of
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.errors import RequestRejectedError, UnconfirmedWriteError

REQUEST_FLOATS = 500_000
"""Numbers in one request: about 10 MB of JSON, a third of what Qdrant accepts by default."""
REQUEST_BYTES = 10_000_000
"""Of payloads in one request, a third of what Qdrant accepts by default."""
WRITES = {
    "upsert": Cost(row=1),
    "beside": Cost(row=3),
    "amend": Cost(row=4),
    "payload": Cost(row=1),
    "clear": Cost(row=1),
    "vectors": Cost(row=1),
    "again": Cost(row=1),
    "delete": Cost(row=1),
}
"""What the writes of a point cost at most: Qdrant counts the points that each operation names."""
SPARSE_FLOATS = 1_000
"""Numbers of a sparse vector, reckoned generously."""


class ServerWrites(ServerReads):
    """What all that writes to a server goes by."""

    def __init__(
        self, session: Session, described: CollectionInfo, spaces: dict[str, Space]
    ) -> None:
        super().__init__(session, described, spaces)
        allowed, clock = described.limits.write_rate, session.line.now
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
        return Batches(rows, session.line, writes=True, rate=self._write_rate)

    @property
    def _replicated(self) -> bool:
        """Whether points may be missing in a replica, and can be inserted there alone."""
        info = self._description
        return info.replicas > 1 and inserts_only(info.engine)

    def _only(self, point_id: Any) -> dict[str, Any]:
        """What names one point in an operation that is to do nothing where it is not stored.

        *subtle*: an operation on its id fails in a replica that lacks it, and with it in all. So
        it is one where a filter would look at every point, or none is allowed.
        """
        if self._session.local or 0 in (self.limits.conditions, self.limits.condition_size):
            return {"points": [point_id]}
        return {"filter": models.Filter(must=[models.HasIdCondition(has_id=[point_id])])}

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
            self._writes.run(len(points), write, kind=kind, cost=WRITES[kind])
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
