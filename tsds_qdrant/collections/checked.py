"""What is to be written, checked before anything is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.distance import checked_vectors
from tsds_qdrant.collections.spaces import Space, checked_kind
from tsds_qdrant.collections.sparse import SparseRows, checked_sparse
from tsds_qdrant.collections.values import Payload
from tsds_qdrant.errors import InputError


def checked_rows(
    vectors: Float32Array | SparseRows, space: Space, name: str
) -> Float32Array | SparseRows:
    """``vectors`` for ``space`` of collection ``name``: (n, D) float32, or sparse rows.

    Raises:
        UnsupportedCollectionError: sparse rows for a dense space, or the reverse.
        InputError: as :func:`~.distance.checked_vectors` and :func:`~.sparse.checked_sparse` say.
    """
    if isinstance(vectors, SparseRows):
        checked_kind(space, "sparse", name)
        return checked_sparse(vectors)
    checked_kind(space, "dense", name)
    return checked_vectors(vectors, space.dimension or 0, space.metric, unit=False)


def check_pairs(ids: int, vectors: int, payloads: Sequence[Payload] | None = None) -> None:
    """Check that there is an id for every vector, and a payload if there are any.

    Raises:
        InputError: there is not.
    """
    if ids != vectors or (payloads is not None and len(payloads) != vectors):
        raise InputError(
            f"{ids} ids and {vectors} vectors do not belong together; "
            f"give every point an id, a vector and at most one payload"
        )


def parts_by_size(sizes: Sequence[int], *, rows: int, size: int) -> Iterator[range]:
    """Cut what has ``sizes`` into consecutive parts of at most ``rows``, and ``size`` in all.

    What is larger than ``size`` is alone in its part.
    """
    start, total = 0, 0
    for k, own in enumerate(sizes):
        if k > start and (k - start >= rows or total + own > size):
            yield range(start, k)
            start, total = k, 0
        total += own
    if start < len(sizes):
        yield range(start, len(sizes))
