"""What the rest of the package knows about a Qdrant collection, whichever engine holds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.collections.readable import Readable
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import Filter, IndexKind, Payload, PointId, Record
from tsds_qdrant.sparse import SparseRows


class Collection(Readable, Protocol):
    """One space of one open Qdrant collection; :meth:`at` gives the other ones.

    A space is an unnamed or named dense vector, or a sparse one (Qdrant documentation, "Vectors").
    Searches, ``record.vector`` and ``upsert`` are about the *searched space*; points, payloads
    and metadata are the same in all views. A point may lack a vector of the searched space: then
    it is counted and scrolled through, but not found by a search.

    Every method raises :class:`~tsds_qdrant.errors.CollectionError` or one of its kinds, never
    an error of a Qdrant package. ``where`` is a payload filter in Qdrant's JSON form. A ``with``
    block closes the collection at its end.
    """

    @property
    def bytes_moved(self) -> int:
        """Bytes of this view's searches, questions and answers; 0 where none leaves the process."""

    def __enter__(self) -> Collection: ...

    def __exit__(self, *error: object) -> None: ...

    @property
    def spaces(self) -> Mapping[str, Space]:
        """All spaces by name; "" is the unnamed vector.

        On servers as of the last :meth:`info`, where others may add some meanwhile.
        """

    def at(self, name: str) -> Collection:
        """A view of the same open collection whose searched space is ``name``.

        What one view writes, the others read. Closing a view does nothing; closing the
        collection that was opened ends all its views.

        Raises:
            CollectionNotFoundError: no space of that name.
            UnsupportedCollectionError: a multivector.
        """

    def add_space(self, space: Space) -> None:
        """Add a named dense or sparse vector, which no point has yet.

        Nothing happens if there is an equal one. If the metadata name no default (key
        ``representation``), the space in which the collection was opened becomes it, so that
        opening it without a name still finds that one; an API key that may not write metadata
        leaves them as they are.

        Raises:
            CollectionMismatchError: one of that name has another configuration.
            SettingsError: a space without a name, a dense one without dimension, a multivector.
            UnsupportedCollectionError: a server older than 1.18.
        """

    def check_distances(self) -> None:
        """Check that scores of the searched space say distances; whoever needs those calls it.

        Raises:
            UnsupportedCollectionError: a sparse space, or the metric Dot and one of the first
                stored vectors (of all, in a small embedded collection) that is not of unit length.
        """

    def faintest(self, limit: int, where: Filter | None = None) -> list[Record]:
        """At most ``limit`` points with their vectors, those of zeros first, by an exact search.

        They are the points whose largest product with a few directions is smallest (Qdrant
        documentation, "Explore", best score of negative examples).
        """

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
        """Find the nearest points of every row of ``vectors`` (B, D) in a dense space.

        Under Dot rows and stored vectors may have any length: hits come by descending product,
        and their ``distances`` mean something only where :meth:`check_distances` passes.

        Args:
            limit: at most that many hits a row.
            max_distance: only hits at most this far away (inclusive).
            exact: scan everything instead of walking the HNSW graph.
            ef: candidates that the walk keeps (HNSW only); at least ``limit`` is used.
            on_batch: called with the number of rows done, batch by batch.

        Raises:
            UnsupportedCollectionError: the searched space is sparse.
            DepthError: the collection's limits allow no such number of hits, however asked for.
            InputError: a row of another dimension, with NaN or infinity, or of length zero under
                the Cosine metric.
        """

    def search_sparse(
        self,
        rows: SparseRows,
        *,
        limit: int,
        where: Filter | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Hits:
        """Find the points of the largest dot products with each of B ``rows`` in a sparse space.

        Always exact, in float32, with weights of either sign: ``scores`` are the products, in
        descending order, and ``distances`` are NaN. Only points that share an index with the row
        are found (Qdrant documentation, "Sparse vectors"), none by a row without entries.

        Args:
            limit: at most that many hits a row.
            on_batch: called with the number of rows done, batch by batch.

        Raises:
            UnsupportedCollectionError: the searched space is dense.
            InputError: see :func:`~tsds_qdrant.sparse.checked_sparse`.
        """

    def upsert(
        self,
        ids: Sequence[PointId],
        vectors: Float32Array,
        payloads: Sequence[Payload] | None = None,
    ) -> None:
        """Insert points, or replace their payload and their vector in the searched space.

        Vectors in other spaces stay. Returns when the points are stored.

        Raises:
            UnsupportedCollectionError: the searched space is sparse; see :meth:`set_vectors`.
            InputError: a vector of another dimension, with NaN or infinity, or of length zero
                under the Cosine metric; or a payload that could not be read back, see
                :func:`~tsds_qdrant.collections.payloads.payload_fault`. Nothing is stored then.
        """

    def amend(
        self,
        ids: Sequence[PointId],
        vectors: Float32Array,
        payloads: Sequence[Payload],
        dropped: Sequence[Sequence[str]],
    ) -> None:
        """Change vectors and some payload fields of stored points, and nothing else of them.

        The vector in the searched space is replaced, the fields of ``payloads`` are set, those
        that ``dropped`` names are deleted; other fields and vectors stay. Ids that do not exist
        are ignored. The fields are written last.

        Args:
            ids: n points.
            vectors: (n, D).
            payloads: n objects of fields.
            dropped: n lists of names of top-level fields.

        Raises:
            InputError: as :meth:`upsert`.
        """

    def set_vectors(
        self,
        ids: Sequence[PointId],
        vectors: Float32Array | SparseRows,
        *,
        space: str | None = None,
    ) -> None:
        """Set the vectors of stored points in one space, and touch nothing else of them.

        Ids that do not exist are ignored, as a point may be deleted meanwhile; count what is
        missing with the filter ``has_vector``. Returns when the vectors are stored. The embedded
        engine takes such points out of its graphs: call :meth:`optimize` at the end.

        Args:
            ids: n points.
            vectors: (n, D) for a dense space, n rows for a sparse one.
            space: its name; the searched one by default.

        Raises:
            CollectionNotFoundError: no space of that name.
            UnsupportedCollectionError: sparse rows for a dense space, or the reverse.
            InputError: vectors that :meth:`upsert` refuses too. Nothing is stored then.
        """

    def delete_vectors(self, ids: Sequence[PointId], *, space: str | None = None) -> None:
        """Delete the vectors of points in one space, and touch nothing else of them.

        Ids that do not exist, and points that have none there, are ignored.

        Args:
            ids: n points.
            space: its name; the searched one by default.

        Raises:
            CollectionNotFoundError: no space of that name.
        """

    def write_again(self, ids: Sequence[PointId]) -> None:
        """Write stored points again as they are, with all their vectors.

        So all replicas have them, which may differ after a write that was not confirmed. The
        embedded engine has none, and does nothing.
        """

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points; ids that do not exist are ignored."""

    def set_payload(self, key: str, ids: Sequence[PointId], values: Sequence[Payload]) -> None:
        """Set fields of the object at the payload path ``key``, other values for each point.

        Where ``key`` is "", fields of the payload itself are set.

        Nothing else of a payload is touched; ids that do not exist are ignored.

        Raises:
            InputError: a value that could not be read back. Nothing is changed then.
        """

    def delete_payload(self, key: str, ids: Sequence[PointId]) -> None:
        """Delete what is at the payload path ``key``; ids that do not exist are ignored."""

    def clear_payload(self, key: str, where: Filter, *, by: str) -> None:
        """Delete what is at the payload path ``key`` of all that match, in every replica.

        Where that is too much for one request, it is cut by the whole numbers, from 0 on, that
        the points that match have at the path ``by``.
        """

    def index_payload(self, field: str, kind: IndexKind = "integer") -> None:
        """Make an index on a payload field of integers, other numbers, keywords, or dates.

        Numbers and dates can be filtered by range and ordered by, keywords can be matched and
        counted (:meth:`facet`); it is not inside the HNSW graph.
        """

    def optimize(self) -> None:
        """Build the index where the engine leaves that to its user (the embedded one does)."""

    def update_metadata(self, changes: Mapping[str, Any]) -> None:
        """Keep ``changes`` with the collection, for ``info().metadata``."""

    def close(self) -> None:
        """Release the collection; neither it nor its views can be used afterwards."""
