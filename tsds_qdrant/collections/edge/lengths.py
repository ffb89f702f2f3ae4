"""The lengths of the vectors of an embedded collection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import qdrant_edge as edge

from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.edge.directory import read_metadata
from tsds_qdrant.collections.edge.forms import plain_id
from tsds_qdrant.collections.edge.whole import EdgeWhole
from tsds_qdrant.collections.filters import edge_filter
from tsds_qdrant.collections.ids import taken
from tsds_qdrant.collections.lengths import UNIT_SAMPLE, check_unit_length, probes, tolerance_of
from tsds_qdrant.collections.spaces import checked_kind
from tsds_qdrant.collections.values import Filter, Record


class EdgeLengths(EdgeWhole):
    """What :class:`Collection` says of the lengths of vectors."""

    def check_distances(self) -> None:
        """Check that scores of the searched space say distances."""
        info = self._description
        checked_kind(self._known.spaces[info.vector], "dense", info.name)
        if info.metric == "Dot" and info.vector not in self._known.lengths:
            length = replace(info, metadata=read_metadata(self._path)).length
            check_unit_length(self._some(length), f"'{info.name}'", tolerance_of(info), length)
            self._known.lengths.add(info.vector)

    def _some(self, length: float) -> Iterator[Record]:
        """Points of another ``length``, where all are in memory; else the first of all."""
        info = self._description
        if self._is_scanned():
            loaded = self.loaded(None)
            uneven = loaded.compared.uneven(length)
            rows = loaded.compared.at(loaded.compared.points[uneven])
            named = zip(taken(loaded.ids, uneven), rows, strict=True)
            yield from (Record(point_id, {}, row) for point_id, row in named)
            return
        where = joined(None, {"has_vector": info.vector})
        ids = list(islice(chain.from_iterable(self.scroll_ids(where)), UNIT_SAMPLE))
        yield from self.retrieve(ids, payloads=False, vectors=True)

    def faintest(self, limit: int, where: Filter | None = None) -> list[Record]:
        """The points whose vectors have the smallest products with a few directions."""
        info = self._description
        checked_kind(self._known.spaces[info.vector], "dense", info.name)
        negatives: list[Any] = [*probes(info.dimension, info.datatype)]
        asked = edge.RecommendQuery([], negatives)
        request = edge.QueryRequest(
            limit=limit,
            query=edge.Query.RecommendBestScore(asked, using=info.vector or None),
            filter=edge_filter(where),
            params=edge.SearchParams(exact=True),
            with_payload=False,
            with_vector=[info.vector],
        )
        with self._failures():
            found = self._shard.query(request)
        return [Record(plain_id(hit.id), {}, *self._own_vector(hit.vector)) for hit in found]
