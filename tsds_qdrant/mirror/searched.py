"""A server's collection, searched in its mirror: taken, or brought up to date, before."""

from __future__ import annotations

from typing import Any

from tsds_qdrant.collections import collection_exists, open_collection
from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.homed import homed
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import MANIFESTS
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import CollectionError, CollectionLockedError, SettingsError
from tsds_qdrant.mirror.facts import Facts, Source
from tsds_qdrant.mirror.mirroring import mirror
from tsds_qdrant.mirror.report import MirrorReport
from tsds_qdrant.mirror.settings import MirrorSettings
from tsds_qdrant.progress import Progress, silent


def searched_in_mirror(
    home: Collection,
    settings: MirrorSettings,
    *,
    connection: Connection | None = None,
    progress: Progress = silent,
) -> tuple[Collection, MirrorReport]:
    """The collection ``home``, as its mirror shows it, and what was done to that.

    Closing the first closes ``home`` too.

    Args:
        home: an open collection on a server.
        settings: where the mirror is, and how it is made.
        connection: how it is scanned.
        progress: see :func:`~tsds_qdrant.mirror.mirroring.mirror`.

    Raises:
        SettingsError: ``home`` is on no server.
        TsdsError: see :func:`~tsds_qdrant.mirror.mirroring.mirror`.
    """
    location = home.info().location
    if not is_server(location):
        raise SettingsError(
            f"--mirror is for a collection on a server, and '{location}' is searched where it is; "
            f"leave --mirror out"
        )
    report = mirror(home, settings, flag="--mirror", progress=progress)
    copy = _opened(home, settings, connection)
    return homed(copy, home, metadata_of_source(copy.info())), report


def mirror_as_it_is(
    home: Collection, settings: MirrorSettings, *, connection: Connection | None = None
) -> Collection | None:
    """The collection ``home``, as its mirror shows it that is there; None where there is none.

    See :func:`searched_in_mirror`.

    Raises:
        CollectionLockedError: the mirror is open in another process.
    """
    if not collection_exists(settings.to, home.info().name):
        return None
    try:
        copy = _opened(home, settings, connection)
    except CollectionLockedError:
        raise
    except CollectionError:  # what was added at home, or something else
        return None
    facts = Facts.of(copy.info())
    if facts is None or facts.source != Source.of(home.info(), None):
        copy.close()
        return None
    return homed(copy, home, metadata_of_source(copy.info()))


def _opened(
    home: Collection, settings: MirrorSettings, connection: Connection | None
) -> Collection:
    """The mirror of ``home``, at the same searched space."""
    info = home.info()
    scanning = None if connection is None else Connection(scanning=connection.scanning)
    return open_collection(settings.to, info.name, vector=info.vector, connection=scanning)


def metadata_of_source(info: CollectionInfo) -> dict[str, Any]:
    """The metadata that the source of the mirror that ``info`` describes had."""
    facts = Facts.of(info)
    assert facts is not None
    found = {key: value for key, value in info.metadata.items() if key in facts.metadata}
    if MANIFESTS in found:
        found[MANIFESTS] = {name: found[MANIFESTS][name] for name in facts.made}
    return found
