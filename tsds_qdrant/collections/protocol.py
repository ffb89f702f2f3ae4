"""What the rest of the package knows about a Qdrant collection, whichever engine holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.collections.values import CollectionInfo, Filter, Payload, PointId, Record


class Collection(Protocol):
    """One vector of one Qdrant collection.

    Every method raises :class:`~tsds_qdrant.errors.CollectionError` or one of its kinds, never
    an error of a Qdrant package. ``where`` is a payload filter in Qdrant's JSON form. A ``with``
    block closes the collection at its end.
    """

    @property
    def bytes_moved(self) -> int:
        """Bytes of all searches so far, questions and answers; 0 where none leaves the process."""

    def __enter__(self) -> Collection: ...

    def __exit__(self, *error: object) -> None: ...

    def info(self) -> CollectionInfo:
        """Describe the collection."""

    def count(self, where: Filter | None = None) -> int:
        """Count the points, exactly."""

    def search(
        self,
        vectors: Float32Array,
        *,
        limit: int,
        max_distance: float | None = None,
        exact: bool = False,
        ef: int | None = None,
        where: Filter | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Hits:
        """Find the nearest points of every row of ``vectors`` (B, D).

        Args:
            limit: at most that many hits a row.
            max_distance: only hits at most this far away (inclusive).
            exact: scan everything instead of walking the HNSW graph.
            ef: candidates that the walk keeps (HNSW only); at least ``limit`` is used.
            on_batch: called with the number of rows done, batch by batch.
        """

    def retrieve(
        self, ids: Sequence[PointId], *, payloads: bool = True, vectors: bool = False
    ) -> list[Record]:
        """Fetch stored points in the order of ``ids``; ids that do not exist are left out."""

    def existing(self, ids: Sequence[PointId]) -> set[PointId]:
        """Which of ``ids`` are stored."""

    def scroll_ids(self, where: Filter | None = None) -> Iterator[list[PointId]]:
        """All ids, page by page, in ascending order (numbers before UUIDs)."""

    def upsert(
        self,
        ids: Sequence[PointId],
        vectors: Float32Array,
        payloads: Sequence[Payload] | None = None,
    ) -> None:
        """Insert or replace points; returns when they are stored.

        Raises:
            InputError: a vector of another dimension, with NaN or infinity, or of length zero
                under the Cosine metric. Nothing is stored then.
        """

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points; ids that do not exist are ignored."""

    def set_payload(self, key: str, ids: Sequence[PointId], values: Sequence[Payload]) -> None:
        """Set fields of the object at the payload path ``key``, other values for each point.

        Nothing else of a payload is touched; ids that do not exist are ignored.
        """

    def delete_payload(self, key: str, ids: Sequence[PointId]) -> None:
        """Delete what is at the payload path ``key``; ids that do not exist are ignored."""

    def largest(self, field: str) -> int | float | str | None:
        """The largest number, or latest date, that any point has in the payload ``field``.

        Raises:
            RequestRejectedError: the field has no index that can be ordered by.
        """

    def index_payload(self, field: str) -> None:
        """Make a range index on an integer payload field, to filter by; not inside the graph."""

    def optimize(self) -> None:
        """Build the index where the engine leaves that to its user (the embedded one does)."""

    def update_metadata(self, changes: Mapping[str, Any]) -> None:
        """Keep ``changes`` with the collection, for ``info().metadata``."""

    def close(self) -> None:
        """Release the collection; it cannot be used afterwards."""
