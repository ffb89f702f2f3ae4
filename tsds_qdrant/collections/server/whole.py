"""Points of a collection on a server with all their vectors, as a copy of it needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from qdrant_client import QdrantClient, models

from tsds_qdrant.collections.ids import checked_ids
from tsds_qdrant.collections.server.description import fetch, metadata_of
from tsds_qdrant.collections.server.fetching import POINT_BATCH
from tsds_qdrant.collections.server.lengths import ServerLengths
from tsds_qdrant.collections.server.plain import whole_page_by_rest
from tsds_qdrant.collections.server.session import Session
from tsds_qdrant.collections.values import Filter, PointId
from tsds_qdrant.collections.whole import Index, Shape, Whole, WholePage, config_of


class ServerWhole(ServerLengths):
    """What :class:`Collection` does with points of all their vectors."""

    @property
    def session(self) -> Session:
        """The session with the server."""
        return self._session

    @property
    def is_local(self) -> bool:
        """Whether qdrant-client runs in local mode, without a server."""
        return self._session.local

    def shape(self) -> Shape:
        """All of the collection but its points."""
        found = fetch(self._session)
        described = found.model_dump(mode="json", exclude_none=True)
        indexes = {
            field: Index(one["data_type"], one.get("params") or {})
            for field, one in described.get("payload_schema", {}).items()
        }
        return Shape(config_of(described["config"]), indexes, metadata_of(found))

    def scroll_whole(
        self, where: Filter | None = None, *, after: PointId | None = None
    ) -> Iterator[WholePage]:
        """All points with all their vectors, page by page."""
        condition, offset = self._condition(where), after
        limit = min(self.shape().page, self.limits.limit or POINT_BATCH)
        plain = not (self._session.local or self._session.grpc)
        reading = self._reading(self._key, True)
        self._announce_pages(where, limit)

        def asked(client: QdrantClient) -> tuple[list[Any], Any]:
            if plain:
                return whole_page_by_rest(client, reading, where, limit, offset)
            return client.scroll(
                self._name,
                scroll_filter=condition,
                limit=limit,
                offset=offset,
                with_payload=True,
                with_vectors=True,
                shard_key_selector=self._key,
            )

        while True:
            page, offset = self._read(asked, where)
            yield WholePage(self._wholes(page), offset)
            if offset is None:
                return

    def whole(self, ids: Sequence[PointId]) -> dict[PointId, Whole]:
        """Those of the points ``ids`` that are stored, with all their vectors."""
        wanted, found = checked_ids(ids), dict[PointId, Whole]()
        step = min(self.shape().page, self.limits.read_rate or POINT_BATCH)
        for start in range(0, len(wanted), step):
            part: list[Any] = wanted[start : start + step]

            def asked(client: QdrantClient, part: list[Any] = part) -> list[Any]:
                return client.retrieve(
                    self._name,
                    part,
                    with_payload=True,
                    with_vectors=True,
                    shard_key_selector=self._key,
                )

            points = self._wholes(self._read(asked, tokens=len(part)))
            found |= {point.id: point for point in points}
        return found

    def _wholes(self, points: Sequence[Any]) -> list[Whole]:
        """Points as Qdrant gives them, in JSON or as models of the client."""
        made = [point if isinstance(point, dict) else vars(point) for point in points]
        ids = checked_ids([point["id"] for point in made])
        return [
            Whole(i, self._content(point.get("payload")), _vectors(point.get("vector")))
            for i, point in zip(ids, made, strict=True)
        ]


def _vectors(stored: Any) -> dict[str, Any]:
    if stored is None:
        return {}
    named = stored if isinstance(stored, dict) else {"": stored}
    return {
        name: {"indices": vector.indices, "values": vector.values}
        if isinstance(vector, models.SparseVector)
        else vector
        for name, vector in named.items()
    }
