"""What the rest of the package reads of the points of a Qdrant collection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.cluster import Cluster
from tsds_qdrant.collections.limits import Limits, Rights
from tsds_qdrant.collections.ordered import Valued
from tsds_qdrant.collections.values import CollectionInfo, Filter, PointId, Record, Wanted
from tsds_qdrant.collections.whole import Shape, Whole, WholePage


class Readable(Protocol):
    """The reading half of :class:`~tsds_qdrant.collections.protocol.Collection`, but searches."""

    @property
    def limits(self) -> Limits:
        """What the collection allows, as of its opening."""

    def rights(self) -> Rights:
        """What the key may do here; nothing is written to find out."""

    def info(self) -> CollectionInfo:
        """Describe the collection."""

    def count(self, where: Filter | None = None) -> int:
        """Count the points, exactly."""

    def fingerprint(self) -> str | None:
        """A text that stays the same until anything is written, by whoever; None on servers.

        It costs less than a millisecond, and lasts over closing and opening. Rebuilding an index
        or copying the collection may change it too, so only an equal one says something: points,
        payloads and vectors in all spaces are the same.
        """

    def cluster(self, where: Filter | None = None) -> Cluster | None:
        """How a server keeps the collection, and whether replicas agree on how many points match.

        None where no server does, or where it does not say so.
        """

    def retrieve(
        self, ids: Sequence[PointId], *, payloads: Wanted = True, vectors: bool = False
    ) -> list[Record]:
        """Fetch stored points in the order of ``ids``; ids that do not exist are left out.

        ``vectors`` asks for those of the searched space alone: ``record.vector`` where it is
        dense, ``record.sparse`` where it is sparse.
        """

    def vectors(self, ids: Sequence[PointId]) -> tuple[list[PointId], Float32Array]:
        """Those of ``ids`` that have a vector of the searched dense space, and these (n, D).

        In an order of their own. The embedded engine reads them from a file where it keeps one.
        """

    def existing(self, ids: Sequence[PointId]) -> set[PointId]:
        """Which of ``ids`` are stored."""

    def scroll_ids(self, where: Filter | None = None) -> Iterator[list[PointId]]:
        """All ids, page by page, in ascending order (numbers before UUIDs)."""

    def scroll(
        self, payloads: Wanted = True, *, where: Filter | None = None
    ) -> Iterator[list[Record]]:
        """All points without their vectors, page by page, in the order of :meth:`scroll_ids`."""

    def shape(self) -> Shape:
        """All of the collection but its points: what a copy of it is made with."""

    def scroll_whole(
        self, where: Filter | None = None, *, after: PointId | None = None
    ) -> Iterator[WholePage]:
        """All points with all their vectors, page by page, in the order of :meth:`scroll_ids`.

        Args:
            after: the ``following`` of the page behind which to go on.
        """

    def whole(self, ids: Sequence[PointId]) -> dict[PointId, Whole]:
        """Those of the points ``ids`` that are stored, with all their vectors."""

    def facet(self, field: str, where: Filter | None = None) -> dict[str | int | bool, int]:
        """How many points have each value of the payload ``field``.

        Exact, but for what is written meanwhile. Qdrant documentation, "Payload", "Facet counts".

        Raises:
            RequestRejectedError: the field has no index for it (see :meth:`index_payload`), or
                Qdrant may not list that many values.
        """

    def scroll_ordered(
        self,
        field: str,
        *,
        descending: bool = False,
        limit: int | None = None,
        where: Filter | None = None,
    ) -> Iterator[list[Valued]]:
        """Points in the order of the number in the payload ``field``, page by page.

        Each entry is an id and its number. A point without the field is left out; one with
        several numbers comes once for each. The order among equal numbers is open, and may
        differ between engines. Qdrant documentation, "Points", "Order points by payload key".

        Args:
            limit: at most this many entries in all.

        Raises:
            RequestRejectedError: the field has no integer or float index (local mode needs none),
                or more points share a number than strict mode lets one request ask for.
        """

    def largest(self, field: str) -> int | float | str | None:
        """The largest number, or latest date, that any point has in the payload ``field``.

        Raises:
            RequestRejectedError: the field has no index that can be ordered by.
        """
