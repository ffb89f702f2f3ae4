"""The engine's lock on an open collection: an exclusive one on the directory of its log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.errors import CollectionLockedError

try:
    import fcntl
except ImportError:  # Windows, where an open directory cannot be moved anyway
    fcntl = None  # type: ignore[assignment]

LOG = "wal"


@contextmanager
def held(directory: Path, place: Place) -> Iterator[None]:
    """Keep everybody else from opening the collection in ``directory``.

    Raises:
        CollectionLockedError: somebody has it open.
    """
    log = directory / LOG
    if not log.is_dir():
        yield
        return
    with alone(log, f"{place} is open in another process; close that one, then try again"):
        yield


@contextmanager
def alone(directory: Path, refusal: str) -> Iterator[None]:
    """Keep everybody else who asks for the same from ``directory``.

    Raises:
        CollectionLockedError: somebody has it; the message is ``refusal``.
    """
    if fcntl is None:
        yield
        return
    with _opened(directory) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CollectionLockedError(refusal) from None
        yield


def locked(directory: Path) -> bool:
    """Whether the collection in ``directory`` is open, in this process or another."""
    try:
        with held(directory, Place("")):
            return False
    except CollectionLockedError:
        return True


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
