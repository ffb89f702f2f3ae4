"""A collection on a server that is searched in a copy of it: read there, written at home."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import CollectionInfo

AT_HOME = frozenset(
    (
        *("add_space", "upsert", "amend", "set_vectors", "delete_vectors", "write_again", "delete"),
        *("set_payload", "delete_payload", "clear_payload", "index_payload", "update_metadata"),
        *("rights", "cluster"),
    )
)
"""What :class:`Collection` does that concerns the collection itself."""


def homed(copy: Collection, home: Collection, metadata: Mapping[str, Any]) -> Collection:
    """The collection ``home`` as its ``copy`` shows it.

    It has the place, the name and the spaces of ``home``, so that whoever remembers it finds that;
    points, counts and searches are those of ``copy``, and writes go home. Whoever compares what is
    stored before writing takes :func:`home_of`. Closing it closes both.

    Args:
        copy: an embedded collection with the points of ``home``, at the same searched space.
        home: the collection on a server.
        metadata: of ``home``, as of the copying.
    """
    return cast(Collection, _Homed(copy, home, metadata))


def home_of(collection: Collection) -> Collection:
    """The collection that is written to: ``collection`` itself, or the one it is a copy of."""
    return collection.home if isinstance(collection, _Homed) else collection


def copy_of(collection: Collection) -> Collection:
    """What is searched in the place of the :func:`homed` ``collection``."""
    assert isinstance(collection, _Homed)
    return collection.copy


def read_at_home(collection: Collection) -> Collection:
    """The :func:`homed` ``collection``, searched in its copy, with its points read at home."""
    assert isinstance(collection, _Homed)
    return cast(Collection, _ReadAtHome(collection.copy, collection.home, collection.metadata))


class _Homed:
    def __init__(self, copy: Collection, home: Collection, metadata: Mapping[str, Any]) -> None:
        self.copy = copy
        self.home = home
        self._home_info = home.info()
        self.metadata = metadata

    def __getattr__(self, name: str) -> Any:
        return getattr(self.home if name in AT_HOME else self.copy, name)

    def __enter__(self) -> _Homed:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release both."""
        self.copy.close()
        self.home.close()

    @property
    def spaces(self) -> Mapping[str, Space]:
        """Those of the collection; what was added to the copy is left out."""
        theirs = self.home.spaces
        return {name: space for name, space in self.copy.spaces.items() if name in theirs}

    def at(self, name: str) -> Collection:
        """A view of both."""
        home = self.home.at(name)
        return homed(self.copy.at(name), home, self.metadata)

    def fingerprint(self) -> None:
        """None, as of every server: that of the copy says nothing of later ones."""

    def info(self) -> CollectionInfo:
        """The copy, by the address of the collection."""
        copy, home = self.copy.info(), self._home_info
        return replace(
            copy,
            location=home.location,
            name=home.name,
            metadata=self.metadata,
            reached=home.reached,
            shard_key=home.shard_key,
            alias_of=home.alias_of,
            mirror=copy.location,
        )


class _ReadAtHome(_Homed):
    @property
    def retrieve(self) -> Any:
        return self.home.retrieve
