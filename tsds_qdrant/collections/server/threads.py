"""Threads that nobody waits for once their work is not wanted any more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any


class DaemonThreads(Executor):
    """Runs calls in a few threads, as ``ThreadPoolExecutor`` does, and never keeps Python alive.

    *subtle*: at its end Python waits for the threads of a pool, and one of these may be in a
    request that a stopped server does not answer for a minute.
    """

    def __init__(self, most: int) -> None:
        """Start at most ``most`` threads, as they are needed."""
        self._most = most
        self._threads: list[threading.Thread] = []
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._guard = threading.Lock()
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``fn`` in one of the threads.

        Raises:
            RuntimeError: they are shut down.
        """
        future: Future[Any] = Future()
        with self._guard:
            if self._closed:
                raise RuntimeError("these threads are closed")
            self._calls.put((future, lambda: fn(*args, **kwargs)))
            if len(self._threads) < self._most:
                thread = threading.Thread(target=self._work, name="tsds-qdrant", daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; cancel those that wait, and wait for the others, if wanted."""
        with self._guard:
            self._closed = True
            while cancel_futures and not self._calls.empty():
                if (waiting := self._calls.get()) is not None:
                    waiting[0].cancel()
            for _ in self._threads:
                self._calls.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _work(self) -> None:
        while (next_call := self._calls.get()) is not None:
            future, call = next_call
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
            del future, call, next_call
