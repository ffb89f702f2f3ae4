"""The model that was used last: who asks for an equal one gets it, loaded."""

from __future__ import annotations

from typing import Any

from tsds_qdrant.representations.text import Embedder

_LAST: dict[tuple[Any, ...], Embedder] = {}


def used_last(embedder: Embedder) -> Embedder:
    """``embedder``, or the equal one that was used last and has its model loaded."""
    key: tuple[Any, ...] = (type(embedder), *getattr(embedder, "key", (id(embedder),)))
    if key not in _LAST:
        _LAST.clear()
        _LAST[key] = embedder
    return _LAST[key]
