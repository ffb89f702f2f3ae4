"""The line to a server: which of its nodes is asked, how long it is waited for, what is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.server.failures import Failure
from tsds_qdrant.collections.server.notices import Notices, duration
from tsds_qdrant.collections.server.retries import Patience
from tsds_qdrant.errors import TsdsError

WORTH_SAYING_S = 2.0
"""What is waited for no longer than this is not spoken of."""


@dataclass(frozen=True)
class Node:
    """One address of a server.

    Attributes:
        place: for messages.
        answers: whether it answers at once when it is asked for nothing.
    """

    place: Place
    answers: Callable[[], bool] = lambda: True


class Line:
    """One line to a server of one or several nodes, shared by all requests of a session.

    A node that gives no answer is left for the next one without a pause; when none of them does,
    all are waited for. The ``turn`` says how often a node was left, so that of several requests
    that fail together one leaves it.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        patience: Patience | None = None,
        say: Callable[[str], Any] | None = None,
    ) -> None:
        self.patience = patience or Patience()
        self.turn = 0
        self._nodes = list(nodes)
        self._notices = Notices(say, self.patience.clock)
        self._lock = Lock()
        self._left = 0
        """How many nodes in a row were left since the last answer."""
        self._silent: set[int] = set()
        """Turns in which a node turned out to be silent, not just slow."""
        self._error: TsdsError | None = None

    @property
    def node(self) -> int:
        """Number of the node that is asked."""
        return self.turn % len(self._nodes)

    @property
    def place(self) -> Place:
        """The node that is asked."""
        return self._nodes[self.node].place

    def place_of(self, turn: int) -> Place:
        """The node that was asked in ``turn``."""
        return self._nodes[turn % len(self._nodes)].place

    def now(self) -> float:
        """Seconds on the clock."""
        return self.patience.clock()

    def begin(self) -> None:
        """Go to the first node that answers, where there are several; else stay."""
        if len(self._nodes) > 1:
            for turn, node in enumerate(self._nodes):
                if node.answers():
                    self.turn = turn
                    break
            if self.turn:
                self._notices.now(f"{self.place_of(0)} gives no answer; {self._going_on()}")

    @contextmanager
    def asking(self) -> Iterator[None]:
        """A request is under way inside of the block, and answered if that ends without error."""
        with self._notices.asking(str(self.place)):
            yield
        self._left = 0
        self._notices.answered()

    def pause_after(
        self, failure: Failure, turn: int, failures: int, first: float, *, opening: bool = False
    ) -> float | None:
        """Seconds until a request is sent again; None if that makes no sense.

        Args:
            failure: what happened to it.
            turn: in which it was sent.
            failures: how often it failed.
            first: when it failed for the first time.
            opening: nothing is lost yet.
        """
        if failure.course in ("final", "split"):
            return None
        self._error = failure.error
        if failure.elsewhere and self._leave(turn, failure):
            return 0.0
        waited = self.now() - first
        pause = self.patience.pause_after(failure, failures, waited, opening=opening)
        if pause is not None:
            left = self.patience.left(failure, waited, opening=opening)
            if failure.wait:
                self._notices.waiting(str(failure.error), f"tried again in {duration(pause)}")
            elif left >= WORTH_SAYING_S:
                self._notices.waiting(str(failure.error), f"tried again for up to {duration(left)}")
        return pause

    def weighed(self, failure: Failure, turn: int) -> Failure:
        """A time-out as one of a server that is away, if it answers nothing else either."""
        if failure.course != "slow":
            return failure
        if turn not in self._silent and self._nodes[turn % len(self._nodes)].answers():
            return failure
        self._silent.add(turn)
        return replace(failure, course="retry", elsewhere=True)

    def wait(self, seconds: float) -> None:
        """Wait, unless nobody waits any more.

        Raises:
            TsdsError: the failure that is no longer waited out.
        """
        if seconds and self.patience.sleep(seconds) and self._error is not None:
            raise self._error

    def close(self) -> None:
        """Say nothing more."""
        self._notices.close()

    def _leave(self, turn: int, failure: Failure) -> bool:
        """Go on with the next node; False where each of them was left in vain."""
        with self._lock:
            if turn < self.turn:  # another request has left it already
                return True
            if len(self._nodes) == 1:
                return False
            self.turn += 1
            self._left += 1
            in_vain = self._left >= len(self._nodes)
            if in_vain:
                self._left = 0
        if not in_vain:
            what = str(failure.error).rpartition("; ")[0]
            self._notices.now(f"{what}; {self._going_on()}")
        return not in_vain

    def _going_on(self) -> str:
        return f"going on with {self.place.location}"
