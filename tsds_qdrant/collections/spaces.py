"""Which vectors a collection has, and which of them can be searched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.errors import (
    CollectionNotFoundError,
    UnsupportedCollectionError,
)

UNIT_SAMPLE = 256
"""So many stored vectors are looked at under the metric Dot."""
UNIT_TOLERANCE = 1e-3
"""How far from 1 the length of a vector may be under the metric Dot."""


def check_unit_length(stored: Iterable[tuple[object, Float32Array | None]], place: str) -> None:
    """Check a sample of the stored vectors of a collection under Dot.

    Raises:
        UnsupportedCollectionError: one is not of unit length, so dot products are no distances.
    """
    for point_id, row in stored:
        length = 1.0 if row is None else float(np.linalg.norm(row))
        if not abs(length - 1.0) <= UNIT_TOLERANCE:
            raise UnsupportedCollectionError(
                f"{place} compares by dot product, and point {point_id} has length "
                f"{length:.4g}, not 1, so products are no distances; use a collection with the "
                f"Cosine metric"
            )


def chosen_vector(config: Mapping[str, Any], vector: str | None, name: str) -> str:
    """The name of the dense vector to search: ``vector``, or the only one there is.

    Raises:
        CollectionNotFoundError: no vector of that name, or several and none is named.
        UnsupportedCollectionError: no dense vector, or a multivector.
    """
    vectors: Mapping[str, Any] = config.get("vectors") or {}
    if not vectors:
        raise UnsupportedCollectionError(
            f"collection '{name}' has no dense vector; selection needs one, ingest the texts anew"
        )
    names = ", ".join(f"'{n}'" if n else "an unnamed one" for n in sorted(vectors))
    if vector is None:
        if len(vectors) > 1:
            raise CollectionNotFoundError(
                f"collection '{name}' has the vectors {names}; choose one with --vector"
            )
        vector = next(iter(vectors))
    if vector not in vectors:
        raise CollectionNotFoundError(
            f"collection '{name}' has no vector '{vector}', it has {names}; "
            f"choose one with --vector"
        )
    if vectors[vector].get("multivector_config"):
        raise UnsupportedCollectionError(
            f"vector '{vector}' of collection '{name}' is a multivector; "
            f"choose a plain dense vector with --vector"
        )
    return vector
