"""Whether stored vectors are what Qdrant makes of those that are to be stored."""

from __future__ import annotations

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.checked import held
from tsds_qdrant.collections.distance import normalized
from tsds_qdrant.collections.values import FLOAT32, CollectionInfo, Record

SAME_VECTOR = 1e-6
"""Largest difference of a coordinate between a vector and what Qdrant stores of it."""
HALF_STEP = 2.0**-10
"""Largest step from one float16 to the next, as a share of it."""


def of_equal_vectors(
    stored: list[Record], rows: Float32Array, info: CollectionInfo
) -> list[Record]:
    """Those of ``stored`` whose vector is what Qdrant makes of their row of ``rows``.

    None of a Turbo datatype, which is read back roughly: such points are stored again.
    """
    if not info.recomputable or not stored:
        return []
    if info.datatype == FLOAT32:
        mine = normalized(rows, info.metric)
    else:
        mine = held(rows, info.metric, info.datatype)
    step = HALF_STEP if info.datatype == "float16" else 0.0
    return [
        record
        for record, row in zip(stored, mine, strict=True)
        if record.vector is not None
        and (np.abs(row - record.vector) <= SAME_VECTOR + step * np.abs(row)).all()
    ]
