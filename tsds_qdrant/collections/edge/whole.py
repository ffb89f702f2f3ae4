"""Points of an embedded collection with all their vectors, read and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import qdrant_edge as edge

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.checked import parts_by_size
from tsds_qdrant.collections.edge.directory import read_config, read_metadata
from tsds_qdrant.collections.edge.forms import edge_id, edge_ids, plain_id
from tsds_qdrant.collections.edge.schemas import index_of, schema_of
from tsds_qdrant.collections.edge.spaces import (
    FLOAT_BYTES,
    OPERATION_BYTES,
    SPARSE_FLOATS,
    UPSERT_BATCH,
    EdgeSpaces,
)
from tsds_qdrant.collections.filters import edge_filter
from tsds_qdrant.collections.ids import checked_ids
from tsds_qdrant.collections.payloads import checked_payloads
from tsds_qdrant.collections.values import Filter, PointId
from tsds_qdrant.collections.whole import Index, Shape, Whole, WholePage


class EdgeWhole(EdgeSpaces):
    """What :class:`Collection` does with points of all their vectors."""

    def shape(self) -> Shape:
        """All of the collection but its points."""
        info = self._description
        config = read_config(info.location, info.name)
        kept = ("vectors", "sparse_vectors", "hnsw_config", "quantization_config")
        with self._failures():
            indexes = self._shard.info().payload_schema
        return Shape(
            {key: config[key] for key in kept if config.get(key)},
            {field: index_of(found) for field, found in indexes.items()},
            read_metadata(self._path),
        )

    def scroll_whole(
        self, where: Filter | None = None, *, after: PointId | None = None
    ) -> Iterator[WholePage]:
        """All points with all their vectors, page by page."""
        condition, limit = edge_filter(where), self.shape().page
        offset: Any = None if after is None else edge_id(after)
        while True:
            asked = edge.ScrollRequest(
                offset=offset, limit=limit, filter=condition, with_payload=True, with_vector=True
            )
            with self._failures():
                page, offset = self._shard.scroll(asked)
            following = None if offset is None else plain_id(offset)
            yield WholePage([_whole(point) for point in page], following)
            if offset is None:
                return

    def whole(self, ids: Sequence[PointId]) -> dict[PointId, Whole]:
        """Those of the points ``ids`` that are stored, with all their vectors."""
        with self._failures():
            found = self._shard.retrieve(
                edge_ids(checked_ids(ids)), with_payload=True, with_vector=True
            )
        points = map(_whole, found)
        return {point.id: point for point in points}

    def put_whole(self, points: Sequence[Whole]) -> None:
        """Insert ``points``, or replace them with all they have.

        Raises:
            InputError: a payload that could not be read back. Nothing is stored then.
            RequestRejectedError: there is no room on the disk.
        """
        ids = checked_ids([point.id for point in points])
        sizes = checked_payloads(ids, [point.payload for point in points])
        rows = self.rows_of(points)
        if not (self._known.filled or self.count()):
            self._begin(*self._known.spaces.values())
        self._known.filled = True
        floats = sum(space.dimension or SPARSE_FLOATS for space in self._known.spaces.values())
        sizes = [size + FLOAT_BYTES * floats for size in sizes]
        dense = {
            name: dict(zip(places, matrix.tolist(), strict=True))
            for name, (places, matrix) in rows.items()
        }
        for part in parts_by_size(sizes, rows=UPSERT_BATCH, size=OPERATION_BYTES):
            made = [
                edge.Point(
                    edge_id(ids[k]),
                    {
                        name: dense[name][k] if name in dense else _given(vector)
                        for name, vector in points[k].vectors.items()
                    },
                    points[k].payload,
                )
                for k in part
            ]
            written = sum(sizes[part.start : part.stop])
            self._write(edge.UpdateOperation.upsert_points(made), len(made), written)
        for name, (places, matrix) in rows.items():
            self._follow([ids[k] for k in places], matrix, self._known.spaces[name])
            if len(places) < len(ids):
                without = set(range(len(ids))).difference(places)
                self._known.files.remove([ids[k] for k in sorted(without)], name)

    def rows_of(self, points: Sequence[Whole]) -> dict[str, tuple[list[int], Float32Array]]:
        """Dense space -> which of ``points`` have its vector, and the rows as they are stored."""
        found = {}
        for name, space in self._known.spaces.items():
            if space.dimension is None or space.multivector:
                continue
            places = [k for k, point in enumerate(points) if name in point.vectors]
            rows = [points[k].vectors[name] for k in places]
            matrix = np.array(rows, dtype=np.float32).reshape(len(places), space.dimension)
            found[name] = places, self._sent(matrix, space)
        return found

    def index_as(self, field: str, index: Index) -> None:
        """Make an ``index`` on a payload field.

        Raises:
            UnsupportedCollectionError: the engine has no such index.
        """
        self._write(edge.UpdateOperation.create_field_index(field, schema_of(index, field)))

    def delete_index(self, field: str) -> None:
        """Delete the index on a payload field."""
        self._write(edge.UpdateOperation.delete_field_index(field))

    def delete_space(self, name: str) -> None:
        """Delete a named vector of all points, and the space itself."""
        self._write(edge.UpdateOperation.delete_vector_name(name))
        self._known.spaces.pop(name)

    def manifest(self) -> dict[str, Any]:
        """The files of all segments, and how new each is, as a partial snapshot is asked for by."""
        with self._failures():
            self._shard.flush()
            found: dict[str, Any] = self._shard.snapshot_manifest()
            return found

    def flush(self) -> None:
        """Have all that was written on the disk."""
        with self._failures():
            self._shard.flush()


def _whole(point: Any) -> Whole:
    stored = point.vector
    if stored is None:
        stored = {}
    elif not isinstance(stored, Mapping):  # the unnamed one alone comes without its name
        stored = {"": stored}
    vectors = {name: _plain(vector) for name, vector in stored.items()}
    return Whole(plain_id(point.id), point.payload or {}, vectors)


def _plain(vector: Any) -> Any:
    if isinstance(vector, edge.SparseVector):
        return {"indices": vector.indices, "values": vector.values}
    return vector


def _given(vector: Any) -> Any:
    if isinstance(vector, Mapping):
        return edge.SparseVector(vector["indices"], vector["values"])
    return vector
