"""What is said while a server keeps somebody waiting."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

EVERY_S = 30.0
"""Between two notices; and how long a request may go without an answer before the first."""


def duration(seconds: float) -> str:
    """``seconds`` in words."""
    return f"{seconds:.0f} s" if round(seconds) < 120 else f"{seconds / 60:.0f} min"


class Notices:
    """Says that a server is waited for: at once, and again every half minute.

    A thread of its own watches requests that get no answer, from the first of them on.
    """

    def __init__(self, say: Callable[[str], Any] | None, clock: Callable[[], float]) -> None:
        self._say = say
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._watch: threading.Thread | None = None
        self._last = -math.inf
        self._said_of_wait = False
        self._under_way = 0
        self._quiet_since = 0.0
        self._asked = ""

    def now(self, text: str) -> None:
        """Say ``text``, whatever was said before."""
        if self._say is not None:
            self._say(text)

    def waiting(self, error: str, then: str) -> None:
        """A request failed with ``error``, and what is done ``then`` in the place of its advice."""
        self._seldom(f"{error.rpartition('; ')[0]}; {then}")

    def answered(self) -> None:
        """A request was answered."""
        self._quiet_since = time.monotonic()
        if self._said_of_wait:
            self._said_of_wait = False
            self.now(f"{self._asked} answers again")

    @contextmanager
    def asking(self, whom: str) -> Iterator[None]:
        """A request to ``whom`` is under way inside of the block."""
        if self._say is None:
            yield
            return
        with self._lock:
            if not self._under_way:
                self._quiet_since = time.monotonic()
            self._under_way += 1
            self._asked = whom
            if self._watch is None:
                self._watch = threading.Thread(target=self._watching, daemon=True)
                self._watch.start()
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def close(self) -> None:
        """End the watch."""
        self._closed.set()

    def _watching(self) -> None:
        while not self._closed.wait(1.0):
            quiet = time.monotonic() - self._quiet_since
            if self._under_way and quiet >= EVERY_S:
                self._seldom(f"{self._asked} has not answered for {duration(quiet)}")

    def _seldom(self, text: str) -> None:
        now = self._clock()
        with self._lock:
            if now - self._last < EVERY_S:
                return
            self._last = now
            self._said_of_wait = True
        self.now(text)
