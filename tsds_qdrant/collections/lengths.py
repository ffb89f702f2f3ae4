"""Lengths of stored vectors, where a distance is that of two directions.

Under Cosine and Dot a vector of zeros has no direction: its product with every other is 0, which
says nothing. Under Dot all others must be of length 1, or products are no distances.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.values import CollectionInfo, Datatype, Geometry, Record
from tsds_qdrant.errors import UnsupportedCollectionError

UNIT_SAMPLE = 256
"""Number of stored vectors that are looked at under the metric Dot before anything is searched."""
UNIT_TOLERANCE = 1e-3
"""How far from 1 the length of a vector may be under the metric Dot."""
ROUGH_TOLERANCE = 0.25
"""The same where vectors are read back roughly (Turbo datatypes); their products are better."""
PROBES = 2


def needs_direction(metric: Geometry) -> bool:
    """Whether distances are those of directions, which a vector of zeros has not."""
    return metric in ("Cosine", "Dot", "Product")


def is_zero(row: Float32Array) -> bool:
    """Whether Qdrant takes ``row`` (D,) for a vector of zeros, as one that is next to it."""
    return bool(np.square(row.astype(np.float64)).sum() < np.finfo(np.float32).eps)


def probes(dimension: int, datatype: Datatype) -> list[list[float]]:
    """Directions of which every vector but zero has a product above 0 with at least one.

    They are random and come in both signs; in uint8, where no stored number is negative, they
    are positive.
    """
    rng = np.random.default_rng(0)
    if datatype == "uint8":
        return [list(map(float, row)) for row in rng.integers(1, 255, (PROBES, dimension)).tolist()]
    rows = rng.normal(size=(PROBES, dimension)).astype(np.float32)
    return [list(map(float, row)) for row in np.concatenate([rows, -rows]).tolist()]


def tolerance_of(info: CollectionInfo) -> float:
    """How far from 1 the length of a vector of ``info`` may be under Dot."""
    return UNIT_TOLERANCE if info.recomputable else ROUGH_TOLERANCE


def check_unit_length(
    records: Iterable[Record], place: str, tolerance: float, wanted: float = 1.0
) -> None:
    """Check that vectors of a collection under Dot have the ``wanted`` length, or that of zeros.

    Raises:
        UnsupportedCollectionError: one has another, so dot products are no distances.
    """
    for record in records:
        if record.vector is None or is_zero(record.vector):
            continue
        length = float(np.linalg.norm(record.vector))
        if not abs(length / wanted - 1.0) <= tolerance:
            raise not_of_unit_length(place, record.id, f"has length {length:.4g}, not {wanted:.4g}")


def not_of_unit_length(place: str, point_id: object, fault: str) -> UnsupportedCollectionError:
    """The refusal of a collection under Dot for the sake of one point."""
    return UnsupportedCollectionError(
        f"{place} compares by dot product, and point {point_id} {fault}, so products are no "
        f"distances; use a collection with the Cosine metric"
    )
