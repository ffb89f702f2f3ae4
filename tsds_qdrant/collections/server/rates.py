"""Rates that a server allows, as it counts them: tokens that come back evenly over a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tsds_qdrant.collections.limits import MINUTE, RATES, Kind, announce
from tsds_qdrant.errors import RequestRejectedError

PART = 6
"""No request takes more than this part of what comes back in a minute, so that work goes on
evenly and others find some too."""
SPARE_S = 0.01
"""Waited in addition, as two clocks never agree."""


@dataclass(frozen=True)
class Cost:
    """Tokens that a request takes: some for itself, and some for each of its rows."""

    request: int = 0
    row: int = 0

    def of(self, rows: int) -> int:
        """What a request of ``rows`` takes."""
        return self.request + self.row * rows


class Rate:
    """Tokens as the server counts them: ``per_minute`` at first, then as they come back.

    Args:
        per_minute: None where there is no limit.
        what: what is counted.
        name: of the collection.
        clock: the time in seconds.
    """

    def __init__(
        self,
        per_minute: int | None,
        what: Kind,
        name: str,
        clock: Callable[[], float],
    ) -> None:
        self.per_minute = per_minute
        self._what, self._name = what, name
        self._clock = clock
        self._tokens = float(per_minute or 0)
        self._since = clock()

    def rows(self, cost: Cost, most: int) -> int:
        """How many rows, at most ``most``, one request may hold.

        Raises:
            RequestRejectedError: not even one.
        """
        self._check(cost.of(1))
        if self.per_minute is None or cost.row == 0:
            return most
        share = max(self.per_minute // PART, cost.of(1))
        return max(1, min(most, (share - cost.request) // cost.row))

    def pause(self, tokens: int) -> float:
        """Seconds until a request that takes ``tokens`` may be sent."""
        if self.per_minute is None:
            return 0.0
        self._refill()
        lacking = tokens - self._tokens
        return lacking * MINUTE / self.per_minute + SPARE_S if lacking > 0 else 0.0

    def spend(self, tokens: int) -> None:
        """Count a request that takes ``tokens``."""
        if self.per_minute is not None:
            self._refill()
            self._tokens -= tokens

    def exhausted(self) -> None:
        """The server has none left, as others took some."""
        self._refill()
        self._tokens = min(self._tokens, 0.0)

    def announce(self, tokens: int) -> None:
        """Say how long ``tokens`` take where a person would wonder; once for a command."""
        self._refill()
        announce(self._name, self._what, self.per_minute, tokens - self._tokens)

    def _check(self, tokens: int) -> None:
        if self.per_minute is not None and tokens > self.per_minute:
            raise RequestRejectedError(
                f"collection '{self._name}' allows {self.per_minute} {self._what} a minute and "
                f"one that is needed here counts as {tokens} (strict mode, {RATES[self._what]}); "
                f"have that raised to {tokens} or more"
            )

    def _refill(self) -> None:
        if self.per_minute is None:
            return
        now = self._clock()
        back = (now - self._since) * self.per_minute / MINUTE
        self._tokens, self._since = min(float(self.per_minute), self._tokens + back), now
