"""Work that goes on behind other work: points are stored while the next texts are embedded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context

Work = Callable[[], None]


class Behind:
    """One piece of work that waits for its time, in another thread."""

    def __init__(self) -> None:
        self._waiting: Work | None = None
        self._thread: ThreadPoolExecutor | None = None

    def put(self, work: Work) -> None:
        """Do ``work`` later; what waits already is done first."""
        self.finish()
        self._waiting = work

    def finish(self) -> None:
        """Do now what waits."""
        work, self._waiting = self._waiting, None
        if work is not None:
            work()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Do what waits in another thread meanwhile; it is done at the end of the block.

        Raises:
            BaseException: what the work raises, unless the block raises something itself.
        """
        work, self._waiting = self._waiting, None
        if work is None:
            yield
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "storing")
        done = self._thread.submit(copy_context().run, work)
        try:
            yield
        finally:
            done.exception()
        done.result()

    def close(self) -> None:
        """Do what waits, and let the thread end."""
        try:
            self.finish()
        finally:
            if self._thread is not None:
                self._thread.shutdown()
                self._thread = None
