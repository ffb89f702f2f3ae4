"""Embedded collections made of files: of another one's, of a snapshot, or of settings alone."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.edge.directory import CONFIG_FILE, SEGMENTS, shard_path, write_metadata
from tsds_qdrant.collections.edge.failures import edge_failures, without_reports
from tsds_qdrant.collections.edge.room import check_room
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.spaces import ANY_SPACE
from tsds_qdrant.errors import InputError

BLOCK = 1 << 20


def opened_at(shard: Path) -> EdgeCollection:
    """The embedded collection in the directory ``shard``, open at any of its spaces."""
    return EdgeCollection.open(str(shard.parent), shard.name, vector=ANY_SPACE)


def made_of_settings(shard: Path, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Make an empty collection in ``shard`` by the engine's own ``config``."""
    shard.mkdir(parents=True)
    place = Place(str(shard.parent), shard.name)
    check_room(place, shard, 0, "be made", lambda: "nothing was written")
    write_config(shard, config)
    with edge_failures(place.location, place.collection), without_reports():
        edge.EdgeShard.load(str(shard)).close()
    write_metadata(shard, metadata)


def write_config(shard: Path, config: Mapping[str, Any]) -> None:
    """Set the engine's own configuration of the closed collection in ``shard``; others stay."""
    file = shard / CONFIG_FILE
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.write_text(json.dumps({**known, **config}), encoding="utf-8")


def cloned(source: Path, shard: Path) -> None:
    """Copy the files of the collection in ``source``, which nobody writes to, into ``shard``.

    Raises:
        RequestRejectedError: there is no room on the disk.
    """
    needed = sum(_taken(file) for file in source.rglob("*") if file.is_file())
    shard.parent.mkdir(parents=True, exist_ok=True)
    place = Place(str(source.parent), source.name)
    check_room(place, shard.parent, needed, "be copied", lambda: "it stays as it is")
    shutil.copytree(source, shard, copy_function=_copied)


def of_snapshot(snapshot: Path, shard: Path, config: Mapping[str, Any] | None = None) -> None:
    """Make a collection in ``shard`` of the ``snapshot`` of a shard of a server.

    Raises:
        CollectionError: the snapshot cannot be read, or is of no shard.
    """
    with edge_failures(str(snapshot.parent), snapshot.name), without_reports():
        edge.EdgeShard.unpack_snapshot(str(snapshot), str(shard))
        if config is not None:
            write_config(shard, config)
        edge.EdgeShard.load(str(shard)).close()


def shards_in(snapshot: Path) -> list[str]:
    """Folders of the shards in the snapshot file of a collection; none if it is of one shard.

    Raises:
        InputError: it is no snapshot of Qdrant's.
    """
    try:
        with tarfile.open(snapshot) as archive:
            names = [Path(name).parts for name in archive.getnames()]
    except (tarfile.TarError, OSError) as error:
        raise InputError(
            f"'{snapshot}' is no snapshot file of a collection ({error}); give one that "
            f"'POST /collections/NAME/snapshots' made"
        ) from error
    if any(parts[:1] == (SEGMENTS,) for parts in names):
        return []
    found = sorted({p[0] for p in names if p[1:2] == (SEGMENTS,) and p[0].isdecimal()}, key=int)
    if not found:
        raise InputError(
            f"'{snapshot}' holds no shard of a collection; give a file that "
            f"'POST /collections/NAME/snapshots' made"
        )
    return found


def shard_of(snapshot: Path, folder: str, out: Path) -> None:
    """Write into ``out`` the snapshot of the shard ``folder`` of that of a collection."""
    with tarfile.open(snapshot) as whole, tarfile.open(out, "w") as part:
        for member in whole:
            parts = Path(member.name).parts
            if parts[:1] == (folder,) and len(parts) > 1:
                member.name = "/".join(parts[1:])
                part.addfile(member, whole.extractfile(member) if member.isfile() else None)


def settings_in(snapshot: Path) -> dict[str, Any]:
    """The settings of a collection that its ``snapshot`` file holds; nothing where it has none."""
    with tarfile.open(snapshot) as archive:
        for member in archive:
            if Path(member.name) == Path("config.json") and (file := archive.extractfile(member)):
                found = json.load(file)
                return found if isinstance(found, dict) else {}
    return {}


def path_of(collection: object) -> Path | None:
    """The directory of an embedded collection; None where it is none."""
    if not isinstance(collection, EdgeCollection):
        return None
    info = collection.info()
    collection.flush()
    return shard_path(info.location, info.name)


def _taken(file: Path) -> int:
    """Bytes that a file takes on the disk; a log has holes."""
    found = file.stat()
    return getattr(found, "st_blocks", found.st_size // 512 + 1) * 512


def _copied(source: str, target: str) -> None:
    """Copy a file with its times, and without what is not written of it."""
    size = Path(source).stat().st_size
    if not hasattr(os, "SEEK_DATA") or _taken(Path(source)) >= size:
        shutil.copy2(source, target)
        return
    with Path(source).open("rb") as given, Path(target).open("wb") as made:
        made.truncate(size)
        start = 0
        while True:
            try:
                start = os.lseek(given.fileno(), start, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                break
            end = os.lseek(given.fileno(), start, os.SEEK_HOLE)
            while start < end:
                part = os.pread(given.fileno(), min(BLOCK, end - start), start)
                os.pwrite(made.fileno(), part, start)
                start += len(part)
    shutil.copystat(source, target)
