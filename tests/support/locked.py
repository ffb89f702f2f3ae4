"""Embedded collections that somebody else has open: the engine's lock, held beside it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from tsds_qdrant.collections.edge.locks import held
from tsds_qdrant.collections.refusals import Place


def open_elsewhere(location: str | Path, name: str) -> AbstractContextManager[None]:
    """Hold the lock of a collection as another process does that has it open."""
    return held(Path(location) / name, Place(str(location), name))
