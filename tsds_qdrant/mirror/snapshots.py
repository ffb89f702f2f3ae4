"""A mirror from snapshots of a server's shards: files and graph in one download of each."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tsds_qdrant.arrays import spread_over
from tsds_qdrant.collections.edge.cloning import (
    joined,
    of_files,
    of_snapshot,
    opened_at,
    updated_by,
)
from tsds_qdrant.collections.edge.room import check_room
from tsds_qdrant.collections.payloads import same_payload
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.server.snapshots import download_snapshot
from tsds_qdrant.collections.whole import Shape, Whole, near_vectors
from tsds_qdrant.errors import CollectionError
from tsds_qdrant.mirror.expected import expected_bytes

SEGMENT_MANIFEST = "segment_manifest.json"
"""Where a partial snapshot says of a segment which files there are, and how new."""
LOOKED_AT = 100
SAME_SHARE = 0.9
"""Share of the points looked at that are to be as they are on the server, which may be written to
meanwhile."""


def unpack(source: Collection, shape: Shape, shard: Path, numbers: Sequence[int]) -> None:
    """Make a collection in ``shard`` of snapshots of ``source``, and compare some points.

    Several shards become one, whose segments are those of all of them.

    Args:
        source: on a server.
        shape: of it.
        shard: a directory that is not there yet.
        numbers: of the shards of ``source``.

    Raises:
        CollectionError: the server gives no snapshot, the engine cannot read it, or it has other
            points than the server.
        RequestRejectedError: there is no room on the disk.
    """
    file = shard.with_name("snapshot.tar")
    shard.parent.mkdir(parents=True, exist_ok=True)
    place, needed = Place(source.info().location, shard.name), 2 * expected_bytes(source)
    check_room(place, shard.parent, needed, "be copied and unpacked", lambda: "nothing was copied")
    for number in numbers:
        made = shard.with_name(f"{shard.name}.{number}") if shard.exists() else shard
        try:
            download_snapshot(source, number, file)
            size = file.stat().st_size
            check_room(place, shard.parent, size, "be unpacked", lambda: "nothing is in its place")
            of_snapshot(file, made, shape.config)
        finally:
            file.unlink(missing_ok=True)
        if made is not shard:
            joined(shard, made, shape.config)
    if len(numbers) > 1:
        of_files(shard, shape.config)
    with opened_at(shard) as copy:
        _compare(copy, source)


def update(source: Collection, manifest: Mapping[str, Any], shard: Path, number: int) -> None:
    """Bring the copy in ``shard`` up to date by what is newer in ``source``, and compare some.

    Args:
        source: on a server.
        manifest: of the copy, which nothing was written to.
        shard: the copy, closed; where this fails it is lost.
        number: of the one shard of ``source``.

    Raises:
        CollectionError: the server gives no partial snapshot, or the engine cannot apply it.
        RequestRejectedError: there is no room on the disk.
    """
    file = shard.with_name("snapshot.tar")
    try:
        if download_snapshot(source, number, file, manifest):
            size, place = file.stat().st_size, Place(source.info().location, shard.name)
            check_room(place, shard.parent, size, "be unpacked", lambda: "the mirror stays")
            _check_newer(file, manifest)
            updated_by(file, shard)
    finally:
        file.unlink(missing_ok=True)
    with opened_at(shard) as copy:
        _compare(copy, source)


def _check_newer(snapshot: Path, manifest: Mapping[str, Any]) -> None:
    """Check that no segment of the partial ``snapshot`` is older than ``manifest`` says of a copy.

    Files that are older than those of the copy are left out of it, so that the copy would keep what
    the server never had, or no longer has: after a write to the copy, or a server that was put back
    to an earlier state.

    Raises:
        CollectionError: one is, or it is no snapshot.
    """
    for theirs in _segments_of(snapshot):
        ours = manifest.get(str(theirs.get("segment_id")), {})
        if (theirs.get("segment_version") or 0) < (ours.get("segment_version") or 0):
            raise CollectionError(
                f"the server is at operation {theirs['segment_version']} of a segment, and the "
                f"mirror at {ours['segment_version']}"
            )


def _segments_of(snapshot: Path) -> list[dict[str, Any]]:
    """What a partial snapshot says of its segments.

    Raises:
        CollectionError: it is none.
    """
    try:
        with tarfile.open(snapshot) as archive:
            named = (one for one in archive if PurePosixPath(one.name).name == SEGMENT_MANIFEST)
            return [json.loads(file.read()) for one in named if (file := archive.extractfile(one))]
    except (tarfile.TarError, ValueError, OSError, EOFError) as error:
        reason = str(error).partition(":")[0]
        raise CollectionError(f"what the server sent is no snapshot ({reason})") from error


def _compare(copy: Collection, source: Collection) -> None:
    """Check that ``copy`` has about as many points as ``source``, and that some are the same.

    Raises:
        CollectionError: it has others.
    """
    stored, wanted = copy.count(), source.count()
    if min(stored, wanted) < SAME_SHARE * max(stored, wanted):
        raise CollectionError(
            f"the snapshot has {stored} points, and the server {wanted}; give --by scroll"
        )
    ids = spread_over(next(iter(copy.scroll_ids()), []), LOOKED_AT)
    found, here = source.whole(ids), copy.whole(ids)
    same = sum(_same(found[point], here[point]) for point in found)
    if same < SAME_SHARE * len(ids):
        raise CollectionError(
            f"of {len(ids)} points of the snapshot only {same} are as the server has them; "
            f"give --by scroll"
        )


def _same(one: Whole, other: Whole) -> bool:
    return same_payload(one.payload, other.payload) and all(near_vectors(one, other))
