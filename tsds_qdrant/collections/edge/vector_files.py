"""The vector files of all spaces of an open shard: believed, followed, and sealed at its end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.edge.vector_file import Mapped, VectorFile
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import PointId

DIRECTORY = "tsds_vectors"


def file_of(shard: Path, space: str) -> Path:
    """The directory of the vector file of ``space``."""
    return shard / DIRECTORY / hashlib.sha256(space.encode()).hexdigest()[:16]


class VectorFiles:
    """Vector files of a shard, by the name of their space.

    A file is a convenience: whatever goes wrong with it, it is dropped, and the vectors are read
    from the engine.

    Attributes:
        changed: something was written since the files were sealed.
    """

    def __init__(self, shard: Path, spaces: Mapping[str, Space], fingerprint: str | None) -> None:
        self._shard = shard
        self._files: dict[str, VectorFile] = {}
        self.changed = False
        for space in spaces.values():
            if space.dimension is not None and fingerprint is not None:
                path = self._path(space.name)
                file = VectorFile.sealed(path, space.dimension, fingerprint)
                if file is not None:
                    self._files[space.name] = file

    def of(self, space: str) -> VectorFile | None:
        """The file that follows ``space``, if there is one."""
        return self._files.get(space)

    def begin(self, space: Space) -> VectorFile | None:
        """A new file for ``space``, empty; None where none can be written."""
        assert space.dimension is not None
        with self._dropping(space.name):
            self.changed = True
            self._files[space.name] = VectorFile.new(self._path(space.name), space.dimension)
        return self.of(space.name)

    def mapped(self, space: str) -> Mapped | None:
        """The vectors of ``space`` that its file holds; None where there is none to be believed."""
        with self._dropping(space):
            if (file := self.of(space)) is not None:
                return file.mapped()
        return None

    def changing(self) -> None:
        """Break the seals, before anything of the shard is written."""
        if not self.changed:
            for space, file in [*self._files.items()]:
                with self._dropping(space):
                    file.break_seal()
            self.changed = True

    def put(self, space: str, ids: Sequence[PointId], vectors: Float32Array) -> None:
        """Note the ``vectors`` (n, D) that the points ``ids`` have in ``space`` now."""
        if (file := self.of(space)) is not None:
            with self._dropping(space):
                file.put(ids, vectors)

    def remove(self, ids: Sequence[PointId], only: str | None = None) -> None:
        """Note that the points ``ids`` are deleted, or their vectors in the space ``only``."""
        for space, file in [*self._files.items()]:
            if only in (None, space):
                with self._dropping(space):
                    file.remove(ids)

    def unmap(self) -> None:
        """Let go of what was mapped."""
        for file in self._files.values():
            file.unmap()

    def drop(self) -> None:
        """Believe none of them any more."""
        for space in [*self._files]:
            self._drop(space)

    def seal(self, fingerprint: str | None, points: int) -> None:
        """Note that all follow the shard as it is: its ``fingerprint``, its number of points."""
        for space, file in [*self._files.items()]:
            with self._dropping(space):
                if fingerprint is not None:
                    file.seal(fingerprint, points)
        self.changed = False

    def _path(self, space: str) -> Path:
        return file_of(self._shard, space)

    @contextmanager
    def _dropping(self, space: str) -> Iterator[None]:
        """What cannot be written is done without: there may be no room, or no right."""
        try:
            yield
        except OSError:
            self._drop(space)

    def _drop(self, space: str) -> None:
        file = self._files.pop(space, None)
        if file is not None:
            file.drop()
