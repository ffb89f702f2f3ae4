"""The lengths of the vectors of a collection on a server."""

from __future__ import annotations

from itertools import chain, islice
from typing import Any

from qdrant_client import models

from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.lengths import UNIT_SAMPLE, check_unit_length, probes, tolerance_of
from tsds_qdrant.collections.server.description import vector_of
from tsds_qdrant.collections.server.spaces import ServerSpaces
from tsds_qdrant.collections.spaces import checked_kind
from tsds_qdrant.collections.values import Filter, Record


class ServerLengths(ServerSpaces):
    """What :class:`Collection` says of the lengths of vectors."""

    def check_distances(self) -> None:
        """Check that scores of the searched space say distances."""
        info = self._description
        checked_kind(self._space, "dense", info.name)
        if info.metric != "Dot":
            return
        having = joined(None, {"has_vector": info.vector}) if self.limits.has_room(None) else None
        ids = list(islice(chain.from_iterable(self.scroll_ids(having)), UNIT_SAMPLE))
        sample = self.retrieve(ids, payloads=False, vectors=True)
        check_unit_length(sample, str(self._session.place), tolerance_of(info), info.length)

    def faintest(self, limit: int, where: Filter | None = None) -> list[Record]:
        """The points whose vectors have the smallest products with a few directions."""
        info = self._description
        checked_kind(self._space, "dense", info.name)
        negative: list[Any] = list(probes(info.dimension, info.datatype))
        asked = models.RecommendInput(
            negative=negative, strategy=models.RecommendStrategy.BEST_SCORE
        )
        condition = self._condition(where)
        found = self._read(
            lambda client: client.query_points(
                self._name,
                query=models.RecommendQuery(recommend=asked),
                using=info.vector or None,
                limit=limit,
                query_filter=condition,
                # Local mode always is exact, and warns of whoever says so.
                search_params=None if self._session.local else models.SearchParams(exact=True),
                with_payload=False,
                with_vectors=self._own_vectors,
                shard_key_selector=self._key,
            ),
            where,
            tokens=len(negative),
        )
        points: list[Any] = found.points
        return [Record(one.id, {}, *vector_of(one.vector, info.vector)) for one in points]
