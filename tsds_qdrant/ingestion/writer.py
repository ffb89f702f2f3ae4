"""A writer: one ingest under way, whose points carry its name and growing numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from uuid import uuid4

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.limits import announce
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import (
    CONFIRMED,
    NUMBER_FIELD,
    STAMP_FIELD,
    STEP,
    TO_BE_STAMPED,
    WRITER_FIELD,
    Stamp,
)
from tsds_qdrant.collections.values import IndexKind, PointId, Record
from tsds_qdrant.errors import AccessDeniedError, RequestRejectedError
from tsds_qdrant.ingestion.items import Item
from tsds_qdrant.ingestion.stored import change_of

FIELDS: Mapping[str, IndexKind] = {WRITER_FIELD: "keyword", NUMBER_FIELD: "integer"}
DIGITS = 16


def index_stamps(collection: Collection) -> None:
    """Index the stamps of a collection that ``ingest`` made; others are left as they are.

    Without an index changes are found as well, by reading all points.
    """
    info = collection.info()
    if "sequence" in info.metadata:
        with suppress(AccessDeniedError, RequestRejectedError):
            for name, kind in FIELDS.items():
                if name not in info.payload_indexes:
                    collection.index_payload(name, kind)


class Writer:
    """Writes items to a collection; see :class:`~tsds_qdrant.collections.reserved.Stamp`."""

    def __init__(self, collection: Collection, items: int = 0) -> None:
        """Index the stamps on a server.

        In the embedded engine that takes as long as storing small vectors, and memory: there the
        first run that is kept does it.

        About ``items`` will be written; 0 if that is not known.
        """
        self._collection = collection
        info, rate = collection.info(), collection.limits.write_rate
        self._is_embedded = not is_server(info.location)
        self._stamp = Stamp(uuid4().hex[:DIGITS], 0)
        self._last: PointId | None = None
        announce(info.name, "writes", rate, items - (rate or 0))
        if not self._is_embedded:
            index_stamps(collection)

    def write(
        self, items: Sequence[Item], vectors: Float32Array, known: Mapping[PointId, Record]
    ) -> None:
        """Store ``items`` with their ``vectors`` (n, D); those that are ``known`` are changed."""
        stamp = self._stamp = Stamp(self._stamp.writer, self._stamp.number + STEP)
        new = [k for k, item in enumerate(items) if item.point_id not in known]
        if new:
            self._add([items[k] for k in new], vectors if len(new) == len(items) else vectors[new])
        old = [k for k, item in enumerate(items) if item.point_id in known]
        if old:
            changes = [change_of(known[items[k].point_id], items[k].payload, stamp) for k in old]
            fields, dropped = zip(*changes, strict=True)
            self._collection.amend(
                [items[k].point_id for k in old], vectors[old], list(fields), list(dropped)
            )
        self._last = items[-1].point_id

    def _add(self, items: Sequence[Item], vectors: Float32Array) -> None:
        ids = [item.point_id for item in items]
        if self._is_embedded and not any(item.payload for item in items):
            # A stamp on its way into the engine takes as long as a vector: all get one at once.
            self._collection.upsert(ids, vectors, [{STAMP_FIELD: TO_BE_STAMPED}] * len(ids))
            self._collection.set_payload(STAMP_FIELD, ids, [self._stamp.stored()] * len(ids))
            return
        payloads = [item.payload or {} for item in items]
        stamped = [{**own, STAMP_FIELD: self._stamp.of(tuple(own)).stored()} for own in payloads]
        self._collection.upsert(ids, vectors, stamped)

    def repeat(self, ids: Sequence[PointId]) -> None:
        """Write stored points again as they are, so that every replica has them."""
        self._collection.write_again(ids)
        self._collection.set_payload(STAMP_FIELD, ids, [{CONFIRMED: True} for _ in ids])

    def close(self) -> None:
        """Say at one of the points that were written last that nothing more will come."""
        if self._last is not None:
            last = {"writer": self._stamp.writer, "number": self._stamp.number + 1}
            self._collection.set_payload(STAMP_FIELD, [self._last], [last])
