"""The points of an embedded collection, counted and read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import qdrant_edge as edge

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.closing import Closing
from tsds_qdrant.collections.edge.directory import shard_path
from tsds_qdrant.collections.edge.failures import edge_failures
from tsds_qdrant.collections.edge.fingerprint import fingerprint_of
from tsds_qdrant.collections.edge.forms import edge_ids, plain_id
from tsds_qdrant.collections.edge.known import Known
from tsds_qdrant.collections.filters import edge_filter
from tsds_qdrant.collections.ids import checked_ids, largest_in
from tsds_qdrant.collections.limits import Limits, Rights
from tsds_qdrant.collections.ordered import Valued, ordered_pages, ordering
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.spaces import Space, plain_space
from tsds_qdrant.collections.values import (
    CollectionInfo,
    Filter,
    PointId,
    Record,
    Wanted,
)
from tsds_qdrant.sparse import SparseRows

View = TypeVar("View", bound="EdgeReads")
SCROLL_PAGE = 10_000
FACET_VALUES = 1_000_000


class EdgeReads(Closing):
    """What :class:`Collection` reads of points, except by searching them."""

    def __init__(self, known: Known, description: CollectionInfo, *, is_view: bool = True) -> None:
        """All who have the shard share what is ``known`` of it; a view does not keep it open."""
        self._shard = known.shard
        self._description = description
        self._is_view = is_view
        self._known = known
        if not is_view:
            known.users.add(self)

    def at(self: View, name: str) -> View:
        """A view of the same open shard whose searched space is ``name``."""
        space = plain_space(self._known.spaces, name, self._description.name)
        return type(self)(self._known, described(self._description, space))

    @property
    def limits(self) -> Limits:
        """The embedded engine has none."""
        return self._description.limits

    def rights(self) -> Rights:
        """Whoever has opened the collection may do everything."""
        return Rights()

    @property
    def bytes_moved(self) -> int:
        """None: the engine runs in this process."""
        return 0

    def count(self, where: Filter | None = None) -> int:
        """Count the points, exactly."""
        if where is None and self._known.points is not None:
            return self._known.points
        with self._failures():
            found = self._shard.count(edge.CountRequest(exact=True, filter=edge_filter(where)))
        if where is None:
            self._known.points = found
        return found

    def fingerprint(self) -> str | None:
        """A text that stays the same until anything is written."""
        with self._failures():
            return fingerprint_of(self._shard, self._path)

    def cluster(self, where: Filter | None = None) -> None:
        """No server keeps the collection."""

    def retrieve(
        self, ids: Sequence[PointId], *, payloads: Wanted = True, vectors: bool = False
    ) -> list[Record]:
        """Fetch stored points in the order of ``ids``; ids that do not exist are left out."""
        wanted = checked_ids(ids)
        found = {plain_id(point.id): point for point in self._stored(wanted, payloads, vectors)}
        return [
            Record(i, found[i].payload or {}, *self._own_vector(found[i].vector))
            for i in wanted
            if i in found
        ]

    def existing(self, ids: Sequence[PointId]) -> set[PointId]:
        """Which of ``ids`` are stored."""
        return {plain_id(point.id) for point in self._stored(checked_ids(ids), False, False)}

    def _stored(self, ids: list[PointId], payloads: Wanted, vectors: bool) -> list[edge.Record]:
        own = [self._description.vector] if vectors else False
        with self._failures():
            return self._shard.retrieve(
                edge_ids(ids), with_payload=_wanted(payloads), with_vector=own
            )

    def scroll_ids(self, where: Filter | None = None) -> Iterator[list[PointId]]:
        """All ids, page by page, in ascending order (numbers before UUIDs)."""
        for page in self._scrolled(False, where):
            yield [plain_id(point.id) for point in page]

    def scroll(
        self, payloads: Wanted = True, *, where: Filter | None = None
    ) -> Iterator[list[Record]]:
        """All points without their vectors, page by page."""
        for page in self._scrolled(payloads, where):
            yield [Record(plain_id(point.id), point.payload or {}) for point in page]

    def _scrolled(self, payloads: Wanted, where: Filter | None) -> Iterator[list[edge.Record]]:
        condition = edge_filter(where)
        offset = None
        while True:
            with self._failures():
                page, offset = self._shard.scroll(
                    edge.ScrollRequest(
                        offset=offset,
                        limit=SCROLL_PAGE,
                        filter=condition,
                        with_payload=_wanted(payloads),
                        with_vector=False,
                    )
                )
            if page:
                yield page
            if offset is None:
                return

    def facet(self, field: str, where: Filter | None = None) -> dict[str | int | bool, int]:
        """How many points have each value of ``field``."""
        asked = edge.FacetRequest(field, limit=FACET_VALUES, exact=True, filter=edge_filter(where))
        with self._failures():
            return {hit.value: hit.count for hit in self._shard.facet(asked).hits}

    def largest(self, field: str) -> int | float | str | None:
        """The largest number, or latest date, that any point has in ``field``."""
        with ordering(self._place, field), self._failures():
            found, _ = self._shard.scroll(
                edge.ScrollRequest(
                    limit=1,
                    order_by=edge.OrderBy(field, direction=edge.Direction.Desc),
                    with_payload=[field],
                    with_vector=False,
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
        condition = edge_filter(where)
        direction = edge.Direction.Desc if descending else edge.Direction.Asc

        def ask(wanted: int, start: Any) -> list[Valued]:
            with ordering(self._place, field), self._failures():
                points, _ = self._shard.scroll(
                    edge.ScrollRequest(
                        limit=wanted,
                        filter=condition,
                        order_by=edge.OrderBy(field, direction=direction, start_from=start),
                        with_payload=False,
                        with_vector=False,
                    )
                )
            return [(plain_id(point.id), point.order_value or 0) for point in points]

        return ordered_pages(ask, page=SCROLL_PAGE, descending=descending, limit=limit)

    def _own_vector(self, stored: Any) -> tuple[Float32Array | None, SparseRows | None]:
        """Of the vectors ``stored`` with a point, that of the searched space: dense or sparse."""
        name = self._description.vector
        if not isinstance(stored, dict):  # the unnamed one alone comes without its name
            stored = {"": stored}
        own = stored.get(name)
        if isinstance(own, edge.SparseVector):
            return None, SparseRows.of([dict(zip(own.indices, own.values, strict=True))])
        return None if own is None else np.array(own, dtype=np.float32), None

    @property
    def _path(self) -> Path:
        return shard_path(self._description.location, self._description.name)

    @property
    def _place(self) -> Place:
        return Place(self._description.location, self._description.name)

    def _failures(self) -> AbstractContextManager[None]:
        return edge_failures(self._description.location, self._description.name)


def _wanted(payloads: Wanted) -> bool | list[str]:
    return payloads if isinstance(payloads, bool) else list(payloads)


def described(description: CollectionInfo, space: Space) -> CollectionInfo:
    """``description`` as of the searched ``space``."""
    return replace(
        description,
        vector=space.name,
        dimension=space.dimension or 0,
        metric=space.metric,
        datatype=space.datatype,
        quantization=space.quantization,
    )
