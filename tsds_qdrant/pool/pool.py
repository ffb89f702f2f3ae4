"""The candidates of a selection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsds_qdrant.arrays import BoolArray, Float32Array
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.errors import UnsupportedCollectionError

VECTOR_PAGE = 1_000


def vectors_found(
    collection: Collection, ids: Sequence[PointId], info: CollectionInfo
) -> tuple[BoolArray, Float32Array]:
    """(n,) which of ``ids`` have a vector now, and their (k, D) vectors, fetched page by page."""
    pages = [np.empty((0, info.dimension), dtype=np.float32)]
    has = np.zeros(len(ids), dtype=np.bool_)
    for start in range(0, len(ids), VECTOR_PAGE):
        wanted = ids[start : start + VECTOR_PAGE]
        records = collection.retrieve(wanted, payloads=False, vectors=True)
        found = {record.id: record.vector for record in records if record.vector is not None}
        has[start : start + VECTOR_PAGE] = [point_id in found for point_id in wanted]
        if found:
            pages.append(np.stack([found[point_id] for point_id in wanted if point_id in found]))
    return has, np.concatenate(pages)


def vectors_of(
    collection: Collection, ids: Sequence[PointId], info: CollectionInfo
) -> Float32Array:
    """(n, D) stored vectors of ``ids``.

    Raises:
        UnsupportedCollectionError: a point has none, or has been deleted meanwhile.
    """
    has, rows = vectors_found(collection, ids, info)
    if not has.all():
        raise UnsupportedCollectionError(
            f"point {ids[int(np.argmin(has))]} of collection '{info.name}' was chosen and has no "
            f"vector '{info.vector}'; leave such points out with "
            f'--filter \'{{"must": [{{"has_vector": "{info.vector}"}}]}}\''
        )
    return rows
