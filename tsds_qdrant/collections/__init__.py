"""Collections of Qdrant points: embedded in a directory, or on a server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tsds_qdrant.collections.addresses import is_server as is_server
from tsds_qdrant.collections.cluster import Layout, chosen_key
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.places import (
    check_new,
    client_names,
    holds_for_client,
    not_ingested,
    read_only,
)
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import SettingsError, UnsupportedCollectionError
from tsds_qdrant.paths import Location, absolute, expanded


def remembered_location(location: Location) -> str:
    """``location`` as a run or a manifest keeps it: a directory by its absolute path."""
    return os.fspath(location) if is_server(location) else absolute(location)


def open_collection(
    location: Location,
    name: str,
    *,
    vector: str | None = None,
    connection: Connection | None = None,
    api_key: str | None = None,
) -> Collection:
    """Open an existing collection.

    Args:
        location: a directory (embedded engine, or a folder of qdrant-client, which is only read)
            or the URL of a server.
        name: the collection.
        vector: name of the dense vector to search; by default the one that the metadata name
            as ``representation``, else the only one.
        connection: how a server is reached, and how an embedded collection is scanned.
        api_key: the same as that of ``connection``.

    Raises:
        CollectionNotFoundError: no such collection or vector, or several and no default.
        SettingsError: no such shard key, or the collection is not sharded by key.
        UnsupportedCollectionError: no dense vector, or a multivector.
        UnreachableError: no server answers.
    """
    if is_server(location):
        from tsds_qdrant.collections.server.collection import ServerCollection

        reached = (connection or Connection()).with_key(api_key)
        return ServerCollection.open(os.fspath(location), name, vector=vector, connection=reached)
    if connection and not connection.optional_key:
        chosen_key(connection.shard_key, None, name)
    place = str(expanded(location))
    if holds_for_client(place, name):
        from tsds_qdrant.collections.server.folder import FolderCollection

        return FolderCollection.open_in(place, name, vector=vector)
    from tsds_qdrant.collections.edge.collection import EdgeCollection

    scanning = connection.scanning if connection else None
    return EdgeCollection.open(place, name, vector=vector, scanning=scanning)


def create_collection(
    location: Location,
    name: str,
    *,
    dimension: int,
    metric: Metric = "Cosine",
    metadata: Mapping[str, Any] | None = None,
    connection: Connection | None = None,
    api_key: str | None = None,
    layout: Layout | None = None,
) -> Collection:
    """Create an empty collection of ``dimension`` under ``metric``.

    ``connection`` says how a server is reached, ``api_key`` is the same as that of it, and
    ``layout`` says how the server is to keep the collection.

    Raises:
        CollectionExistsError: there is one of that name.
        SettingsError: a ``layout`` for a directory.
        UnsupportedCollectionError: ``location`` is part of something else of Qdrant's.
    """
    if is_server(location):
        from tsds_qdrant.collections.server.collection import ServerCollection

        return ServerCollection.create(
            os.fspath(location),
            name,
            dimension=dimension,
            metric=metric,
            metadata=metadata,
            connection=(connection or Connection()).with_key(api_key),
            layout=layout,
        )
    check_layout(location, layout or Layout())
    from tsds_qdrant.collections.edge.collection import EdgeCollection

    place = str(expanded(location))
    check_new(place, name)
    return EdgeCollection.create(
        place,
        name,
        dimension=dimension,
        metric=metric,
        metadata=metadata,
        scanning=connection.scanning if connection else None,
    )


def check_layout(location: Location, layout: Layout) -> None:
    """Check that a collection at ``location`` can be kept as ``layout`` says.

    Raises:
        SettingsError: it is a directory, which has one shard and no replicas.
    """
    if layout.given and not is_server(location):
        flags = " and ".join(layout.given)
        raise SettingsError(f"{flags} are for servers, and '{location}' is none; leave that out")


def check_writes(location: Location, name: str | None = None) -> None:
    """Check that collections of ``location`` can be written to, as far as its kind says.

    ``name`` is that of the collection that is to be changed; without it one is to be ingested.

    Raises:
        UnsupportedCollectionError: it is a folder of qdrant-client.
    """
    if not is_server(location) and client_names(expanded(location)) is not None:
        place = os.fspath(location)
        why = not_ingested(place) if name is None else read_only(place, name)
        raise UnsupportedCollectionError(why)


def collection_exists(
    location: Location, name: str, *, connection: Connection | None = None
) -> bool:
    """Whether ``name`` is a collection at ``location``."""
    if is_server(location):
        from tsds_qdrant.collections.server.collection import list_collections

        return name in list_collections(
            os.fspath(location), (connection or Connection()).with_key()
        )
    from tsds_qdrant.collections.edge.directory import CONFIG_FILE, shard_path

    place = str(expanded(location))
    if holds_for_client(place, name):
        return name in (client_names(place) or ())
    return (shard_path(place, name) / CONFIG_FILE).is_file()
