"""The vectors of one space in a file beside the shard, which a scan maps into memory.

Two logs that only grow: ``rows`` holds float32 vectors, ``entries`` which of them is whose, the
last entry of a point counting; row -1 says that it was deleted. ``seal.json`` names the state of
the shard that both follow, and is taken away before anything is written, so that nobody who is
killed meanwhile leaves vectors behind that are believed. It holds the sums of their words too,
which are compared before anything is. All of it can be deleted at any time: it is read from the
engine again.
"""

from __future__ import annotations

import json
import mmap
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array, IntArray
from tsds_qdrant.collections.ids import KeyArray, KeyedIds, packed, point_keys
from tsds_qdrant.collections.values import PointId

ENTRY = np.dtype([("key", "<u8", 3), ("row", "<i8")])
FORM = 2
"""Of the files, raised with every change of it."""
ROWS, ENTRIES, SEAL = "rows", "entries", "seal.json"
GONE = -1
WASTEFUL = 0.5
"""Where a smaller share of the rows can be of now, the others go when the file is sealed."""
COPIED_ROWS, SUMMED_ROWS = 4_096, 16_384


@dataclass(frozen=True)
class Mapped:
    """Vectors that stand in a file.

    Attributes:
        keys: (n,) the points, ascending.
        rows: (n,) where each one's vector stands in the matrix.
        matrix: (m, D) mapped from ``file``.
    """

    keys: KeyedIds
    rows: IntArray
    matrix: Float32Array
    file: mmap.mmap | None = None

    def release(self) -> None:
        """Give the memory back that the matrix takes, for now: the system may keep the pages."""
        if self.file is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.file.madvise(mmap.MADV_DONTNEED)


@dataclass
class _Written:
    """How much was written, and the sums of its words of four bytes, modulo 2^64."""

    entries: int = 0
    rows: int = 0
    entries_sum: int = 0
    rows_sum: int = 0


class VectorFile:
    """Vectors of one space, followed write by write."""

    def __init__(self, directory: Path, dimension: int, known: _Written | None = None) -> None:
        self._directory = directory
        self._dimension = dimension
        self._known = known or _Written()
        self._checked = known is None
        self._last: Mapped | None = None

    @classmethod
    def new(cls, directory: Path, dimension: int) -> VectorFile:
        """An empty one in place of whatever is in ``directory``."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        for name in (ROWS, ENTRIES):
            (directory / name).touch()
        return cls(directory, dimension)

    @classmethod
    def sealed(cls, directory: Path, dimension: int, fingerprint: str) -> VectorFile | None:
        """The one in ``directory``, if it follows the shard of that ``fingerprint``."""
        try:
            seal: Any = json.loads((directory / SEAL).read_text(encoding="utf-8"))
            sizes = [(directory / name).stat().st_size for name in (ENTRIES, ROWS)]
        except (OSError, ValueError):
            return None
        if not isinstance(seal, dict) or seal.get("form") != FORM:
            return None
        if seal.get("fingerprint") != fingerprint or seal.get("dimension") != dimension:
            return None
        try:
            known = _Written(**seal["written"])
        except (KeyError, TypeError):
            return None
        if sizes != [known.entries * ENTRY.itemsize, known.rows * 4 * dimension]:
            return None
        return cls(directory, dimension, known)

    def seal(self, fingerprint: str, points: int) -> None:
        """Say that this follows the shard of that ``fingerprint`` and number of ``points``.

        Where most rows are of the past, these go.
        """
        if points < WASTEFUL * self._known.rows:
            self._compact()
        said = {
            "form": FORM,
            "dimension": self._dimension,
            "written": vars(self._known),
            "fingerprint": fingerprint,
        }
        draft = self._directory / f"{SEAL}.tmp"
        draft.write_text(json.dumps(said), encoding="utf-8")
        draft.replace(self._directory / SEAL)

    def break_seal(self) -> None:
        """Say that the shard is about to change."""
        (self._directory / SEAL).unlink(missing_ok=True)

    def drop(self) -> None:
        """Delete the files."""
        self.unmap()
        shutil.rmtree(self._directory, ignore_errors=True)

    def put(self, ids: Sequence[PointId], vectors: Float32Array) -> None:
        """Note that the points ``ids`` (n) have the ``vectors`` (n, D) now."""
        self._put(point_keys(ids), vectors)

    def remove(self, ids: Sequence[PointId]) -> None:
        """Note that the points ``ids`` are deleted."""
        self._note(point_keys(ids), np.full(len(ids), GONE, dtype=np.int64))

    def _put(self, keys: KeyArray, vectors: Float32Array) -> None:
        with (self._directory / ROWS).open("ab") as file:
            written = np.ascontiguousarray(vectors, dtype="<f4")
            file.write(written.data)
        self._note(keys, np.arange(self._known.rows, self._known.rows + len(keys)))
        self._known.rows += len(keys)
        self._known.rows_sum = _sum(written, self._known.rows_sum)

    def _note(self, keys: KeyArray, rows: IntArray) -> None:
        self.unmap()
        entries = np.empty(len(rows), dtype=ENTRY)
        entries["key"], entries["row"] = keys, rows
        with (self._directory / ENTRIES).open("ab") as file:
            file.write(entries.data)
        self._known.entries += len(rows)
        self._known.entries_sum = _sum(entries, self._known.entries_sum)

    def mapped(self) -> Mapped:
        """All vectors of now.

        Raises:
            OSError: the files cannot be read, or hold something else than was written.
        """
        if self._last is not None:
            return self._last
        entries = np.fromfile(self._directory / ENTRIES, dtype=ENTRY)
        found = self._mapped(entries)
        if not self._checked:
            summed = _sum(entries), _summed(found)
            if summed != (self._known.entries_sum, self._known.rows_sum):
                raise OSError(f"'{self._directory}' is damaged")
            self._checked = True
        self._last = found
        return found

    def unmap(self) -> None:
        """Let go of what was mapped."""
        self._last = None

    def _mapped(self, entries: Any) -> Mapped:
        keys, rows = entries["key"], entries["row"].astype(np.int64)
        numbers = keys[:, 2]
        if keys[:, :2].any() or not (numbers[1:] > numbers[:-1]).all():
            names = packed(keys)
            order = np.argsort(names, kind="stable")
            names = names[order]
            last = np.ones(len(names), dtype=np.bool_)
            last[:-1] = names[1:] != names[:-1]
            keys, rows = keys[order][last], rows[order][last]
        if not (there := rows != GONE).all():
            keys, rows = keys[there], rows[there]
        if not self._known.rows:
            return Mapped(KeyedIds(keys), rows, np.empty((0, self._dimension), dtype=np.float32))
        with (self._directory / ROWS).open("rb") as file:
            bytes_of = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        matrix = np.frombuffer(bytes_of, dtype="<f4").reshape(self._known.rows, self._dimension)
        return Mapped(KeyedIds(keys), rows, matrix, bytes_of)

    def _compact(self) -> None:
        """Put smaller files, of the vectors of now alone, in place of these."""
        current = self.mapped()
        beside = VectorFile.new(self._directory.with_suffix(".tmp"), self._dimension)
        for start in range(0, len(current.rows), COPIED_ROWS):
            part = slice(start, start + COPIED_ROWS)
            beside._put(current.keys.keys[part], current.matrix[current.rows[part]])
        self.drop()
        beside._directory.rename(self._directory)
        self._known, self._checked = beside._known, True


def _sum(written: npt.NDArray[Any], before: int = 0) -> int:
    """The sum of the words of ``written``, added to that of what was written ``before``."""
    words = written.reshape(-1).view("<u4")
    return (before + int(words.sum(dtype=np.uint64))) % 2**64


def _summed(mapped: Mapped) -> int:
    """The sum of all rows, read in blocks."""
    found = 0
    for start in range(0, len(mapped.matrix), SUMMED_ROWS):
        found = _sum(mapped.matrix[start : start + SUMMED_ROWS], found)
        mapped.release()
    return found
