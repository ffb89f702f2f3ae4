"""The model that was used last: who asks for an equal one gets it, loaded."""

from __future__ import annotations

from typing import Any

from tsds_qdrant.representations.text import Embedder

_LAST: dict[Any, Embedder] = {}


def used_last(embedder: Embedder) -> Embedder:
    """``embedder``, or the equal one that was used last and has its model loaded.

    Equal are those of one ``key``; without any, an embedder is only itself.
    """
    key = getattr(embedder, "key", None)
    if key is None:
        return embedder
    if key not in _LAST:
        _LAST.clear()
        _LAST[key] = embedder
    return _LAST[key]
