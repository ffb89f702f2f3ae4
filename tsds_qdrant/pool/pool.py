"""The vectors of candidates, as far as a selection can work with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from tsds_qdrant.arrays import BoolArray, Float32Array
from tsds_qdrant.collections.distance import shortened
from tsds_qdrant.collections.lengths import (
    check_unit_length,
    is_zero,
    needs_direction,
    tolerance_of,
)
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo, PointId, Record
from tsds_qdrant.errors import UnsupportedCollectionError

VECTOR_PAGE = 1_000


def with_direction(records: Iterable[Record], info: CollectionInfo) -> list[Record]:
    """Those of ``records`` that have a vector, and one that is not zero where that matters.

    Under Dot all become unit vectors, from the one length that those of ``info`` have, unless any
    length is wanted.

    Raises:
        UnsupportedCollectionError: a vector under Dot has another length.
    """
    found = [record for record in records if record.vector is not None]
    if needs_direction(info.metric):
        found = [one for one in found if one.vector is not None and not is_zero(one.vector)]
    if info.metric == "Dot" and not info.any_length:
        found = as_directions(found, info)
        check_unit_length(found, f"collection '{info.name}'", tolerance_of(info))
    return found


def as_directions(records: list[Record], info: CollectionInfo) -> list[Record]:
    """``records`` with unit vectors in the place of those of the length that ``info`` says."""
    if info.length == 1.0:
        return records
    return [
        record
        if record.vector is None
        else replace(record, vector=shortened(record.vector[None, :], info.length)[0])
        for record in records
    ]


def vectors_found(
    collection: Collection, ids: Sequence[PointId], info: CollectionInfo
) -> tuple[BoolArray, Float32Array]:
    """(n,) which of ``ids`` have a usable vector now, and their (k, D) vectors, page by page.

    Raises:
        UnsupportedCollectionError: see :func:`with_direction`.
    """
    pages = [np.empty((0, info.dimension), dtype=np.float32)]
    has = np.zeros(len(ids), dtype=np.bool_)
    for start in range(0, len(ids), VECTOR_PAGE):
        wanted = ids[start : start + VECTOR_PAGE]
        records = collection.retrieve(wanted, payloads=False, vectors=True)
        found = {record.id: record.vector for record in with_direction(records, info)}
        has[start : start + VECTOR_PAGE] = [point_id in found for point_id in wanted]
        rows = [row for point_id in wanted if (row := found.get(point_id)) is not None]
        if rows:
            pages.append(np.stack(rows))
    return has, np.concatenate(pages)


def vectors_of(
    collection: Collection, ids: Sequence[PointId], info: CollectionInfo
) -> Float32Array:
    """(n, D) stored vectors of ``ids``.

    Raises:
        UnsupportedCollectionError: a point has none, or one of zeros under Cosine or Dot, or has
            been deleted meanwhile; or see :func:`with_direction`.
    """
    has, rows = vectors_found(collection, ids, info)
    if not has.all():
        lost = ids[int(np.argmin(has))]
        raise UnsupportedCollectionError(
            f"point {lost} of collection '{info.name}' was chosen, but has no vector "
            f"{info.named} now, or one of zeros; select again, or delete that point"
        )
    return rows
