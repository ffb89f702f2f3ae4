"""A folder of qdrant-client's local mode, which is read and never written.

Local mode loads all collections of a folder into memory and locks it for one client: collections
that are open at the same time share that.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn

import numpy as np
from qdrant_client import QdrantClient

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.distance import normalized
from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.collections.places import client_names, not_found, read_only
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.collections.server.failures import server_failures
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.values import CollectionInfo, Filter, PointId, Record, Wanted
from tsds_qdrant.errors import CollectionError, CollectionNotFoundError, RequestRejectedError


@dataclass
class _Shared:
    """The client of a folder, how many collections use it, and their vectors under Cosine."""

    client: QdrantClient
    users: int = 0
    unit_rows: dict[tuple[str, str], dict[PointId, Float32Array]] = field(default_factory=dict)


LOCK_FILE = ".lock"
_OPEN: dict[str, _Shared] = {}
"""Folder -> what is shared there."""
_GUARD = Lock()


class FolderCollection(ServerCollection):
    """A collection in such a folder; what would write is refused."""

    _folder = ""

    @classmethod
    def open_in(cls, location: str, name: str, *, vector: str | None = None) -> FolderCollection:
        """Open collection ``name`` of the folder ``location``.

        Raises:
            CollectionNotFoundError: no such collection or vector; the message names them.
            CollectionLockedError: another process, or another client, has the folder open.
            CollectionError: the folder cannot be read.
        """
        folder = os.path.realpath(location)
        known = client_names(folder) or ()
        client = _taken(folder, Place(location, name))
        try:
            opened = cls(Session(location, name, Connection(client=client)), vector)
        except BaseException as error:
            _released(folder)
            if isinstance(error, CollectionNotFoundError) and name not in known:
                raise not_found(location, name) from error
            raise
        opened._folder = folder
        opened._description = _read_only(opened._description)
        return opened

    def info(self) -> CollectionInfo:
        """Describe the collection."""
        return _read_only(super().info())

    def search(self, vectors: Float32Array, **asked: Any) -> Hits:
        """Find the nearest points of every row of ``vectors`` (B, D)."""
        self._unit_rows()
        return super().search(vectors, **asked)

    def faintest(self, limit: int, where: Filter | None = None) -> list[Record]:
        """The points whose vectors have the smallest products with a few directions."""
        self._unit_rows()
        return super().faintest(limit, where)

    def _points(
        self, ids: list[PointId], *, payloads: Wanted, vectors: bool
    ) -> dict[PointId, Record]:
        """Stored points; under Cosine of unit length, as every other Qdrant keeps vectors."""
        rows = self._unit_rows() if vectors else {}
        found = super()._points(ids, payloads=payloads, vectors=vectors and not rows)
        return {i: replace(one, vector=rows[i]) if i in rows else one for i, one in found.items()}

    def _unit_rows(self) -> dict[PointId, Float32Array]:
        """Vectors under Cosine by id, as they were before the first search; else nothing.

        *subtle*: local mode keeps them in any length, and each search divides them by their
        length in place, which goes on changing their last bits.
        """
        info = self._description
        if info.metric != "Cosine" or not info.dimension:
            return {}
        assert self._session.client  # or it is closed, which raises
        kept = _OPEN[self._folder].unit_rows
        if (self._name, info.vector) not in kept:
            rows: dict[PointId, Float32Array] = {}
            for page in self.scroll_ids():
                found = super()._points(page, payloads=False, vectors=True)
                own = {i: one.vector for i, one in found.items() if one.vector is not None}
                if own:
                    rows |= zip(own, normalized(np.stack([*own.values()]), "Cosine"), strict=True)
            kept[self._name, info.vector] = rows
        return kept[self._name, info.vector]

    def close(self) -> None:
        """Release the folder, once no other collection in it is open."""
        if self._is_view or not self._folder:
            return
        super().close()
        _released(self._folder)
        self._folder = ""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse to write, whatever was to be written."""
        raise RequestRejectedError(read_only(self._session.place.location, self._name))

    upsert = amend = set_vectors = set_payload = delete_payload = clear_payload = _refuse
    delete = write_again = add_space = index_payload = update_metadata = _refuse


def _read_only(info: CollectionInfo) -> CollectionInfo:
    return replace(info, limits=replace(info.limits, writes=False))


def _taken(folder: str, place: Place) -> QdrantClient:
    """The client of ``folder``, for one collection more."""
    with _GUARD:
        if folder not in _OPEN:
            _OPEN[folder] = _Shared(_opened(folder, place))
        _OPEN[folder].users += 1
        return _OPEN[folder].client


def _released(folder: str) -> None:
    """One collection less uses ``folder``; the last one closes it."""
    with _GUARD:
        shared = _OPEN[folder]
        shared.users -= 1
        if not shared.users:
            del _OPEN[folder]
            shared.client.close()


def _check_unlocked(folder: str) -> None:
    """Check that no client has ``folder`` open.

    The client itself looks only after it has loaded all points, and leaves them in memory.
    """
    import portalocker  # a dependency of qdrant-client, which locks with it

    lock = Path(folder) / LOCK_FILE
    if lock.exists():
        with lock.open("r+") as file:
            try:
                portalocker.lock(
                    file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING
                )
            except portalocker.exceptions.LockException:
                raise RuntimeError("already accessed") from None
            portalocker.unlock(file)


def _opened(folder: str, place: Place) -> QdrantClient:
    what = f"the folder of qdrant-client '{place.location}'"
    with server_failures(place), warnings.catch_warnings():
        # That it is slow with many points is said in our own words.
        warnings.simplefilter("ignore")
        try:
            _check_unlocked(folder)
            return QdrantClient(path=folder)
        except PermissionError as error:
            raise CollectionError(
                f"{what} cannot be locked for reading ('{error.filename}' is not writable); "
                f"copy it to a place of yours"
            ) from error
        except (ValueError, RuntimeError):  # these say what is wrong
            raise
        except Exception as error:  # whatever SQLite and pickle raise on broken files
            raise CollectionError(
                f"{what} cannot be read ({error}); restore it from a copy"
            ) from error
