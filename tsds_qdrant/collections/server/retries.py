"""Requests are tried again while that can help: exponential backoff with jitter."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.server.failures import Failure, explain

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long and how often to wait: ``base`` seconds, doubled up to ``ceiling``, with jitter.

    Attributes:
        attempts: calls in all; ``slow_attempts`` for those that time out.
        longest_wait: a longer wait asked for by Qdrant (seconds) is reported instead.
        clock: the time in seconds, from any start.
    """

    attempts: int = 6
    slow_attempts: int = 2
    base: float = 0.5
    ceiling: float = 30.0
    longest_wait: float = 120.0
    rng: random.Random = field(default_factory=random.Random)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def pause_after(self, failure: Failure, attempts: int) -> float | None:
        """Seconds to wait after ``attempts`` that failed; None if another one makes no sense."""
        allowed = self.slow_attempts if failure.course == "slow" else self.attempts
        asked = failure.wait or 0.0
        hopeless = failure.course in ("final", "split")
        if hopeless or attempts >= allowed or asked > self.longest_wait:
            return None
        delay = min(self.ceiling, self.base * 2.0 ** (attempts - 1))
        return max(asked, delay) + delay * self.rng.random() / 2


def retrying(call: Callable[[], T], place: Place, patience: Patience) -> T:
    """Return what ``call`` returns, after as many attempts as ``patience`` allows.

    Raises:
        OversizedError: only smaller requests can help.
        TsdsError: the error is final, or the last attempt failed.
    """
    attempts = 0
    while True:
        try:
            return call()
        except Exception as error:
            attempts += 1
            failure = explain(error, place)
            if failure is None:
                raise
            pause = patience.pause_after(failure, attempts)
            if pause is None:
                raise failure.error from error
        patience.sleep(pause)
