"""Open shards, shared by all who open the same one in this process.

The engine's lock keeps other processes out. Inside one process a second opening, that of a notebook
cell which is run again, say, gets the shard that is open already; it is closed with the last
collection that has it, or when nothing refers to any of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from threading import RLock
from weakref import WeakValueDictionary

from tsds_qdrant.collections.edge.directory import shard_path
from tsds_qdrant.collections.edge.known import Known
from tsds_qdrant.collections.edge.locks import LOG

OPENING = RLock()
"""Held by whoever opens or closes a shard."""
_OPEN: WeakValueDictionary[tuple[int, str], Known] = WeakValueDictionary()


def shared(location: str, name: str) -> Known | None:
    """What is known of the shard in ``location/name``, if this process has it open.

    A shard whose directory was removed, and perhaps made again, is another one: its log is open,
    so that no other directory can have the number of that one.
    """
    path = shard_path(location, name)
    known = _OPEN.get(_key(path))
    return known if known is not None and known.log == log_of(path) is not None else None


def share(known: Known, location: str, name: str) -> None:
    """Let others in this process have the shard in ``location/name`` that was opened."""
    _OPEN[_key(shard_path(location, name))] = known


def log_of(path: Path) -> tuple[int, int] | None:
    """What marks the log of the shard at ``path`` among all logs; None where there is none."""
    try:
        found = (path / LOG).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _key(path: Path) -> tuple[int, str]:
    return os.getpid(), os.path.realpath(path)
