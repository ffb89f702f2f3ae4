"""Runs the searches of one space in requests that suit the server, and weighs them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.server import answers, wire
from tsds_qdrant.collections.server.batches import Batches
from tsds_qdrant.collections.server.points import REQUEST_FLOATS, SPARSE_FLOATS
from tsds_qdrant.collections.server.session import Session

IN_FLIGHT = 4
FIRST_SEARCHES = 16
"""Searches in the first request of a kind: one task of a Qdrant node."""
SEARCH_BATCH = 512
SEARCH_HITS = 250_000


class Searches:
    """Searches of one space.

    Attributes:
        moved: bytes of all so far, questions and answers, without headers.
    """

    def __init__(self, session: Session, threads: Executor, dimension: int) -> None:
        """Searches by queries of ``dimension`` (0 for sparse ones), several at once."""
        self.moved = 0
        self._session = session
        self._ask = wire.ask_local if session.local else wire.ask_rest
        if session.grpc:
            self._ask = wire.ask_grpc
        self._batches: Batches[answers.Answer] = Batches(
            min(SEARCH_BATCH, REQUEST_FLOATS // (dimension or SPARSE_FLOATS)),
            session.line,
            first=FIRST_SEARCHES,
            executor=None if session.local else threads,
            in_flight=1 if session.local else IN_FLIGHT,
        )

    def run(
        self,
        search: wire.Search,
        rows: wire.Rows,
        most: int | None,
        on_batch: Callable[[int], None] | None,
    ) -> answers.Answer:
        """Search the nearest of ``rows`` (B); no request holds more than ``most`` of them."""
        server_filter(search.where)
        parts = self._batches.run(
            len(rows),
            lambda part: self._ask(
                self._session.client, search, wire.part_of(rows, part.start, part.stop)
            ),
            kind=(search.exact, search.limit.bit_length(), search.where is not None),
            at_most=min(most or SEARCH_BATCH, max(1, SEARCH_HITS // max(1, search.limit))),
            on_batch=on_batch,
        )
        answer = answers.joined(parts)
        self.moved += answer.moved
        return answer
