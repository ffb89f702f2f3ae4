"""What a mirror can be made of: any collection, and the snapshot file of one."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tsds_qdrant.collections import open_collection
from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.edge.cloning import joined, of_files, opened_at, unfolded
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.edge.directory import write_metadata
from tsds_qdrant.collections.names import checked_name
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.server.description import METADATA_KEY
from tsds_qdrant.collections.spaces import ANY_SPACE
from tsds_qdrant.collections.whole import config_of
from tsds_qdrant.mirror.checks import check_place, made_directory
from tsds_qdrant.paths import Location, absolute, expanded

SETTINGS = "config.json"
"""What a collection is like, in a snapshot file."""
UNPACKED = ".whole"


@dataclass(frozen=True)
class Opened:
    """An open source.

    Attributes:
        collection: of any kind.
        file: the snapshot file that it was unpacked from; None where it is a collection itself.
    """

    collection: Collection
    file: str | None = None


@contextmanager
def opened_source(
    location: Location, name: str, connection: Connection | None, directory: Path
) -> Iterator[Opened]:
    """The source of a mirror in ``directory``, open in the block.

    Raises:
        CollectionError: see :func:`~tsds_qdrant.open_collection`.
        InputError: a file that is no snapshot.
    """
    if is_server(location) or not expanded(location).is_file():
        with open_collection(location, name, vector=ANY_SPACE, connection=connection) as opened:
            yield Opened(opened)
        return
    check_place(directory, name, "--to")
    made_directory(directory, "--to")
    file = Path(absolute(location))
    digest = hashlib.sha256(str(file).encode()).hexdigest()[:8]
    aside = expanded(directory) / f".unpacked-{digest}"
    shutil.rmtree(aside, ignore_errors=True)  # of a run that was killed
    try:
        with unpacked(file, aside / checked_name(name)) as collection:
            yield Opened(collection, str(file))
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def unpacked(file: Path, shard: Path) -> Iterator[EdgeCollection]:
    """The collection of the snapshot ``file``, unpacked into ``shard``; all shards in one."""
    whole = shard.parent / UNPACKED
    shard.parent.mkdir(parents=True)
    first, *others = unfolded(file, whole)
    kept = whole / SETTINGS
    described = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    config = config_of(described) if "params" in described else {}
    first.rename(shard)
    for other in others:
        joined(shard, other, config)
    of_files(shard, config)
    write_metadata(shard, (described.get("metadata") or {}).get(METADATA_KEY) or {})
    with opened_at(shard) as collection:
        yield collection
