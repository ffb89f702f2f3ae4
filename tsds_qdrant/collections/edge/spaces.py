"""The vectors of an embedded collection: added as spaces, and written one space at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, islice
from types import MappingProxyType
from typing import Any

import qdrant_edge as edge

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.checked import check_pairs, checked_rows
from tsds_qdrant.collections.distance import checked_vectors
from tsds_qdrant.collections.edge.directory import read_metadata, write_metadata
from tsds_qdrant.collections.edge.forms import edge_id, plain_rows
from tsds_qdrant.collections.edge.points import EdgePoints
from tsds_qdrant.collections.ids import checked_ids
from tsds_qdrant.collections.spaces import (
    REPRESENTATION,
    UNIT_SAMPLE,
    Space,
    check_unit_length,
    checked_kind,
    is_new,
    plain_space,
)
from tsds_qdrant.collections.sparse import SparseRows
from tsds_qdrant.collections.values import Payload, PointId

UPSERT_BATCH = 1_000
UPSERT_FLOATS = 2_000_000
"""Numbers that are written at once, as lists of the interpreter."""


class EdgeSpaces(EdgePoints):
    """What :class:`Collection` does with spaces and the vectors in them, except searching."""

    @property
    def spaces(self) -> Mapping[str, Space]:
        """All spaces by name."""
        return MappingProxyType(self._known.spaces)

    def add_space(self, space: Space) -> None:
        """Add a dense or sparse vector that no point has yet."""
        info = self._description
        if not is_new(space, self._known.spaces, info.name):
            return
        # *subtle*: the default is kept first; a run that is killed in between leaves one space
        # and its name, not two spaces and a choice.
        metadata = read_metadata(self._path)
        if REPRESENTATION not in metadata:
            write_metadata(self._path, {**metadata, REPRESENTATION: self._known.searched})
        create = edge.UpdateOperation.create_sparse_vector(space.name)
        if space.dimension is not None:
            create = edge.UpdateOperation.create_dense_vector(
                space.name, space.dimension, getattr(edge.Distance, space.metric)
            )
        self._write(create)
        self._known.spaces[space.name] = space

    def upsert(
        self,
        ids: Sequence[PointId],
        vectors: Float32Array,
        payloads: Sequence[Payload] | None = None,
    ) -> None:
        """Insert or replace points; they are in the write-ahead log on return."""
        info = self._description
        checked_kind(self._known.spaces[info.vector], "dense", info.name)
        rows = checked_vectors(vectors, info.dimension, info.metric, unit=False)
        point_ids = checked_ids(ids)
        check_pairs(len(point_ids), len(rows), payloads)
        step = _batch_rows(info.dimension)
        for start in range(0, len(rows), step):
            part = point_ids[start : start + step]
            stored = self.existing(part) if len(self._known.spaces) > 1 else set()
            new: list[edge.Point] = []
            known: list[tuple[PointId, Any]] = []
            contents: list[Payload | None] = []
            for k, (point_id, row) in enumerate(
                zip(part, plain_rows(rows, start, start + step), strict=True), start
            ):
                content = payloads[k] if payloads is not None else None
                if point_id in stored:
                    known.append((point_id, row))
                    contents.append(content)
                else:
                    vector = {info.vector: row} if info.vector else row
                    new.append(edge.Point(edge_id(point_id), vector, content))
            if new:
                self._write(edge.UpdateOperation.upsert_points(new))
            if known:
                self._replace(known, contents)

    def _replace(
        self, points: Sequence[tuple[PointId, Any]], payloads: Sequence[Payload | None]
    ) -> None:
        """Replace the vectors of stored ``points`` in the searched space, and their payloads.

        *subtle*: the vectors first; a run that is killed in between leaves old payloads, which
        say that the points are still to be written.
        """
        self._write_vectors(points, self._description.vector)
        for (point_id, _), payload in zip(points, payloads, strict=True):
            ids: list[Any] = [edge_id(point_id)]
            self._write(edge.UpdateOperation.overwrite_payload(ids, payload or {}))

    def set_vectors(
        self,
        ids: Sequence[PointId],
        vectors: Float32Array | SparseRows,
        *,
        space: str | None = None,
    ) -> None:
        """Set the vectors of stored points in one space, and touch nothing else of them."""
        name = self._description.name
        wanted = self._description.vector if space is None else space
        own = plain_space(self._known.spaces, wanted, name)
        rows = checked_rows(vectors, own, name)
        point_ids = checked_ids(ids)
        check_pairs(len(point_ids), len(rows))
        step = _batch_rows(own.dimension)
        for start in range(0, len(rows), step):
            part = point_ids[start : start + step]
            stored = self.existing(part)
            known = [
                (point_id, row)
                for point_id, row in zip(part, plain_rows(rows, start, start + step), strict=True)
                if point_id in stored
            ]
            if known:
                self._write_vectors(known, own.name)

    def _write_vectors(self, points: Sequence[tuple[PointId, Any]], name: str) -> None:
        vectors = [edge.PointVectors(edge_id(point_id), {name: row}) for point_id, row in points]
        self._write(edge.UpdateOperation.update_vectors(vectors))

    def check_distances(self) -> None:
        """Check that scores of the searched space say distances."""
        info = self._description
        checked_kind(self._known.spaces[info.vector], "dense", info.name)
        if info.metric != "Dot":
            return
        several = len(self._known.spaces) > 1
        where = {"must": [{"has_vector": info.vector}]} if several else None
        ids = list(islice(chain.from_iterable(self.scroll_ids(where)), UNIT_SAMPLE))
        sample = self.retrieve(ids, payloads=False, vectors=True)
        check_unit_length(((record.id, record.vector) for record in sample), f"'{info.name}'")


def _batch_rows(dimension: int | None) -> int:
    """Number of vectors that are written at once."""
    return max(1, min(UPSERT_BATCH, UPSERT_FLOATS // (dimension or 1)))
