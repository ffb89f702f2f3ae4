"""The vectors of an embedded collection as scans want them: in memory, or mapped from a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from pydantic_core import to_json

from tsds_qdrant.arrays import Float32Array, spread_over
from tsds_qdrant.collections.distance import normalized
from tsds_qdrant.collections.edge.loaded import LoadedVectors
from tsds_qdrant.collections.edge.reads import EdgeReads
from tsds_qdrant.collections.edge.vector_file import Mapped
from tsds_qdrant.collections.ids import KeyedIds, checked_ids, taken
from tsds_qdrant.collections.scanning import AUTO, ENGINE
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import FLOAT32, Filter, PointId, Record, Wanted

IN_MEMORY_POINTS = 10_000
"""Collections up to this many points without a vector file are read into memory."""
READ_POINTS = 5_000
"""Vectors that are read from the engine at once, as lists of the interpreter."""
LEFT_ALONE = 5e-7
"""How far the square of a row's length may be from 1 for the engine to store it as it is (half of
what Qdrant allows, which sums in another order)."""
ALL_PER_ID = 500
"""Points of a file for each that is wanted, up to which it is looked up there: beyond, the engine
is faster, and no second form of all ids is held for it."""
COMPARED = 4
"""Rows of each part that are read back: what is stored must be what was sent."""


class EdgeVectors(EdgeReads):
    """What scans read of a collection, and how it is kept beside the shard."""

    def _is_scanned(self) -> bool:
        """Whether exact searches of the searched space are scans here, and not the engine's own."""
        info, known = self._description, self._known
        if not self._can_scan(known.spaces[info.vector]):
            return False
        if known.files.of(info.vector) is not None or known.scanning.device != AUTO:
            return True
        if self.count() <= IN_MEMORY_POINTS:
            return True
        return not self._has_graph()  # without a file reading all vectors would cost more

    def _has_graph(self) -> bool:
        with self._failures():
            return bool(self._shard.info().indexed_vectors_count)

    def _begin(self, *spaces: Space) -> None:
        """Follow the vectors of ``spaces``, of which there are none yet."""
        for space in spaces:
            if space.dimension is not None and self._can_scan(space):
                self._known.files.begin(space)

    def _seal(self) -> None:
        """Note that the vector files follow the shard as it is."""
        if self._known.files.changed:
            self._shard.flush()
            self._known.files.seal(self.fingerprint(), self.count())

    def _can_scan(self, space: Space) -> bool:
        rough = space.datatype.startswith("turbo")
        return not rough and space.metric != "Manhattan" and self._known.scanning.device != ENGINE

    def loaded(self, where: Filter | None) -> LoadedVectors:
        """All vectors that match ``where``, kept until something is written."""
        about, info = to_json(where).decode(), self._description
        kept = self._known.loaded.get(info.vector)
        if kept is not None and kept[0] == about:
            return kept[1]
        loaded = self._loaded(where)
        if not names_ids(where):
            self._known.loaded[info.vector] = about, loaded
        return loaded

    def _loaded(self, where: Filter | None) -> LoadedVectors:
        mapped = self._mapped()
        if mapped is None:
            ids, matrix = self._read([*chain.from_iterable(self.scroll_ids(where))])
            return LoadedVectors(ids, matrix, self._description.geometry)
        keys, rows = mapped.keys, mapped.rows
        if where is not None:
            places = keys.places([*chain.from_iterable(self.scroll_ids(where))])
            keys, rows = KeyedIds(keys.keys[places]), rows[places]
        return LoadedVectors(
            keys,
            mapped.matrix,
            self._description.geometry,
            rows,
            self._known.scanning.device,
            mapped.release if mapped.matrix.nbytes > self._known.scanning.memory_bytes else None,
        )

    def retrieve(
        self, ids: Sequence[PointId], *, payloads: Wanted = True, vectors: bool = False
    ) -> list[Record]:
        """Fetch stored points in the order of ``ids``; ids that do not exist are left out.

        Many vectors alone come from their file once that was scanned, if it has all of them as they
        are stored: several times as fast as the engine, which makes lists of numbers of them.
        """
        info, known = self._description, self._known
        mapped, scanned = known.mapped.get(info.vector), known.loaded.get(info.vector)
        alone = vectors and payloads is False and info.datatype == FLOAT32
        if alone and mapped and scanned and len(mapped.keys) <= ALL_PER_ID * len(ids):
            wanted = checked_ids(ids)
            places, there = mapped.keys.lookup(wanted)
            if there.all():
                rows = scanned[1].compared.at(mapped.rows[places])
                return [Record(own, {}, row) for own, row in zip(wanted, rows, strict=True)]
        return super().retrieve(ids, payloads=payloads, vectors=vectors)

    def vectors(self, ids: Sequence[PointId]) -> tuple[list[PointId], Float32Array]:
        """Those of ``ids`` that have a vector of the searched space, and these (n, D)."""
        mapped = self._known.files.mapped(self._description.vector)
        if mapped is None:
            return self._read(ids)
        places = mapped.keys.places(checked_ids(ids))
        return [*taken(mapped.keys, places)], mapped.matrix[mapped.rows[places]]

    def _mapped(self) -> Mapped | None:
        """The vector file of the searched space; None for a small collection that has none."""
        known, name = self._known, self._description.vector
        if name not in known.mapped:
            mapped = known.files.mapped(name)
            if mapped is None and self.count() > IN_MEMORY_POINTS:
                file = known.files.begin(known.spaces[name])
                for ids, rows in self._pages() if file else ():
                    known.files.put(name, ids, rows)
                mapped = known.files.mapped(name)
            if mapped is None:
                return None
            known.mapped[name] = mapped
        return known.mapped[name]

    def _pages(self) -> Iterator[tuple[list[PointId], Float32Array]]:
        for page in self.scroll_ids():
            for start in range(0, len(page), READ_POINTS):
                yield self._read(page[start : start + READ_POINTS])

    def _read(self, ids: Sequence[PointId]) -> tuple[list[PointId], Float32Array]:
        """Those of ``ids`` that have the vector, and the vectors (n, D), from the engine."""
        info = self._description
        stored = super().retrieve(ids, payloads=False, vectors=True)
        rows = [record.vector for record in stored if record.vector is not None]
        matrix = np.array(rows, dtype=np.float32).reshape(len(rows), info.dimension)
        if info.datatype == "uint8":  # alone not brought to unit length when it is stored
            matrix = normalized(matrix, info.metric)
        return [record.id for record in stored if record.vector is not None], matrix

    def _sent(self, rows: Float32Array, space: Space) -> Float32Array:
        """``rows`` (n, D), of unit length where the engine would bring them to it.

        So it stores what it gets, which is then known without asking. What becomes of a row does
        not depend on the others: one of unit length stays as it is, bit for bit.
        """
        if space.datatype != FLOAT32 or space.metric != "Cosine":
            return rows
        squares = np.einsum("ij,ij->i", rows, rows)
        uneven = np.abs(squares - 1) > LEFT_ALONE
        if uneven.any():
            rows = rows.copy()
            rows[uneven] = normalized(rows[uneven], "Cosine")
        return rows

    def _follow(self, ids: Sequence[PointId], rows: Float32Array, space: Space) -> None:
        """Note that the points ``ids`` have the vectors ``rows`` (n, D) in ``space`` now."""
        files = self._known.files
        if files.of(space.name) is None or not len(ids):
            return
        view = self.at(space.name)
        few = spread_over(range(len(ids)), COMPARED) if space.datatype == FLOAT32 else []
        if not few or not np.array_equal(view._read([ids[k] for k in few])[1], rows[few]):
            ids, rows = view._read(ids)
        files.put(space.name, ids, rows)


def names_ids(where: Filter | None) -> bool:
    """Whether ``where`` asks for points by their ids, as a repair does: another set each time."""
    return where is not None and any("has_id" in condition for condition in where.get("must", ()))
