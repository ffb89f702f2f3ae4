"""How large requests are and how many are under way: what the answers so far teach."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

TARGET_S = 1.0
"""Seconds that an answer should take: a progress bar moves, and no timeout is near."""
GROWTH = 2.0
RECOVERY = 8
"""Answers that earn one more request under way."""


@dataclass(frozen=True)
class Pace:
    """How many rows the next request of one kind holds.

    Attributes:
        most: larger requests were refused, or never wanted.
        rows: of the next request, at most ``most``.
    """

    most: int
    rows: int

    def answered(self, rows: int, seconds: float) -> Pace:
        """After ``rows`` were answered in ``seconds``: nearer to the target, at most doubled.

        A small request that was quick says nothing against larger ones, a slow one does.
        """
        fitting = max(1, int(rows * min(GROWTH, TARGET_S / max(seconds, 1e-9))))
        if seconds > TARGET_S:
            return replace(self, rows=min(self.rows, fitting))
        return replace(self, rows=min(self.most, max(self.rows, fitting)))

    def timed_out(self, rows: int) -> Pace:
        """After no answer to ``rows`` came in time: a quarter of them."""
        return replace(self, rows=max(1, min(self.rows, rows // 4)))

    def refused(self, rows: int) -> Pace:
        """After ``rows`` were too many for Qdrant, whatever the time: never that many again."""
        most = max(1, min(self.most, rows // 2))
        return Pace(most, min(self.rows, most))


@dataclass(frozen=True)
class Allowance:
    """How many requests may be under way at once, and from when on another may be sent.

    Attributes:
        most: never more than that.
        width: how many now; only its whole part counts.
        opens: nothing is sent before this moment (seconds of the caller's clock).
        narrowed: the moment when ``width`` was last cut.
    """

    most: int
    width: float
    opens: float = -math.inf
    narrowed: float = -math.inf

    def answered(self) -> Allowance:
        """After an answer: a little wider."""
        return replace(self, width=min(float(self.most), self.width + 1 / RECOVERY))

    def troubled(self, sent: float, now: float, pause: float) -> Allowance:
        """After what was sent at ``sent`` met a server that is busy, away or too slow.

        Everyone pauses, and half as many requests may be under way. One overload fails many
        requests: those sent before a cut do not cut again.
        """
        waiting = replace(self, opens=max(self.opens, now + pause))
        if sent <= self.narrowed:
            return waiting
        return replace(waiting, width=max(1.0, self.width / 2), narrowed=now)

    def wait(self, now: float) -> float:
        """Seconds until another request may be sent."""
        return max(0.0, self.opens - now)
