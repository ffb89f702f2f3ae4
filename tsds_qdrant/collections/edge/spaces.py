"""The vectors of an embedded collection: added as spaces, and written one space at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import qdrant_edge as edge

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.checked import (
    check_pairs,
    checked_dense,
    checked_rows,
    parts_by_size,
)
from tsds_qdrant.collections.edge.directory import read_metadata, write_metadata
from tsds_qdrant.collections.edge.forms import edge_id, edge_ids, plain_rows
from tsds_qdrant.collections.edge.points import EdgePoints
from tsds_qdrant.collections.ids import checked_ids
from tsds_qdrant.collections.payloads import checked_payloads, paths_of
from tsds_qdrant.collections.reserved import REPRESENTATION
from tsds_qdrant.collections.spaces import (
    Space,
    checked_kind,
    is_new,
    plain_space,
)
from tsds_qdrant.collections.values import FLOAT32, Payload, PointId
from tsds_qdrant.sparse import SparseRows

UPSERT_BATCH = 1_000
UPSERT_FLOATS = 150_000
"""Numbers that are written at once, as lists of the interpreter: no faster way in (an array costs
twice as much). Where they pass a processor's cache, making them takes twice the time."""
OPERATION_BYTES = 8_000_000
"""Of vectors and payloads written at once, which the engine holds several times in memory."""
FLOAT_BYTES = 4
SPARSE_FLOATS = 1_000
"""Numbers of a sparse vector, reckoned generously."""


class Written(NamedTuple):
    """Points to be written: ids, vectors as the engine wants them, payloads, bytes of both."""

    ids: Sequence[PointId]
    rows: Sequence[Any]
    payloads: Sequence[Payload]
    sizes: Sequence[int]

    def of(self, which: Sequence[int]) -> Written:
        """Those of the points that ``which`` counts up."""
        return Written(
            [self.ids[k] for k in which],
            [self.rows[k] for k in which],
            [self.payloads[k] for k in which],
            [self.sizes[k] for k in which],
        )


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
        modifier = edge.Modifier.Idf if space.idf else None
        create = edge.UpdateOperation.create_sparse_vector(space.name, modifier=modifier)
        if space.dimension is not None:
            datatype = None
            if space.datatype != FLOAT32:
                datatype = getattr(edge.VectorStorageDatatype, space.datatype.capitalize())
            create = edge.UpdateOperation.create_dense_vector(
                space.name,
                space.dimension,
                getattr(edge.Distance, space.metric),
                datatype=datatype,
            )
        self._write(create)
        self._known.spaces[space.name] = space
        self._begin(space)

    def upsert(
        self,
        ids: Sequence[PointId],
        vectors: Float32Array,
        payloads: Sequence[Payload] | None = None,
    ) -> None:
        """Insert or replace points; they are in the write-ahead log on return."""
        info = self._description
        checked_kind(self._known.spaces[info.vector], "dense", info.name)
        own_space = self._known.spaces[info.vector]
        rows = self._sent(checked_dense(vectors, own_space), own_space)
        point_ids = checked_ids(ids)
        check_pairs(len(point_ids), len(rows), payloads)
        # Whoever brings no payload takes away the one that is stored.
        contents = [{} for _ in point_ids] if payloads is None else payloads
        sizes = [
            size + FLOAT_BYTES * info.dimension for size in checked_payloads(point_ids, contents)
        ]
        step = _batch_rows(info.dimension)
        if not (self._known.filled or self.count()):
            self._begin(*self._known.spaces.values())
        self._known.filled = True
        for part in parts_by_size(sizes, rows=step, size=OPERATION_BYTES):
            own = slice(part.start, part.stop)
            written = Written(
                point_ids[own],
                plain_rows(rows, part.start, part.stop),
                contents[own],
                sizes[own],
            )
            several = len(self._known.spaces) > 1
            stored = self.existing(written.ids) if several else set()
            if stored:
                new = [k for k, one in enumerate(written.ids) if one not in stored]
                self._insert(written.of(new))
                self._replace(written.of([k for k, one in enumerate(written.ids) if one in stored]))
            else:
                self._insert(written)
            self._follow(written.ids, rows[own], own_space)

    def _insert(self, points: Written) -> None:
        """Insert ``points``, or replace them whole."""
        if not points.ids:
            return
        name = self._description.vector
        made = [
            edge.Point(point_id, {name: row} if name else row, payload)
            for point_id, row, payload in zip(
                edge_ids(points.ids), points.rows, points.payloads, strict=True
            )
        ]
        operation = edge.UpdateOperation.upsert_points(made)
        self._write(operation, len(made), sum(points.sizes))

    def _replace(self, points: Written) -> None:
        """Replace the vectors of stored ``points`` in the searched space, and their payloads.

        *subtle*: the vectors first; a run that is killed in between leaves old payloads, which
        say that the points are still to be written.
        """
        vectors = list(zip(points.ids, points.rows, strict=True))
        self._write_vectors(vectors, self._description.vector)
        given = zip(points.ids, points.payloads, points.sizes, strict=True)
        for point_id, payload, size in given:
            ids = edge_ids([point_id])
            self._write(edge.UpdateOperation.overwrite_payload(ids, payload), values=size)

    def amend(
        self,
        ids: Sequence[PointId],
        vectors: Float32Array,
        payloads: Sequence[Payload],
        dropped: Sequence[Sequence[str]],
    ) -> None:
        """Change vectors and some payload fields of stored points."""
        sizes = checked_payloads(ids, payloads)
        self.set_vectors(ids, vectors)
        stored = self.existing(ids)
        for point_id, payload, names, size in zip(ids, payloads, dropped, sizes, strict=True):
            if point_id not in stored:
                continue
            own = edge_ids([point_id])
            if paths := paths_of(names):
                self._write(edge.UpdateOperation.delete_payload(own, paths))
            self._write(edge.UpdateOperation.set_payload(own, payload), values=size)

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
        if not isinstance(rows, SparseRows):
            rows = self._sent(rows, own)
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
            if not isinstance(rows, SparseRows):
                there = [k for k, point_id in enumerate(part) if point_id in stored]
                self._follow([part[k] for k in there], rows[start : start + step][there], own)

    def delete_vectors(self, ids: Sequence[PointId], *, space: str | None = None) -> None:
        """Delete the vectors of points in one space, and touch nothing else of them."""
        info = self._description
        own = plain_space(self._known.spaces, info.vector if space is None else space, info.name)
        if stored := list(self.existing(ids)):
            delete = edge.UpdateOperation.delete_vectors(edge_ids(stored), [own.name])
            self._write(delete, len(stored))
            self._known.files.remove(stored, own.name)

    def _write_vectors(self, points: Sequence[tuple[PointId, Any]], name: str) -> None:
        vectors = [edge.PointVectors(edge_id(point_id), {name: row}) for point_id, row in points]
        size = FLOAT_BYTES * (self._known.spaces[name].dimension or SPARSE_FLOATS) * len(points)
        self._write(edge.UpdateOperation.update_vectors(vectors), len(points), size)


def _batch_rows(dimension: int | None) -> int:
    """Number of vectors that are written at once."""
    return max(1, min(UPSERT_BATCH, UPSERT_FLOATS // (dimension or 1)))
