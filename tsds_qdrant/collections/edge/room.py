"""Room on disk for an embedded collection, looked for before the engine writes.

The engine writes into mapped files that grow as they are filled: on a full disk the process is
killed (SIGBUS) in the middle of a write, where an error could be said before it. Measured on Qdrant
Edge 0.9: what is written takes 2.3 times its bytes (log and segment) and 250 bytes a point.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.errors import RequestRejectedError

RESERVE = 2_000_000
"""Bytes that closing and opening a collection may take."""
GROWTH = 2.5
POINT_BYTES = 400
INDEX_GROWTH = 1.2
INDEXED_BYTES = 10_000_000
"""Vectors of fewer bytes get no index."""


def check_room(place: Place, directory: Path, needed: float, purpose: str, kept: str) -> None:
    """Check that the disk of ``directory`` has room for ``needed`` bytes and a reserve.

    Args:
        place: of the collection, for the message.
        directory: that exists.
        needed: bytes.
        purpose: what they are for, as in "store 1000 points".
        kept: what stays as it is if there is no room, as in "its 20 points are kept".

    Raises:
        RequestRejectedError: it has not.
    """
    free = shutil.disk_usage(directory).free
    if needed + RESERVE > free:
        raise RequestRejectedError(
            f"{place} needs about {megabytes(needed + RESERVE)} of disk to {purpose}, and "
            f"'{directory}' has {megabytes(free)} left; {kept}; make room, then run the same "
            f"command again"
        )


def written_bytes(points: int, values: float) -> float:
    """Bytes of disk that a write of ``points`` takes whose vectors and payloads have ``values``."""
    return GROWTH * values + POINT_BYTES * points


def index_bytes(directory: Path, vectors: float, indexed_share: float) -> float:
    """Bytes of disk, at most, that indexing the shard in ``directory`` takes for a time.

    Args:
        directory: of the shard.
        vectors: bytes of its vectors.
        indexed_share: of them, from 0 to 1.
    """
    if vectors < INDEXED_BYTES or indexed_share >= 1:
        return 0.0
    files = (file for file in (directory / "segments").rglob("*") if file.is_file())
    return INDEX_GROWTH * (1 - indexed_share) * _taken(files)


def _taken(files: Iterable[Path]) -> int:
    """Bytes that ``files`` take, without the holes in them."""
    found = (file.stat() for file in files)
    return sum(getattr(one, "st_blocks", one.st_size // 512) * 512 for one in found)


def megabytes(size: float) -> str:
    """A size in words."""
    return f"{size / 1e6:.1f} MB"
