"""The points of a collection on a server: counted, read, written and deleted by id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from qdrant_client import QdrantClient, models

from tsds_qdrant.collections.closing import Closing
from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.ids import checked_ids, largest_in
from tsds_qdrant.collections.ordered import Valued, ordered_pages, ordering
from tsds_qdrant.collections.payloads import checked_payloads, levels_of
from tsds_qdrant.collections.server.batches import Batches
from tsds_qdrant.collections.server.description import vector_of
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import CollectionInfo, Filter, Payload, PointId, Record
from tsds_qdrant.errors import RequestRejectedError, UnreachableError

POINT_BATCH = 1_000
REQUEST_FLOATS = 500_000
"""Numbers in one request: about 10 MB of JSON, a third of what Qdrant accepts by default."""
SPARSE_FLOATS = 1_000
"""Numbers of a sparse vector, reckoned generously."""
SCROLL_PAGE = 10_000


class ServerPoints(Closing):
    """What :class:`Collection` does with points, except searching them."""

    def __init__(
        self, session: Session, described: CollectionInfo, spaces: dict[str, Space]
    ) -> None:
        self._session = session
        self._spaces = spaces
        self._name = session.place.collection
        self._description = described
        self._reads: Batches[list[models.Record]] = Batches(
            POINT_BATCH, session.place, session.patience
        )
        self._writes = self._write_batches(described)

    def _write_batches(self, described: CollectionInfo) -> Batches[Any]:
        """Requests that write vectors of the space that ``described`` names."""
        rows = min(POINT_BATCH, REQUEST_FLOATS // (described.dimension or SPARSE_FLOATS))
        return Batches(rows, self._session.place, self._session.patience)

    def count(self, where: Filter | None = None) -> int:
        """Count the points, exactly."""
        condition = server_filter(where)
        return self._session.send(
            lambda client: client.count(self._name, count_filter=condition, exact=True).count
        )

    def retrieve(
        self, ids: Sequence[PointId], *, payloads: bool = True, vectors: bool = False
    ) -> list[Record]:
        """Fetch stored points in the order of ``ids``; ids that do not exist are left out."""
        wanted = checked_ids(ids)
        found = self._points(wanted, payloads=payloads, vectors=vectors)
        return [found[point_id] for point_id in wanted if point_id in found]

    def existing(self, ids: Sequence[PointId]) -> set[PointId]:
        """Which of ``ids`` are stored."""
        return set(self._points(checked_ids(ids), payloads=False, vectors=False))

    def scroll_ids(self, where: Filter | None = None) -> Iterator[list[PointId]]:
        """All ids, page by page, in ascending order (numbers before UUIDs)."""
        condition = server_filter(where)
        limit = min(SCROLL_PAGE, self._description.limits.limit or SCROLL_PAGE)
        offset: Any = None

        def page(client: QdrantClient) -> tuple[list[models.Record], Any]:
            return client.scroll(
                self._name,
                scroll_filter=condition,
                limit=limit,
                offset=offset,
                with_payload=False,
                with_vectors=False,
            )

        while True:
            points, offset = self._session.send(page)
            if points:
                yield checked_ids([point.id for point in points])
            if offset is None:
                return

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
            self._writes.run(len(points), write, kind=kind)
        except (RequestRejectedError, KeyError):  # local mode raises the key that it misses
            stored = self.existing(points)
            left = [point_id for point_id in points if point_id in stored]
            if len(left) == len(points):
                raise
            self._update(left, operations, kind)

    def _check_confirmed(self, operations: Sequence[models.UpdateResult], points: int) -> None:
        for operation in operations:
            if operation.status != models.UpdateStatus.COMPLETED:
                raise UnreachableError(
                    f"{self._session.place} does not confirm {points} points "
                    f"({operation.status}); store them again"
                )

    def largest(self, field: str) -> int | float | str | None:
        """The largest number, or latest date, that any point has in ``field``."""
        order = models.OrderBy(key=field, direction=models.Direction.DESC)
        with ordering(self._session.place, field):
            found, _ = self._session.send(
                lambda client: client.scroll(
                    self._name, limit=1, order_by=order, with_payload=[field], with_vectors=False
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
        condition = server_filter(where)
        most = self._description.limits.limit

        def ask(wanted: int, start: Any) -> list[Valued]:
            order = models.OrderBy(
                key=field,
                direction=models.Direction.DESC if descending else models.Direction.ASC,
                start_from=start,
            )
            with ordering(self._session.place, field):
                points, _ = self._session.send(
                    lambda client: client.scroll(
                        self._name,
                        scroll_filter=condition,
                        limit=wanted,
                        order_by=order,
                        with_payload=False,
                        with_vectors=False,
                    )
                )
            ids = checked_ids([point.id for point in points])
            values: list[Any] = [point.order_value for point in points]
            return list(zip(ids, values, strict=True))

        page = min(SCROLL_PAGE, most or SCROLL_PAGE)
        return ordered_pages(ask, page=page, descending=descending, limit=limit, most=most)

    def index_payload(self, field: str, *, real: bool = False) -> None:
        """Make a range index on a payload field of integers, or of ``real`` numbers.

        Local mode has no indexes, and does without.
        """
        if self._session.local:
            return
        schema: Any = models.IntegerIndexParams(
            type=models.IntegerIndexType.INTEGER, lookup=False, range=True, enable_hnsw=False
        )
        if real:
            schema = models.FloatIndexParams(type=models.FloatIndexType.FLOAT, enable_hnsw=False)
        self._session.send(
            lambda client: client.create_payload_index(self._name, field, schema, wait=True)
        )

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
        )

    def _points(
        self, ids: list[PointId], *, payloads: bool, vectors: bool
    ) -> dict[PointId, Record]:
        name = self._description.vector
        own: Any = [name] if name or len(self._spaces) > 1 else True
        pages = self._reads.run(
            len(ids),
            lambda rows: self._session.client.retrieve(
                self._name,
                ids[rows.start : rows.stop],
                with_payload=payloads,
                with_vectors=own if vectors else False,
            ),
            kind=(payloads, vectors),
        )
        points: list[Any] = [point for page in pages for point in page]
        return {
            point.id: Record(point.id, point.payload or {}, *vector_of(point.vector, name))
            for point in points
        }
