"""New embedded collections: made under another name, and put in place whole.

Whoever is killed meanwhile leaves no half of a collection, and of two who make the same one, one
succeeds.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import qdrant_edge as edge

from tsds_qdrant.collections.edge.directory import (
    CONFIG_FILE,
    check_location,
    has_segments,
    shard_path,
    write_metadata,
)
from tsds_qdrant.collections.edge.failures import edge_failures
from tsds_qdrant.collections.edge.locks import LOG, locked
from tsds_qdrant.collections.edge.room import check_room
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.errors import CollectionError, CollectionExistsError

DRAFT = ".making"
STALE_S = 3600
"""Drafts of this age were left by somebody who was killed."""


def make_shard(
    location: str, name: str, config: edge.EdgeConfig, metadata: Mapping[str, Any]
) -> None:
    """Make the collection ``name`` below ``location``, empty and closed.

    Raises:
        CollectionExistsError: there is one already.
        CollectionError: something else is in the way, or the place is not writable.
        RequestRejectedError: there is no room on the disk.
    """
    # A link is followed, so that what it leads to may be on another disk.
    path = shard_path(location, name).resolve()
    if (path / CONFIG_FILE).exists():
        raise _exists(location, name, path)
    check_location(location)
    path.parent.mkdir(parents=True, exist_ok=True)
    check_room(Place(location, name), path.parent, 0, "be made", lambda: "nothing was written")
    _clear_stale(path.parent)
    draft = path.with_name(f".{path.name[:50]}.{uuid4().hex[:12]}{DRAFT}")
    try:
        with edge_failures(location, name):
            edge.EdgeShard.create(str(draft), config).close()
        write_metadata(draft, metadata)
        _put(draft, path, location, name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _put(draft: Path, path: Path, location: str, name: str) -> None:
    with suppress(OSError):
        _clear_unfinished(path)
    try:
        draft.rename(path)
    except OSError as error:
        if (path / CONFIG_FILE).exists():
            raise _exists(location, name, path) from error
        raise CollectionError(
            f"collection '{name}' cannot be made, as '{path}' is in the way "
            f"({error.strerror}); move it away, or choose another name"
        ) from error


def _clear_unfinished(path: Path) -> None:
    """Remove what a killed maker left in ``path``: a log without a segment, or nothing at all."""
    if not path.is_dir() or has_segments(path) or (path / CONFIG_FILE).exists():
        return
    if {entry.name for entry in path.iterdir()} <= {LOG, "segments"} and not locked(path):
        for entry in path.iterdir():
            shutil.rmtree(entry)
        path.rmdir()


def _clear_stale(directory: Path) -> None:
    for draft in directory.glob(f".*{DRAFT}"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > STALE_S:
                shutil.rmtree(draft)


def _exists(location: str, name: str, path: Path) -> CollectionError:
    if locked(path):
        return CollectionExistsError(
            f"collection '{name}' exists already in {location} and is open, in another process or "
            f"in this one; choose another name, or close it and try again"
        )
    return CollectionExistsError(
        f"collection '{name}' exists already in {location}; choose another name, or run the same "
        f"command again if another process made it just now"
    )
