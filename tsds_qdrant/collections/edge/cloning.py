"""Embedded collections made of files: of another one's, of a snapshot, or of settings alone."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import qdrant_edge as edge

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.edge.counting import count_on
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


def of_snapshot(snapshot: Path, shard: Path, config: Mapping[str, Any]) -> None:
    """Make a collection in ``shard`` of the ``snapshot`` of a shard of a server.

    Args:
        config: the engine's own; what it does not say follows from the files.

    Raises:
        CollectionError: the snapshot cannot be read, or is of no shard.
    """
    with edge_failures(str(shard.parent), shard.name), without_reports():
        edge.EdgeShard.unpack_snapshot(str(snapshot), str(shard))
    of_files(shard, config)


def updated_by(snapshot: Path, shard: Path) -> None:
    """Bring the collection in ``shard`` to where the partial ``snapshot`` of its source is.

    *subtle*: one that was written to loses points of its source in silence, and where this fails
    the collection cannot be opened again. So it is for copies that nothing was written to.

    Raises:
        CollectionError: the snapshot cannot be read, or is of another shard.
    """
    with edge_failures(str(shard.parent), shard.name), without_reports():
        loaded = edge.EdgeShard.load(str(shard))
        loaded.update_from_snapshot(str(snapshot))
        count_on(loaded)
        loaded.close()


def of_files(shard: Path, config: Mapping[str, Any]) -> None:
    """Make a collection of the files of a shard in ``shard``; see :func:`of_snapshot`.

    A snapshot need not hold the log of the shard.
    """
    write_config(shard, config)
    with edge_failures(str(shard.parent), shard.name), without_reports():
        loaded = edge.EdgeShard.load(str(shard))
        count_on(loaded)
        loaded.close()


def joined(shard: Path, other: Path, config: Mapping[str, Any]) -> None:
    """Put the points of the collection in ``other`` into the one in ``shard``, graph and all.

    The segments of both become those of one; ``other`` is gone then. :func:`of_files` has to make
    a collection of ``shard`` behind that.

    Args:
        shard: of other ids than ``other`` has.
        other: files of a shard of the same settings.
        config: see :func:`of_snapshot`.
    """
    of_files(other, config)  # which carries out what is in its log alone
    for segment in (other / SEGMENTS).iterdir():
        target = shard / SEGMENTS / segment.name
        segment.rename(target.with_name(str(uuid4())) if target.exists() else target)
    shutil.rmtree(other)


def unfolded(snapshot: Path, directory: Path) -> list[Path]:
    """Unpack the ``snapshot`` file of a collection; the directories of its shards.

    Raises:
        InputError: it is none.
    """
    said = "it holds no shard"
    with without_reports():
        try:
            edge.EdgeShard.unpack_snapshot(str(snapshot), str(directory))
        except Exception as error:  # *subtle*: where shards have folders all is unpacked by then
            said = str(error)
    if (directory / SEGMENTS).is_dir():
        return [directory]
    shards = [file.parent for file in directory.glob(f"[0-9]*/{SEGMENTS}")]
    if not shards:
        raise InputError(
            f"'{snapshot}' is no snapshot file of a collection ({said}); give one that "
            f"'POST /collections/NAME/snapshots' made"
        )
    for shard in shards:
        if any((shard / SEGMENTS).glob("*.tar")):  # segments that are still packed
            packed = shard.with_name(f"{shard.name}.tar")
            with tarfile.open(packed, "w") as archive:
                for entry in shard.iterdir():
                    archive.add(entry, entry.name)
            shutil.rmtree(shard)
            with edge_failures(str(snapshot.parent), snapshot.name), without_reports():
                edge.EdgeShard.unpack_snapshot(str(packed), str(shard))
            packed.unlink()
    return sorted(shards, key=lambda shard: int(shard.name))


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
