"""Requests are tried again while that can help: exponential backoff with jitter."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tsds_qdrant.collections.failures import OversizedError, explain
from tsds_qdrant.collections.refusals import Place

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How :func:`retrying` waits: ``base`` seconds, doubled up to ``ceiling``, with jitter.

    Attributes:
        attempts: calls in all; ``slow_attempts`` for those that time out.
        longest_wait: a longer wait asked for by Qdrant (seconds) is reported instead.
    """

    attempts: int = 6
    slow_attempts: int = 2
    base: float = 0.5
    ceiling: float = 30.0
    longest_wait: float = 120.0
    rng: random.Random = field(default_factory=random.Random)
    sleep: Callable[[float], None] = time.sleep


def retrying(
    call: Callable[[], T], place: Place, patience: Patience, *, splittable: bool = False
) -> T:
    """Return what ``call`` returns, after as many attempts as ``patience`` allows.

    Raises:
        OversizedError: ``splittable`` and only smaller batches can help.
        TsdsError: the error is final, or the last attempt failed.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return call()
        except Exception as error:
            failure = explain(error, place)
            if failure is None:
                raise
            slow = failure.course == "slow"
            if failure.course == "split" or (
                slow and splittable and attempt >= patience.slow_attempts
            ):
                raise OversizedError(str(failure.error)) from error
            attempts = patience.slow_attempts if slow else patience.attempts
            asked = failure.wait or 0.0
            if failure.course == "final" or attempt >= attempts or asked > patience.longest_wait:
                raise failure.error from error
        delay = min(patience.ceiling, patience.base * 2.0 ** (attempt - 1))
        patience.sleep(max(asked, delay) + delay * patience.rng.random() / 2)
