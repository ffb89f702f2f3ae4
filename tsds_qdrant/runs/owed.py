"""What a run still owes its collection: a write-back that failed, or that was killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tsds_qdrant.runs.state import RunState

TAGS = "tags"


class Ledger:
    """Remembers in the run's state that tags are being written, until all of them are confirmed.

    Args:
        state: the run's; without one nothing is remembered.
    """

    def __init__(self, state: RunState | None) -> None:
        self._state = state

    @property
    def remembers(self) -> bool:
        """Whether a write-back that fails is known to the next one."""
        return self._state is not None

    @property
    def owed(self) -> bool:
        """Whether the last write-back was not confirmed to its end."""
        return self._state is not None and self._state.owes(TAGS)

    @contextmanager
    def written(self) -> Iterator[None]:
        """The tags are owed from now on; no longer, once the block has ended well."""
        if self._state is not None:
            self._state.owe(TAGS)
        yield
        if self._state is not None:
            self._state.settle(TAGS)

    def renew(self, before: str | None, now: str | None) -> None:
        """Let the run know the collection by its fingerprint ``now`` that it knew by ``before``.

        So what a run itself writes is no change to look for. Whoever else wrote was seen by a
        fingerprint that is not ``before``.
        """
        if self._state is not None and before is not None and now is not None:
            self._state.renew_fingerprint(before, now)
