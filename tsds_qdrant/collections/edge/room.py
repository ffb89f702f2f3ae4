"""Room on disk for an embedded collection, looked for before the engine writes.

The engine writes into mapped files that grow as they are filled: on a full disk the process is
killed (SIGBUS) in the middle of a write, where an error could be said before it. Measured on Qdrant
Edge 0.9: what is written takes 2.3 times its bytes (log and segment) and 250 bytes a point. The
engine looks for room itself before it builds an index, and nowhere else.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.errors import RequestRejectedError

RESERVE = 2_000_000
"""Bytes that closing and opening a collection may take."""
GROWTH = 2.5
POINT_BYTES = 400


def check_room(
    place: Place, directory: Path, needed: float, purpose: str, kept: Callable[[], str]
) -> None:
    """Check that the disk of ``directory`` has room for ``needed`` bytes and a reserve.

    Args:
        place: of the collection, for the message.
        directory: that exists.
        needed: bytes.
        purpose: what they are for, as in "store 1000 points".
        kept: says what stays as it is if there is no room, as in "its 20 points are kept".

    Raises:
        RequestRejectedError: it has not.
    """
    free = shutil.disk_usage(directory).free
    if needed + RESERVE > free:
        raise RequestRejectedError(
            f"{place} needs about {megabytes(needed + RESERVE)} of disk to {purpose}, and "
            f"'{directory}' has {megabytes(free)} left; {kept()}; make room, then run the same "
            f"command again"
        )


def written_bytes(points: int, values: float) -> float:
    """Bytes of disk that a write of ``points`` takes whose vectors and payloads have ``values``."""
    return GROWTH * values + POINT_BYTES * points


def megabytes(size: float) -> str:
    """A size in words."""
    return f"{size / 1e6:.1f} MB"
