"""How long work reports its progress: by a callback, never by printing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the stage, how much of it is done, and out of how many (0 if unknown)."""


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
