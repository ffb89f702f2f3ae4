"""Mirrors: embedded copies of collections, made whole and kept up to date.

Names are imported when they are first used, so that what remembers a mirror loads no client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsds_qdrant.mirror.mirroring import mirror
    from tsds_qdrant.mirror.settings import MirrorSettings

__all__ = ["MirrorSettings", "mirror"]
_HOMES = {"MirrorSettings": "settings", "mirror": "mirroring"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
