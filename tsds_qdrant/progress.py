"""How long work reports its progress: by a callback, never by printing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Progress = Callable[[str, int, int], None]
"""Called with the stage, how much of it is done, and out of how many (0 if unknown)."""
_TELL: ContextVar[Callable[[str, str], None] | None] = ContextVar("tell", default=None)


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


@contextmanager
def notices_to(show: Callable[[str], object]) -> Iterator[None]:
    """Show what :func:`notice` says inside the block, once for each subject."""
    shown: set[str] = set()

    def tell(subject: str, text: str) -> None:
        if subject not in shown:
            shown.add(subject)
            show(text)

    before = _TELL.set(tell)
    try:
        yield
    finally:
        _TELL.reset(before)


def notice(subject: str, text: str) -> None:
    """Say something that a person who waits should know; nobody hears it outside such a block."""
    tell = _TELL.get()
    if tell is not None:
        tell(subject, text)


def about(seconds: float) -> str:
    """A time in words, as in "about 4 minutes"."""
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"about {seconds / size:.0f} {unit}"
    return f"about {max(1, round(seconds))} s"
