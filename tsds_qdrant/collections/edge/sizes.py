"""How much of the disk an embedded collection takes, in all and for each space.

The engine keeps the vectors of a space, and their index, in directories of each segment that have
its name; the vector file that scans read is beside the segments.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tsds_qdrant.collections.edge.directory import SEGMENTS, shard_path
from tsds_qdrant.collections.edge.vector_files import file_of
from tsds_qdrant.collections.places import CLIENT_COLLECTIONS

PARTS = ("vector_storage", "vector_index")
BLOCK = 512
"""Bytes of a unit of ``st_blocks``."""


def shard_bytes(location: str, name: str) -> int:
    """Bytes on disk of collection ``name``."""
    return _bytes_of([shard_path(location, name)])


def client_bytes(location: str, name: str) -> int | None:
    """Bytes on disk of collection ``name`` of a folder of qdrant-client; None if not known."""
    return _bytes_of([Path(location) / CLIENT_COLLECTIONS / name]) or None


def space_bytes(location: str, name: str, space: str) -> int:
    """Bytes on disk of the vectors, index and vector file of ``space``."""
    shard = shard_path(location, name)
    suffix = f"-{space}" if space else ""
    segments = [*(shard / SEGMENTS).iterdir()] if (shard / SEGMENTS).is_dir() else []
    parts = [segment / f"{part}{suffix}" for segment in segments for part in PARTS]
    return _bytes_of([*parts, file_of(shard, space)])


def _bytes_of(places: Iterable[Path]) -> int:
    """What the files below ``places`` take; one that goes meanwhile takes nothing."""
    total = 0
    for place in places:
        for path in place.rglob("*"):
            with suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    found = path.stat()
                    total += getattr(found, "st_blocks", -(-found.st_size // BLOCK)) * BLOCK
    return total
