"""What is to be written or searched for, checked before anything is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.distance import checked_vectors, normalized, shortened
from tsds_qdrant.collections.spaces import Space, checked_kind
from tsds_qdrant.collections.values import CollectionInfo, Datatype, Metric, Payload
from tsds_qdrant.errors import InputError
from tsds_qdrant.sparse import SparseRows, checked_sparse

HIGHEST_BYTE = 255


def held(vectors: Float32Array, metric: Metric, datatype: Datatype) -> Float32Array:
    """``vectors`` (n, D) as Qdrant holds them beside stored ones of ``datatype``.

    In uint8 cut to whole numbers from 0 to 255. In float16 rounded, under Cosine after they were
    brought to unit length. In others as they are. What is held already comes back the same.
    """
    if datatype == "uint8":
        return np.trunc(np.clip(vectors, 0, HIGHEST_BYTE))
    if datatype == "float16":
        with np.errstate(over="ignore"):
            return normalized(vectors, metric).astype(np.float16).astype(np.float32)
    return vectors


def checked_queries(
    vectors: Float32Array, info: CollectionInfo, *, what: str = "query"
) -> Float32Array:
    """``vectors`` (n, D) as searches of ``info`` compare them: see :func:`held`.

    What a user gives is checked by :func:`checked_examples` before.

    Raises:
        InputError: as :func:`~.distance.checked_vectors` says, and a row of which nothing is left
            in the collection's datatype, or that is too large for it.
    """
    rows = checked_vectors(vectors, info.dimension, info.metric, what=what, unit=False)
    if info.datatype == "float16":
        check_storable(rows, info.metric, info.datatype, what=what)
    kept = held(rows, info.metric, info.datatype)
    lost = ~kept.any(axis=1) & rows.any(axis=1)
    if info.datatype == "uint8" and lost.any():
        raise InputError(
            f"{what} {int(np.argmax(lost))} is zero once its numbers are cut to whole ones from 0 "
            f"to 255, as Qdrant does in a uint8 collection; scale it as the vectors of "
            f"collection '{info.name}' were scaled"
        )
    return kept


def checked_examples(
    vectors: Float32Array,
    info: CollectionInfo,
    *,
    what: str = "query example",
    unit: bool = True,
) -> Float32Array:
    """Vectors (n, D) that a user gives to be compared with those of ``info``, as they are compared.

    Under Dot they must have a length at which products say distances, unless lengths count
    (``info.any_length``) or are looked at later (not ``unit``).

    Raises:
        InputError: as :func:`~.distance.checked_vectors` says, or a number that the collection's
            datatype cannot hold; the message names the row, the number and its column.
    """
    wanted = np.asarray(vectors)
    if wanted.ndim == 2 and info.length != 1.0:
        wanted = shortened(wanted, info.length)
    unit = unit and not info.any_length
    rows = checked_vectors(wanted, info.dimension, info.metric, what=what, unit=unit)
    advice = f"scaled as the vectors of collection '{info.name}' are"
    check_storable(rows, info.metric, info.datatype, what=what, advice=advice)
    return held(rows, info.metric, info.datatype)


def check_made(vectors: Float32Array, info: CollectionInfo, model: str) -> None:
    """Check that the collection of ``info`` can hold ``vectors`` (n, D) that ``model`` made.

    Raises:
        InputError: it keeps bytes, and these are something else.
    """
    lost = held(vectors, info.metric, info.datatype) != vectors
    if info.datatype == "uint8" and lost.any():
        raise InputError(
            f"model '{model}' makes numbers like {vectors[lost][0]:.4g}, and collection "
            f"'{info.name}' keeps whole numbers from 0 to 255 (uint8); give ready vectors that are "
            f"scaled as its own are (.npy), or use a collection of float32"
        )


def check_storable(
    rows: Float32Array,
    metric: Metric,
    datatype: Datatype,
    *,
    what: str = "vector",
    first: int = 0,
    advice: str = "or use a collection of float32",
) -> None:
    """Check that ``rows`` (n, D) can be stored as ``datatype``.

    Raises:
        InputError: a number that it cannot hold; the message names the row (counted from
            ``first``), the number and its column.
    """
    if datatype == "uint8":
        bad = held(rows, metric, datatype) != rows
    elif datatype == "float16":
        bad = ~np.isfinite(held(rows, metric, datatype))
    else:
        return
    if bad.any():
        row, column = np.argwhere(bad)[0].tolist()
        wanted = "whole numbers from 0 to 255" if datatype == "uint8" else "numbers up to 65504"
        raise InputError(
            f"{what} {first + row} holds {rows[row, column]} in column {column}, which a "
            f"{datatype} collection cannot hold; give {wanted}, {advice}"
        )


def checked_dense(vectors: Float32Array, space: Space) -> Float32Array:
    """``vectors`` (n, D) as float32, to be stored in the dense ``space``.

    Raises:
        InputError: as :func:`~.distance.checked_vectors` and :func:`check_storable` say.
    """
    rows = checked_vectors(vectors, space.dimension or 0, space.metric, unit=False)
    check_storable(rows, space.metric, space.datatype)
    return rows


def checked_rows(
    vectors: Float32Array | SparseRows, space: Space, name: str
) -> Float32Array | SparseRows:
    """``vectors`` for ``space`` of collection ``name``: (n, D) float32, or sparse rows.

    Raises:
        UnsupportedCollectionError: sparse rows for a dense space, or the reverse.
        InputError: as :func:`checked_dense` and :func:`~.sparse.checked_sparse` say.
    """
    if isinstance(vectors, SparseRows):
        checked_kind(space, "sparse", name)
        return checked_sparse(vectors)
    checked_kind(space, "dense", name)
    return checked_dense(vectors, space)


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
