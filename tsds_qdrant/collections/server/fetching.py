"""The points of a collection on a server, fetched by their ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from qdrant_client import QdrantClient, models

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.closing import Closing
from tsds_qdrant.collections.cluster import ShardKey
from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.ids import checked_ids
from tsds_qdrant.collections.limits import Limits, check_filter_limits, conditions
from tsds_qdrant.collections.payloads import in_order
from tsds_qdrant.collections.server.batches import Batches
from tsds_qdrant.collections.server.clients import GRACE_S
from tsds_qdrant.collections.server.description import vector_of
from tsds_qdrant.collections.server.plain import Reading, listed_by_rest, points_by_rest
from tsds_qdrant.collections.server.rates import Cost, Rate
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.spaces import Space, known_space
from tsds_qdrant.collections.values import CollectionInfo, Filter, Payload, PointId, Record, Wanted

T = TypeVar("T")
POINT_BATCH = 1_000
ID_BATCH = 10_000
"""The same where ids alone are asked for, in bare JSON."""
LISTED = Cost(request=2)
"""What a page of a scroll costs whose filter lists ids."""


class ServerFetches(Closing):
    """What all that reads from a server goes by, and points by their ids."""

    def __init__(
        self, session: Session, described: CollectionInfo, spaces: dict[str, Space]
    ) -> None:
        self._session = session
        self._spaces = spaces
        self._name = session.place.collection
        self._description = described
        clock = session.line.now
        self._read_rate = Rate(described.limits.read_rate, "reads", self._name, clock)
        self._reads: Batches[list[Any]] = Batches(ID_BATCH, session.line, rate=self._read_rate)

    @property
    def limits(self) -> Limits:
        """What the collection allows, as of its opening."""
        return self._description.limits

    @property
    def _space(self) -> Space:
        """The searched space."""
        return known_space(self._spaces, self._description.vector, self._name)

    @property
    def _key(self) -> ShardKey | None:
        """The shard key of all that is read and written; None for all keys."""
        return self._description.shard_key

    @property
    def _own_vectors(self) -> Any:
        """How a request asks for the vectors of the searched space alone."""
        name = self._description.vector
        return [name] if name or len(self._spaces) > 1 else True

    def _condition(self, where: Filter | None) -> models.Filter | None:
        """``where`` for qdrant-client.

        Raises:
            SettingsError: its form is wrong.
            RequestRejectedError: the collection allows no filter that large.
        """
        condition = server_filter(where)
        check_filter_limits(where, self.limits, self._name)
        return condition

    def _read(
        self, call: Callable[[QdrantClient], T], where: Filter | None = None, tokens: int = 1
    ) -> T:
        """Send one request that reads with the filter ``where``, once the rate allows it.

        It counts as that many ``tokens``, and one for each condition.
        """
        tokens += conditions(where)
        self._read_rate.rows(Cost(tokens), 1)
        if pause := self._read_rate.pause(tokens):
            self._session.line.wait(pause)
        self._read_rate.spend(tokens)
        return self._session.send(call)

    def retrieve(
        self, ids: Sequence[PointId], *, payloads: Wanted = True, vectors: bool = False
    ) -> list[Record]:
        """Fetch stored points in the order of ``ids``; ids that do not exist are left out."""
        wanted = checked_ids(ids)
        found = self._points(wanted, payloads=payloads, vectors=vectors)
        return [found[point_id] for point_id in wanted if point_id in found]

    def vectors(self, ids: Sequence[PointId]) -> tuple[list[PointId], Float32Array]:
        """Those of ``ids`` that have a vector of the searched space, and these (n, D)."""
        stored = self.retrieve(ids, payloads=False, vectors=True)
        having = [record for record in stored if record.vector is not None]
        rows = np.array([record.vector for record in having], dtype=np.float32)
        dimension = self._description.dimension
        return [record.id for record in having], rows.reshape(len(having), dimension)

    def existing(self, ids: Sequence[PointId]) -> set[PointId]:
        """Which of ``ids`` are stored."""
        return set(self._points(checked_ids(ids), payloads=False, vectors=False))

    def _points(
        self, ids: list[PointId], *, payloads: Wanted, vectors: bool
    ) -> dict[PointId, Record]:
        return self._records(self._fetched(ids, payloads=payloads, vectors=vectors, key=self._key))

    def _records(self, points: Sequence[Any]) -> dict[PointId, Record]:
        name, content = self._description.vector, self._content
        return {
            point.id: Record(point.id, content(point.payload), *vector_of(point.vector, name))
            for point in points
        }

    def _content(self, payload: Payload | None) -> Payload:
        """``payload`` in a fixed order; local mode alone keeps that in which it was written."""
        kept = payload or {}
        return kept if self._session.local else in_order(kept)

    def _under(self, ids: Sequence[PointId], key: ShardKey | None) -> dict[PointId, Record]:
        """Points with their vectors, of one shard key."""
        return self._records(self._fetched(ids, payloads=False, vectors=True, key=key))

    def _fetched(
        self, ids: Sequence[PointId], *, payloads: Wanted, vectors: bool, key: ShardKey | None
    ) -> list[Any]:
        """Points as Qdrant gives them, of one shard key or all."""
        wanted: list[Any] = list(ids)
        own = self._own_vectors if vectors else False
        shown: dict[str, Any] = {
            "with_payload": shown_fields(payloads),
            "with_vectors": own,
            "shard_key_selector": key,
        }
        reading = self._reading(key, own)

        def by_id(client: QdrantClient, part: list[Any]) -> Sequence[Any]:
            if plain:
                return points_by_rest(client, reading, part)
            return client.retrieve(self._name, part, **shown)

        def listed(client: QdrantClient, part: list[Any]) -> Sequence[Any]:
            if plain:
                return listed_by_rest(client, reading, part)
            where = models.Filter(must=[models.HasIdCondition(has_id=part)])
            return client.scroll(self._name, where, limit=len(part), **shown)[0]

        plain = payloads is False and not (self._session.local or self._session.grpc)
        ask, most, cost = by_id, ID_BATCH if plain and not vectors else POINT_BATCH, Cost(row=1)
        listable = self.limits.ids_listed(min(most, self.limits.limit or most))
        if listable > LISTED.request and LISTED.request <= (self.limits.read_rate or 0):
            ask, most, cost = listed, listable, LISTED  # as the rate counts every id otherwise
        pages = self._reads.run(
            len(wanted),
            lambda rows: list(ask(self._session.client, wanted[rows.start : rows.stop])),
            kind=(bool(payloads), vectors),
            at_most=most,
            cost=cost,
        )
        return [point for page in pages for point in page]

    def _reading(self, key: ShardKey | None, vectors: Any = False) -> Reading:
        """What bare requests for points of one shard key say."""
        session = self._session
        agreed, timeout = session.connection.consistency, session.timeout + GRACE_S
        return Reading(self._name, timeout, agreed, key, vectors)

    def _by_key(self, ids: Sequence[PointId]) -> dict[ShardKey | None, list[PointId]]:
        """``ids`` by the shard key that writes to them have to name; None for those not found."""
        if self._key is not None or self._description.shard_keys is None:
            return {self._key: list(ids)} if ids else {}
        found = self._fetched(ids, payloads=False, vectors=False, key=None)
        key_of = {point.id: point.shard_key for point in found}
        groups: dict[ShardKey | None, list[PointId]] = {}
        for point_id in ids:
            groups.setdefault(key_of.get(point_id), []).append(point_id)
        return groups


def shown_fields(payloads: Wanted) -> bool | list[str]:
    """Which fields of a payload a request asks for."""
    return payloads if isinstance(payloads, bool) else list(payloads)
