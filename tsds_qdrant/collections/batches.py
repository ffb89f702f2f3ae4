"""Cuts many rows into batches, several in flight, smaller ones when Qdrant asks for that."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from tsds_qdrant.collections.failures import OversizedError
from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.retries import Patience, retrying

T = TypeVar("T")


class Batches:
    """Runs calls on ranges of rows; remembers the size that Qdrant accepts."""

    def __init__(self, size: int, place: Place, patience: Patience) -> None:
        self.size = max(1, size)
        self._place = place
        self._patience = patience

    def run(
        self,
        count: int,
        call: Callable[[range], T],
        *,
        at_most: int | None = None,
        executor: Executor | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> list[T]:
        """Collect what ``call`` returns for consecutive ranges that cover ``range(count)``.

        Args:
            count: number of rows.
            call: is given a range of rows; may run in another thread.
            at_most: no batch is larger than this.
            executor: runs several batches at once.
            on_batch: called with the number of rows of each batch that is done.

        Raises:
            OversizedError: a single row is too large.
            TsdsError: whatever else :func:`retrying` raises.
        """
        size = min(self.size, at_most or self.size)
        batches = [range(start, min(start + size, count)) for start in range(0, count, size)]
        mapped = map if executor is None or len(batches) == 1 else executor.map
        answers: list[T] = []
        parts = mapped(lambda rows: self._split(rows, call), batches)
        for batch, part in zip(batches, parts, strict=True):
            answers += part
            if on_batch:
                on_batch(len(batch))
        return answers

    def _split(self, rows: range, call: Callable[[range], T]) -> list[T]:
        if len(rows) <= self.size:
            try:
                return [
                    retrying(
                        lambda: call(rows),
                        self._place,
                        self._patience,
                        splittable=len(rows) > 1,
                    )
                ]
            except OversizedError:
                if len(rows) == 1:
                    raise
                self.size = min(self.size, len(rows) // 2)
        middle = (len(rows) + 1) // 2
        return self._split(rows[:middle], call) + self._split(rows[middle:], call)
