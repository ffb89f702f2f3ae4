"""Asks for many rows in requests that a server answers in good time, several under way at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Any, Generic, TypeVar

from tsds_qdrant.collections.server.failures import explain
from tsds_qdrant.collections.server.line import Line
from tsds_qdrant.collections.server.pace import Allowance, Pace
from tsds_qdrant.collections.server.rates import Cost, Rate

T = TypeVar("T")
FREE = Cost()


@dataclass(frozen=True)
class Piece:
    """Consecutive rows that are asked for together.

    Attributes:
        most: no request for some of them may hold more.
        failures: how often they were asked for in vain.
        first: when that was so for the first time (seconds of the clock).
        sent: when they were asked for this time.
        turn: of the line, at that time.
    """

    rows: range
    most: int
    failures: int = 0
    first: float | None = None
    sent: float = 0.0
    turn: int = 0


class Rest:
    """The rows that are still to be asked for, the earliest first."""

    def __init__(self, count: int, most: int) -> None:
        self._pieces = [(0, Piece(range(count), most))] if count else []

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def cut(self, most: int) -> Piece:
        """Take out at most ``most`` rows."""
        _, piece = heappop(self._pieces)
        size = min(most, piece.most)
        if size < len(piece.rows):
            self.put_back(replace(piece, rows=piece.rows[size:]))
        return replace(piece, rows=piece.rows[:size])

    def put_back(self, piece: Piece) -> None:
        """Rows that must be asked for again."""
        heappush(self._pieces, (piece.rows.start, piece))


class Batches(Generic[T]):
    """Runs calls on ranges of rows, and remembers what suits the server.

    Requests grow and shrink so that an answer takes about a second; each kind of request has its
    own size, as some cost a hundred times more than others. While a server is busy or away no
    request starts, and afterwards fewer are under way for a time. All this is decided in the
    thread that calls :meth:`run`; what is remembered is replaced whole, so that several such
    threads at worst overlook each other's latest lesson.
    """

    def __init__(
        self,
        size: int,
        line: Line,
        *,
        first: int | None = None,
        executor: Executor | None = None,
        in_flight: int = 1,
        writes: bool = False,
        rate: Rate | None = None,
    ) -> None:
        """``size`` rows at most in a request over ``line``, ``first`` in the first one of a kind.

        ``in_flight`` requests at most are under way in ``executor``; without one, each runs in
        the thread that asks. ``writes`` says that they are writes, which may be stored in part.
        No more is asked for than ``rate`` allows.
        """
        self._writes = writes
        self._size = max(1, size)
        self._first = min(self._size, first or self._size)
        self._line = line
        self._executor = executor or _Here()
        self._rate = rate or Rate(None, "reads", "", line.now)
        self._allowance = Allowance(in_flight, float(in_flight))
        self._paces: dict[Hashable, Pace] = {}

    def run(
        self,
        count: int,
        call: Callable[[range], T],
        *,
        kind: Hashable = None,
        at_most: int | None = None,
        cost: Cost = FREE,
        on_batch: Callable[[int], None] | None = None,
    ) -> list[T]:
        """Collect what ``call`` returns for consecutive ranges that cover ``range(count)``.

        Args:
            count: number of rows.
            call: is given a range of rows; may run in another thread.
            kind: requests of one kind cost about the same for each row.
            at_most: no request holds more rows than this.
            cost: what a request takes of the rate.
            on_batch: called with the number of rows of each request that is answered.

        Raises:
            OversizedError: a single row is too large.
            RequestRejectedError: a single row takes more than the rate allows in a minute.
            TsdsError: the failure is final, or there were too many.
        """
        most = self._rate.rows(cost, min(self._size, at_most or self._size)) if count else 1
        self._rate.announce(cost.of(count) + cost.request * (count // most))
        rest = Rest(count, most)
        under_way: dict[Future[tuple[T, float]], Piece] = {}
        answers: dict[int, T] = {}
        try:
            while rest or under_way:
                while rest and len(under_way) < int(self._allowance.width):
                    piece = self._next(rest, kind, cost)
                    under_way[self._executor.submit(self._timed, call, piece.rows)] = piece
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    piece = under_way.pop(future)
                    try:
                        answers[piece.rows.start], seconds = future.result()
                    except Exception as error:
                        rest.put_back(self._failed(piece, kind, error))
                        continue
                    self._paces[kind] = self._paces[kind].answered(len(piece.rows), seconds)
                    self._allowance = self._allowance.answered()
                    if on_batch:
                        on_batch(len(piece.rows))
        finally:
            for future in under_way:
                future.cancel()
        return [answers[start] for start in sorted(answers)]

    def _next(self, rest: Rest, kind: Hashable, cost: Cost) -> Piece:
        """What to ask for next, once the server may be asked again."""
        pace = self._paces.setdefault(kind, Pace(self._size, self._first))
        piece = rest.cut(pace.rows)
        tokens = cost.of(len(piece.rows))
        try:
            self._line.wait(max(self._allowance.wait(self._line.now()), self._rate.pause(tokens)))
        except BaseException:
            rest.put_back(piece)
            raise
        self._rate.spend(tokens)
        return replace(piece, sent=self._line.now(), turn=self._line.turn)

    def _timed(self, call: Callable[[range], T], rows: range) -> tuple[T, float]:
        started = self._line.now()
        with self._line.asking():
            answer = call(rows)
        return answer, self._line.now() - started

    def _failed(self, piece: Piece, kind: Hashable, error: Exception) -> Piece:
        """Learn from ``error``, and say how to ask for ``piece`` again.

        Raises:
            TsdsError: that makes no sense.
        """
        failure = explain(error, self._line.place_of(piece.turn), write=self._writes)
        if failure is None:
            raise error
        failure = self._line.weighed(failure, piece.turn)
        rows, pace = len(piece.rows), self._paces[kind]
        if failure.course == "split" and rows > 1:
            self._paces[kind] = pace.refused(rows)
            return replace(piece, most=rows // 2)
        if failure.course == "slow" and rows > 1:
            self._paces[kind] = pace.timed_out(rows)
            self._trouble(piece, 0.0)
            return replace(piece, most=max(1, rows // 4))
        failures, now = piece.failures + 1, self._line.now()
        first = now if piece.first is None else piece.first
        pause = self._line.pause_after(failure, piece.turn, failures, first)
        if pause is None:
            raise failure.error from error
        self._trouble(piece, pause)
        if failure.wait is not None:
            self._rate.exhausted()
        return replace(piece, failures=failures, first=first)

    def _trouble(self, piece: Piece, pause: float) -> None:
        now = self._line.now()
        self._allowance = self._allowance.troubled(piece.sent, now, pause)


class _Here(Executor):
    """Runs each call at once, in the thread that submits it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
