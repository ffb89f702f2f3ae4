"""The candidates of a selection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.errors import UnsupportedCollectionError

VECTOR_PAGE = 1_000


def vectors_of(
    collection: Collection, ids: Sequence[PointId], info: CollectionInfo
) -> Float32Array:
    """(n, D) stored vectors of ``ids``, fetched page by page.

    Raises:
        UnsupportedCollectionError: a point has none, or has been deleted meanwhile.
    """
    pages = []
    for start in range(0, len(ids), VECTOR_PAGE):
        wanted = ids[start : start + VECTOR_PAGE]
        records = collection.retrieve(wanted, payloads=False, vectors=True)
        found = {record.id: record.vector for record in records if record.vector is not None}
        lost = [point_id for point_id in wanted if point_id not in found]
        if lost:
            raise UnsupportedCollectionError(
                f"point {lost[0]} of collection '{info.name}' was chosen and has no vector "
                f"'{info.vector}'; leave such points out with "
                f'--filter \'{{"must": [{{"has_vector": "{info.vector}"}}]}}\''
            )
        pages.append(np.stack([found[point_id] for point_id in wanted]))
    return np.concatenate(pages)
