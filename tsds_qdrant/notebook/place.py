"""Where the vectors of a call are kept: at a place that it names, or in a temporary directory."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Collection as Collected
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tsds_qdrant.collections import collection_exists, open_collection
from tsds_qdrant.collections.addresses import checked_location, is_server
from tsds_qdrant.collections.conditions import excluding, joined
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Filter, PointId
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.notebook.asked import Asked
from tsds_qdrant.paths import Location
from tsds_qdrant.represented.marks import all_kept
from tsds_qdrant.strategies.base import Strategy
from tsds_qdrant.strategies.searched import view_for

NAME = "pool"


@dataclass(eq=False)
class Kept:
    """A collection that a call fills and searches; open only while that is done.

    Attributes:
        location: a directory, or a server.
        name: the collection.
        temporary: the directory is removed with this object, at the latest at the end of the
            process.
    """

    location: str
    name: str
    vector: str | None = None
    connection: Connection | None = None
    temporary: bool = False

    @classmethod
    def of(cls, qdrant: Location | None, collection: str | None, asked: Asked) -> Kept:
        """The place that a call names, or a new directory.

        Raises:
            SettingsError: a place without the name of a collection.
        """
        if qdrant is not None:
            is_server(qdrant)
            location = checked_location(os.fspath(qdrant))
            if collection is None:
                raise SettingsError(
                    f"qdrant is {location!r} and no collection is named; give "
                    f"collection='pool', say"
                )
            return cls(location, collection, asked.vector, asked.connection)
        if asked.run.state is not None:
            raise SettingsError(
                f"state is '{asked.run.state}', and its collection would be removed; keep "
                f"that with qdrant='./store', collection='pool', say"
            )
        place = tempfile.mkdtemp(prefix="tsds-qdrant-")
        made = cls(place, collection or NAME, asked.vector, asked.connection, temporary=True)
        weakref.finalize(made, _remove, place, os.getpid())
        return made

    def exists(self) -> bool:
        """Whether there is a collection already."""
        return collection_exists(self.location, self.name, connection=self.connection)

    @contextmanager
    def open(self, strategy: Strategy) -> Iterator[Collection]:
        """The open collection, searched in the vectors that ``strategy`` is made for if none named.

        Raises:
            CollectionError: see :func:`tsds_qdrant.open_collection`.
            CollectionNotFoundError: there are several such vectors.
            UnsupportedCollectionError: there are none, and the strategy cannot do without.
        """
        with self._opened(self.vector) as opened:
            yield view_for(opened, strategy, named=self.vector is not None)

    def written(self) -> str | None:
        """The vector that what is ingested goes to: not one that ``represent`` makes."""
        if self.vector is None or not self.exists():
            return self.vector
        with self._opened(self.vector) as opened:
            return None if self.vector in all_kept(opened.info()) else self.vector

    def _opened(self, vector: str | None) -> Collection:
        return open_collection(self.location, self.name, vector=vector, connection=self.connection)


def _remove(place: str, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(place, ignore_errors=True)


def within(collection: Collection, ids: Collected[PointId], where: Filter | None) -> Filter | None:
    """``where`` for the points ``ids`` alone, as the collection may hold others."""
    if collection.count() <= len(ids):
        return where
    others = [one for page in collection.scroll_ids() for one in page if one not in ids]
    if len(others) <= len(ids):
        return excluding(where, others, None)
    return joined(where, {"has_id": list(ids)})
