"""The points of a collection on a server, counted and read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from qdrant_client import QdrantClient, models

from tsds_qdrant.collections.cluster import Cluster
from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.ids import checked_ids, largest_in
from tsds_qdrant.collections.limits import conditions
from tsds_qdrant.collections.ordered import Valued, ordered_pages, ordering
from tsds_qdrant.collections.server.cluster import agreed_counts, fetch_cluster
from tsds_qdrant.collections.server.fetching import ServerFetches, shown_fields
from tsds_qdrant.collections.server.plain import Page, page_by_grpc, page_by_rest
from tsds_qdrant.collections.values import Filter, PointId, Record, Wanted
from tsds_qdrant.errors import RequestRejectedError

SCROLL_PAGE = 10_000
ID_PAGE = 50_000
"""Ids of one page in bare form, behind the first one, which is all that many ask for."""
FACET_VALUES = 100_000


class ServerReads(ServerFetches):
    """What :class:`Collection` reads of points, except by searching them."""

    def count(self, where: Filter | None = None) -> int:
        """Count the points, exactly; by paging through their ids where exact counts are refused."""
        if not self.limits.exact:
            return sum(len(page) for page in self.scroll_ids(where))
        condition = self._condition(where)
        return self._read(
            lambda client: (
                client.count(
                    self._name, count_filter=condition, exact=True, shard_key_selector=self._key
                ).count
            ),
            where,
        )

    def fingerprint(self) -> None:
        """A server gives none to those who only read."""

    def scroll_ids(self, where: Filter | None = None) -> Iterator[list[PointId]]:
        """All ids, page by page, in ascending order (numbers before UUIDs)."""
        if self._session.local:
            for page in self._scrolled(False, where):
                yield checked_ids([point.id for point in page])
            return
        self._condition(where)
        ask = page_by_grpc if self._session.grpc else page_by_rest
        reading, most, offset = self._reading(self._key), self.limits.limit or ID_PAGE, None
        limit = min(SCROLL_PAGE, most)
        self._announce_pages(where, min(ID_PAGE, most))

        def asked(client: QdrantClient) -> Page:
            return ask(client, reading, where, limit, offset)

        while True:
            ids, offset = self._read(asked, where)
            if ids:
                yield ids
            if offset is None:
                return
            limit = min(ID_PAGE, most)

    def scroll(
        self, payloads: Wanted = True, *, where: Filter | None = None
    ) -> Iterator[list[Record]]:
        """All points without their vectors, page by page."""
        for page in self._scrolled(payloads, where):
            ids = checked_ids([point.id for point in page])
            content = self._content
            yield [Record(i, content(point.payload)) for i, point in zip(ids, page, strict=True)]

    def _scrolled(self, payloads: Wanted, where: Filter | None) -> Iterator[list[models.Record]]:
        condition = self._condition(where)
        limit = min(SCROLL_PAGE, self.limits.limit or SCROLL_PAGE)
        self._announce_pages(where, limit)
        offset: Any = None

        def page(client: QdrantClient) -> tuple[list[models.Record], Any]:
            return client.scroll(
                self._name,
                scroll_filter=condition,
                limit=limit,
                offset=offset,
                with_payload=shown_fields(payloads),
                with_vectors=False,
                shard_key_selector=self._key,
            )

        while True:
            points, offset = self._read(page, where)
            if points:
                yield points
            if offset is None:
                return

    def _announce_pages(self, where: Filter | None, limit: int) -> None:
        """Say how long it takes to page through all that match ``where``, if that is long."""
        pages = 1 if where else 1 + self._description.count // limit
        self._read_rate.announce(pages * (1 + conditions(where)))

    def facet(self, field: str, where: Filter | None = None) -> dict[str | int | bool, int]:
        """How many points have each value of ``field``."""
        if not self.limits.exact:
            raise RequestRejectedError(
                f"{self._session.place} allows no exact counts (strict mode)"
            )
        condition = self._condition(where)
        limit = min(FACET_VALUES, self.limits.limit or FACET_VALUES)
        found = self._read(
            lambda client: client.facet(
                self._name,
                field,
                facet_filter=condition,
                limit=limit,
                exact=True,
                shard_key_selector=self._key,
            ),
            where,
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
            found, _ = self._read(
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
        condition = self._condition(where)
        most = self.limits.limit

        def ask(wanted: int, start: Any) -> list[Valued]:
            order = models.OrderBy(
                key=field,
                direction=models.Direction.DESC if descending else models.Direction.ASC,
                start_from=start,
            )
            with ordering(self._session.place, field):
                points, _ = self._read(
                    lambda client: client.scroll(
                        self._name,
                        scroll_filter=condition,
                        limit=wanted,
                        order_by=order,
                        with_payload=False,
                        with_vectors=False,
                        shard_key_selector=self._key,
                    ),
                    where,
                )
            ids = checked_ids([point.id for point in points])
            values: list[Any] = [point.order_value for point in points]
            return list(zip(ids, values, strict=True))

        def equal(value: int | float) -> list[PointId]:
            among = joined(where, {"key": field, "range": {"gte": value, "lte": value}})
            return [point_id for page in self.scroll_ids(among) for point_id in page]

        return ordered_pages(
            ask,
            page=min(SCROLL_PAGE, most or SCROLL_PAGE),
            descending=descending,
            limit=limit,
            most=most,
            equal=equal if self.limits.has_room(where) else None,
        )

    def cluster(self, where: Filter | None = None) -> Cluster | None:
        """How the server keeps the collection, and whether replicas agree on those that match."""
        found = fetch_cluster(self._session)
        counts = agreed_counts(self._session, found, where, self._key)
        needed = self._description.confirmations
        return found and replace(found, counts=counts, confirmations=needed)
