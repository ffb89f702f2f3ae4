"""Requests are sent again while that can help: for a time, with growing pauses and jitter."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tsds_qdrant.collections.server.failures import Failure, explain

if TYPE_CHECKING:
    from tsds_qdrant.collections.server.line import Line

T = TypeVar("T")
DEFAULT_PATIENCE_S = 120.0
OPENING_S = 1.0
MOST_DOUBLINGS = 16


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server: pauses of ``base`` s, doubled up to ``ceiling``, with jitter.

    Attributes:
        seconds: from the first failure of a request to the last attempt.
        opening: the same, from its beginning, while a collection is opened and nothing is lost yet.
        asked: waits that Qdrant asks for, as it is busy, are kept for this times ``seconds``.
        slow_attempts: calls in all, where a server that is there takes too long for one point.
        sleep: waits; where it returns True, nothing is waited for any more.
        clock: the time in seconds, from any start.
    """

    seconds: float = DEFAULT_PATIENCE_S
    opening: float = OPENING_S
    asked: float = 10.0
    slow_attempts: int = 2
    base: float = 0.5
    ceiling: float = 5.0
    rng: random.Random = field(default_factory=random.Random)
    sleep: Callable[[float], Any] = time.sleep
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def of(cls, seconds: float) -> Patience:
        """That of a user who wants to wait ``seconds``, even for a server that is not there yet."""
        return cls(seconds, seconds)

    def left(self, failure: Failure, waited: float, *, opening: bool) -> float:
        """Seconds that may still be waited, ``waited`` after the first failure."""
        allowed = min(self.opening, self.seconds) if opening else self.seconds
        return (self.seconds * self.asked if failure.wait else allowed) - waited

    def pause_after(
        self, failure: Failure, failures: int, waited: float, *, opening: bool = False
    ) -> float | None:
        """Seconds to wait after ``failures`` of a request; None if another attempt is vain."""
        if failure.course in ("final", "split"):
            return None
        if failure.course == "slow" and failures >= self.slow_attempts:
            return None
        asked = failure.wait or 0.0
        left = self.left(failure, waited, opening=opening)
        if left <= 0 or asked > self.seconds:
            return None
        delay = min(self.ceiling, self.base * 2.0 ** min(failures - 1, MOST_DOUBLINGS))
        pause = max(asked, delay) + delay * self.rng.random() / 2
        return min(pause, max(left, asked))


def retrying(call: Callable[[], T], line: Line, *, once: bool = False, opening: bool = False) -> T:
    """Return what ``call`` returns, sent again over ``line`` for as long as that has patience.

    Args:
        call: sends a request to the node that the line is on.
        line: decides.
        once: never send it again.
        opening: nothing is lost yet if it fails.

    Raises:
        OversizedError: only smaller requests can help.
        TsdsError: the error is final, or patience is at its end.
    """
    failures = 0
    first = line.now() if opening else None
    while True:
        turn = line.turn
        try:
            with line.asking():
                return call()
        except Exception as error:
            failure = explain(error, line.place_of(turn))
            if failure is None:
                raise
            if once:
                raise failure.error from error
            failure = line.weighed(failure, turn)
            failures += 1
            first = line.now() if first is None else first
            pause = line.pause_after(failure, turn, failures, first, opening=opening)
            if pause is None:
                raise failure.error from error
        line.wait(pause)
