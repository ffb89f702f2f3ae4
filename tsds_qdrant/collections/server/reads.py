"""The points of a collection on a server, counted and read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from qdrant_client import QdrantClient, models

from tsds_qdrant.collections.closing import Closing
from tsds_qdrant.collections.cluster import Cluster, ShardKey
from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.ids import checked_ids, largest_in
from tsds_qdrant.collections.ordered import Valued, ordered_pages, ordering
from tsds_qdrant.collections.payloads import in_order
from tsds_qdrant.collections.server.batches import Batches
from tsds_qdrant.collections.server.cluster import agreed_counts, fetch_cluster
from tsds_qdrant.collections.server.description import vector_of
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.spaces import Space, plain_space
from tsds_qdrant.collections.values import CollectionInfo, Filter, Payload, PointId, Record, Wanted
from tsds_qdrant.errors import RequestRejectedError

POINT_BATCH = 1_000
SCROLL_PAGE = 10_000
FACET_VALUES = 100_000


class ServerReads(Closing):
    """What :class:`Collection` reads of points, except by searching them."""

    def __init__(
        self, session: Session, described: CollectionInfo, spaces: dict[str, Space]
    ) -> None:
        self._session = session
        self._spaces = spaces
        self._name = session.place.collection
        self._description = described
        self._reads: Batches[list[models.Record]] = Batches(POINT_BATCH, session.line)

    @property
    def _space(self) -> Space:
        """The searched space."""
        return plain_space(self._spaces, self._description.vector, self._name)

    @property
    def _key(self) -> ShardKey | None:
        """The shard key of all that is read and written; None for all keys."""
        return self._description.shard_key

    def count(self, where: Filter | None = None) -> int:
        """Count the points, exactly."""
        condition = server_filter(where)
        return self._session.send(
            lambda client: (
                client.count(
                    self._name, count_filter=condition, exact=True, shard_key_selector=self._key
                ).count
            )
        )

    def retrieve(
        self, ids: Sequence[PointId], *, payloads: Wanted = True, vectors: bool = False
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
        for page in self._scrolled(False, where):
            yield checked_ids([point.id for point in page])

    def scroll(
        self, payloads: Wanted = True, *, where: Filter | None = None
    ) -> Iterator[list[Record]]:
        """All points without their vectors, page by page."""
        for page in self._scrolled(payloads, where):
            ids = checked_ids([point.id for point in page])
            content = self._content
            yield [Record(i, content(point.payload)) for i, point in zip(ids, page, strict=True)]

    def _scrolled(self, payloads: Wanted, where: Filter | None) -> Iterator[list[models.Record]]:
        condition = server_filter(where)
        limit = min(SCROLL_PAGE, self._description.limits.limit or SCROLL_PAGE)
        offset: Any = None

        def page(client: QdrantClient) -> tuple[list[models.Record], Any]:
            return client.scroll(
                self._name,
                scroll_filter=condition,
                limit=limit,
                offset=offset,
                with_payload=_wanted(payloads),
                with_vectors=False,
                shard_key_selector=self._key,
            )

        while True:
            points, offset = self._session.send(page)
            if points:
                yield points
            if offset is None:
                return

    def facet(self, field: str, where: Filter | None = None) -> dict[str | int | bool, int]:
        """How many points have each value of ``field``."""
        condition = server_filter(where)
        limit = min(FACET_VALUES, self._description.limits.limit or FACET_VALUES)
        found = self._session.send(
            lambda client: client.facet(
                self._name,
                field,
                facet_filter=condition,
                limit=limit,
                exact=True,
                shard_key_selector=self._key,
            )
        ).hits
        if len(found) == limit < FACET_VALUES:
            raise RequestRejectedError(
                f"{self._session.place} lists at most {limit} values of '{field}' (strict mode)"
            )
        return {hit.value: hit.count for hit in found}

    def largest(self, field: str) -> int | float | str | None:
        """The largest number, or latest date, that any point has in ``field``."""
        order = models.OrderBy(key=field, direction=models.Direction.DESC)
        with ordering(self._session.place, field):
            found, _ = self._session.send(
                lambda client: client.scroll(
                    self._name,
                    limit=1,
                    order_by=order,
                    with_payload=[field],
                    with_vectors=False,
                    shard_key_selector=self._key,
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
                        shard_key_selector=self._key,
                    )
                )
            ids = checked_ids([point.id for point in points])
            values: list[Any] = [point.order_value for point in points]
            return list(zip(ids, values, strict=True))

        page = min(SCROLL_PAGE, most or SCROLL_PAGE)
        return ordered_pages(ask, page=page, descending=descending, limit=limit, most=most)

    @property
    def _own_vectors(self) -> Any:
        """How a request asks for the vectors of the searched space alone."""
        name = self._description.vector
        return [name] if name or len(self._spaces) > 1 else True

    def cluster(self, where: Filter | None = None) -> Cluster | None:
        """How the server keeps the collection, and whether replicas agree on those that match."""
        found = fetch_cluster(self._session)
        counts = agreed_counts(self._session, found, where, self._key)
        needed = self._description.confirmations
        return found and replace(found, counts=counts, confirmations=needed)

    def _points(
        self, ids: list[PointId], *, payloads: Wanted, vectors: bool
    ) -> dict[PointId, Record]:
        return self._records(self._fetched(ids, payloads=payloads, vectors=vectors, key=self._key))

    def _records(self, points: Sequence[Any]) -> dict[PointId, Record]:
        name, content = self._description.vector, self._content
        return {
            point.id: Record(point.id, content(point.payload), *vector_of(point.vector, name))
            for point in points
        }

    def _content(self, payload: Payload | None) -> Payload:
        """``payload`` in a fixed order; local mode alone keeps that in which it was written."""
        kept = payload or {}
        return kept if self._session.local else in_order(kept)

    def _under(self, ids: Sequence[PointId], key: ShardKey | None) -> dict[PointId, Record]:
        """Points with their vectors, of one shard key."""
        return self._records(self._fetched(ids, payloads=False, vectors=True, key=key))

    def _fetched(
        self, ids: Sequence[PointId], *, payloads: Wanted, vectors: bool, key: ShardKey | None
    ) -> list[Any]:
        """Points as Qdrant gives them, of one shard key or all."""
        wanted: list[Any] = list(ids)
        pages = self._reads.run(
            len(ids),
            lambda rows: self._session.client.retrieve(
                self._name,
                wanted[rows.start : rows.stop],
                with_payload=_wanted(payloads),
                with_vectors=self._own_vectors if vectors else False,
                shard_key_selector=key,
            ),
            kind=(bool(payloads), vectors),
        )
        return [point for page in pages for point in page]

    def _by_key(self, ids: Sequence[PointId]) -> dict[ShardKey | None, list[PointId]]:
        """``ids`` by the shard key that writes to them have to name; None for those not found."""
        if self._key is not None or self._description.shard_keys is None:
            return {self._key: list(ids)} if ids else {}
        found = self._fetched(ids, payloads=False, vectors=False, key=None)
        key_of = {point.id: point.shard_key for point in found}
        groups: dict[ShardKey | None, list[PointId]] = {}
        for point_id in ids:
            groups.setdefault(key_of.get(point_id), []).append(point_id)
        return groups


def _wanted(payloads: Wanted) -> bool | list[str]:
    return payloads if isinstance(payloads, bool) else list(payloads)
