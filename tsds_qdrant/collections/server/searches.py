"""Runs the searches of one space in requests that suit the server, and weighs them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.limits import Limits, check_depth, check_filter_limits, conditions
from tsds_qdrant.collections.server import answers, wire
from tsds_qdrant.collections.server.batches import Batches
from tsds_qdrant.collections.server.pieces import in_pieces, listed_ids
from tsds_qdrant.collections.server.rates import Cost, Rate
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.server.writes import REQUEST_FLOATS, SPARSE_FLOATS

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

    def __init__(
        self,
        session: Session,
        threads: Executor,
        dimension: int,
        limits: Limits,
        rate: Rate,
        seen: Callable[[answers.Answer], object],
    ) -> None:
        """Searches by queries of ``dimension`` (0 for sparse ones), several at once.

        ``seen`` is given every answer whose hits come with their shard keys.
        """
        self.moved = 0
        self._seen = seen
        self._floats = dimension or SPARSE_FLOATS
        self._limits = limits
        self._session = session
        self._ask = wire.ask_local if session.local else wire.ask_rest
        if session.grpc:
            self._ask = wire.ask_grpc
        self._batches: Batches[answers.Answer] = Batches(
            min(SEARCH_BATCH, REQUEST_FLOATS // self._floats),
            session.line,
            first=FIRST_SEARCHES,
            executor=None if session.local else threads,
            in_flight=1 if session.local or rate.per_minute else IN_FLIGHT,
            rate=rate,
        )

    def run(
        self,
        search: wire.Search,
        rows: wire.Rows,
        on_batch: Callable[[int], None] | None,
    ) -> answers.Answer:
        """Search the nearest of ``rows`` (B), piece by piece where the limits ask for that.

        Raises:
            DepthError: the limits allow no such number of hits.
        """
        server_filter(search.where)
        check_filter_limits(search.where, self._limits, search.collection)
        check_depth(search.limit, self._limits, search.where, search.collection)
        if search.limit <= (self._limits.limit or search.limit):
            return self._asked(search, rows, None, on_batch)
        return in_pieces(self._asked, search, rows, self._limits, on_batch)

    def _asked(
        self,
        search: wire.Search,
        rows: wire.Rows,
        wheres: wire.Wheres,
        on_batch: Callable[[int], None] | None,
    ) -> answers.Answer:
        widest = max(wheres, key=conditions) if wheres else search.where
        listed = 0 if wheres is None else max(map(listed_ids, wheres))
        most = min(
            self._limits.batch or SEARCH_BATCH,
            SEARCH_HITS // max(1, search.limit),
            REQUEST_FLOATS // (self._floats + listed),
        )
        parts = self._batches.run(
            len(rows),
            lambda part: self._ask(
                self._session.client,
                search,
                wire.part_of(rows, part.start, part.stop),
                wheres and wheres[part.start : part.stop],
            ),
            kind=(search.exact, search.limit.bit_length(), widest is not None, listed.bit_length()),
            at_most=max(1, most),
            cost=Cost(row=1 + conditions(widest)),
            on_batch=on_batch,
        )
        answer = answers.joined(parts)
        if search.told:
            self._seen(answer)
        self.moved += answer.moved
        return answer
