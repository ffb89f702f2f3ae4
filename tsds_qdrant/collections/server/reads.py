"""The points of a collection on a server, counted and read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from qdrant_client import QdrantClient, models

from tsds_qdrant.collections.closing import Closing
from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.ids import checked_ids, largest_in
from tsds_qdrant.collections.limits import Limits, check_filter_limits, conditions
from tsds_qdrant.collections.ordered import Valued, ordered_pages, ordering
from tsds_qdrant.collections.server.batches import Batches
from tsds_qdrant.collections.server.description import vector_of
from tsds_qdrant.collections.server.rates import Cost, Rate
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.spaces import Space, plain_space
from tsds_qdrant.collections.values import CollectionInfo, Filter, PointId, Record, Wanted
from tsds_qdrant.errors import RequestRejectedError

T = TypeVar("T")
POINT_BATCH = 1_000
SCROLL_PAGE = 10_000
LISTED = Cost(request=2)
"""What a page of a scroll costs whose filter lists ids."""
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
        clock = session.patience.clock
        self._read_rate = Rate(described.limits.read_rate, "reads", self._name, clock)
        self._reads: Batches[list[models.Record]] = Batches(
            POINT_BATCH, session.place, session.patience, rate=self._read_rate
        )

    @property
    def limits(self) -> Limits:
        """What the collection allows, as of its opening."""
        return self._description.limits

    @property
    def _space(self) -> Space:
        """The searched space."""
        return plain_space(self._spaces, self._description.vector, self._name)

    def count(self, where: Filter | None = None) -> int:
        """Count the points, exactly; by paging through their ids where exact counts are refused."""
        if not self.limits.exact:
            return sum(len(page) for page in self.scroll_ids(where))
        condition = self._condition(where)
        return self._read(
            lambda client: client.count(self._name, count_filter=condition, exact=True).count, where
        )

    def _condition(self, where: Filter | None) -> models.Filter | None:
        """``where`` for qdrant-client.

        Raises:
            SettingsError: its form is wrong.
            RequestRejectedError: the collection allows no filter that large.
        """
        condition = server_filter(where)
        check_filter_limits(where, self.limits, self._name)
        return condition

    def _read(
        self, call: Callable[[QdrantClient], T], where: Filter | None = None, tokens: int = 1
    ) -> T:
        """Send one request that reads with the filter ``where``, once the rate allows it.

        It counts as that many ``tokens``, and one for each condition.
        """
        tokens += conditions(where)
        self._read_rate.rows(Cost(tokens), 1)
        if pause := self._read_rate.pause(tokens):
            self._session.patience.sleep(pause)
        self._read_rate.spend(tokens)
        return self._session.send(call)

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
            yield [Record(i, point.payload or {}) for i, point in zip(ids, page, strict=True)]

    def _scrolled(self, payloads: Wanted, where: Filter | None) -> Iterator[list[models.Record]]:
        condition = self._condition(where)
        limit = min(SCROLL_PAGE, self.limits.limit or SCROLL_PAGE)
        pages = 1 if where else 1 + self._description.count // limit
        self._read_rate.announce(pages * (1 + conditions(where)))
        offset: Any = None

        def page(client: QdrantClient) -> tuple[list[models.Record], Any]:
            return client.scroll(
                self._name,
                scroll_filter=condition,
                limit=limit,
                offset=offset,
                with_payload=_wanted(payloads),
                with_vectors=False,
            )

        while True:
            points, offset = self._read(page, where)
            if points:
                yield points
            if offset is None:
                return

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
                self._name, field, facet_filter=condition, limit=limit, exact=True
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
                    ),
                    where,
                )
            ids = checked_ids([point.id for point in points])
            values: list[Any] = [point.order_value for point in points]
            return list(zip(ids, values, strict=True))

        def equal(value: int | float) -> list[PointId]:
            test = {"key": field, "range": {"gte": value, "lte": value}}
            among = {"must": [test] if where is None else [where, test]}
            return [point_id for page in self.scroll_ids(among) for point_id in page]

        return ordered_pages(
            ask,
            page=min(SCROLL_PAGE, most or SCROLL_PAGE),
            descending=descending,
            limit=limit,
            most=most,
            equal=equal if self.limits.has_room(where) else None,
        )

    @property
    def _own_vectors(self) -> Any:
        """How a request asks for the vectors of the searched space alone."""
        name = self._description.vector
        return [name] if name or len(self._spaces) > 1 else True

    def _points(
        self, ids: list[PointId], *, payloads: Wanted, vectors: bool
    ) -> dict[PointId, Record]:
        name = self._description.vector
        shown: dict[str, Any] = {
            "with_payload": _wanted(payloads),
            "with_vectors": self._own_vectors if vectors else False,
        }

        def by_id(client: QdrantClient, part: list[Any]) -> list[models.Record]:
            return client.retrieve(self._name, part, **shown)

        def listed(client: QdrantClient, part: list[Any]) -> list[models.Record]:
            where = models.Filter(must=[models.HasIdCondition(has_id=part)])
            return client.scroll(self._name, where, limit=len(part), **shown)[0]

        ask, most, cost = by_id, POINT_BATCH, Cost(row=1)
        listable = self.limits.ids_listed(min(POINT_BATCH, self.limits.limit or POINT_BATCH))
        if listable > LISTED.request and LISTED.request <= (self.limits.read_rate or 0):
            ask, most, cost = listed, listable, LISTED  # as the rate counts every id otherwise
        pages = self._reads.run(
            len(ids),
            lambda rows: ask(self._session.client, ids[rows.start : rows.stop]),
            kind=(bool(payloads), vectors),
            at_most=most,
            cost=cost,
        )
        points: list[Any] = [point for page in pages for point in page]
        return {
            point.id: Record(point.id, point.payload or {}, *vector_of(point.vector, name))
            for point in points
        }


def _wanted(payloads: Wanted) -> bool | list[str]:
    return payloads if isinstance(payloads, bool) else list(payloads)
