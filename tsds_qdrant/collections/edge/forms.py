"""Ids and vectors in the words of the embedded engine, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import qdrant_edge as edge

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.sparse import SparseRows


def edge_id(point_id: PointId) -> int | UUID:
    """The id as the engine wants it."""
    return UUID(point_id) if isinstance(point_id, str) else point_id


def edge_ids(ids: Sequence[PointId]) -> list[int | UUID | str]:
    """All of ``ids`` as the engine wants them."""
    return [UUID(one) if isinstance(one, str) else one for one in ids]


def plain_id(point_id: int | UUID | str) -> PointId:
    """The id as the rest of the package knows it."""
    return point_id if isinstance(point_id, int) else str(point_id)


def plain_rows(rows: Float32Array | SparseRows, start: int, stop: int) -> list[Any]:
    """The vectors from ``start`` up to ``stop`` as the engine wants them."""
    if isinstance(rows, SparseRows):
        part = rows.part(start, min(stop, len(rows)))
        return [edge.SparseVector(indices, values) for indices, values in part.pairs()]
    return list(rows[start:stop].tolist())
