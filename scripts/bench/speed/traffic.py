"""Bytes that a selection would move between us and a Qdrant server, without a server.

Every search and every read of points is weighed, in the largest requests that the server adapter
makes, uncompressed. Headers and frames are left out, and so are calls whose size does not depend
on the selection (a description, a count).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bench.pools import Float32Array
from bench.speed.plain import DensityIndex, PlainPipeline
from bench.speed.wire import Traffic, grpc_points, points_traffic, rest_points, search_traffic

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.collections.distance import is_similarity, score_threshold
from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.server.session import TIMEOUT_S
from tsds_qdrant.collections.server.wire import Search
from tsds_qdrant.collections.values import Metric, PointId, Record

SAMPLED_LISTS, SAMPLED_READS, SAMPLED_DENSITIES = 200, 1_000, 100


@dataclass(frozen=True)
class Call:
    """One call of ``search``: how many rows, and how."""

    rows: int
    limit: int
    exact: bool
    ef: int | None
    max_distance: float | None


class MeteredCollection:
    """A collection that adds up what its searches and reads would weigh on the way to a server.

    Attributes:
        traffic: so far.
        calls: of ``search``, in order.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        described = collection.info()
        self._name, self._using = described.name, described.vector
        self._metric: Metric = described.metric
        self.traffic = Traffic()
        self.calls: list[Call] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def search(self, vectors: Float32Array, *, limit: int, **how: Any) -> Hits:
        """Search, and weigh question and answer."""
        hits = self._collection.search(vectors, limit=limit, **how)
        exact, radius = how.get("exact", False), how.get("max_distance")
        walk = None if how.get("ef") is None or exact else max(how["ef"], limit)
        search = Search(
            collection=self._name,
            using=self._using,
            limit=limit,
            exact=exact,
            ef=walk,
            threshold=None if radius is None else score_threshold(radius, self._metric),
            where=how.get("where"),
            timeout=TIMEOUT_S,
        )
        scores = hits.distances
        if is_similarity(self._metric):
            scores = 1.0 - np.square(scores) / 2.0
        rows = np.asarray(vectors, dtype=np.float32)
        self.traffic.add(search_traffic(search, rows, list(hits.ids), scores, hits.counts))
        self.calls.append(Call(len(rows), limit, exact, walk, radius))
        return hits

    def retrieve(
        self, ids: Sequence[PointId], *, payloads: bool = True, vectors: bool = False
    ) -> list[Record]:
        """Read points, and weigh ids and vectors; payloads are left out."""
        records = self._collection.retrieve(ids, payloads=payloads, vectors=vectors)
        self.traffic.add(points_traffic(self._name, list(ids), records, vectors=vectors))
        return records

    def existing(self, ids: Sequence[PointId]) -> set[PointId]:
        """Which of ``ids`` are stored; weighed."""
        found = self._collection.existing(ids)
        records = [Record(point_id, {}) for point_id in found]
        self.traffic.add(points_traffic(self._name, list(ids), records, vectors=False))
        return found

    def scroll_ids(self, *args: Any, **how: Any) -> Iterator[list[PointId]]:
        """All ids, page by page; the answers are weighed, the questions are next to nothing."""
        for page in self._collection.scroll_ids(*args, **how):
            records = [Record(point_id, {}) for point_id in page]
            received = grpc_points(records).ByteSize()
            self.traffic.add(
                Traffic(1, rest_received=len(rest_points(records)), grpc_received=received)
            )
            yield page


def plain_traffic(plain: PlainPipeline, queries: Float32Array, *, seed: int = 0) -> Traffic:
    """What the plain pipeline would move if its candidates were on a server.

    The searches for the task examples, the vectors of the union and the searches for its
    densities are weighed by seeded samples, scaled up.
    """
    total, rng = Traffic(), np.random.default_rng(seed)
    lists, distances = plain.prefetch(queries)
    asked = np.sort(rng.permutation(len(queries))[:SAMPLED_LISTS])
    listed = _weighed(queries[asked], lists[asked], distances[asked])
    total.add(listed, len(queries) / len(asked))
    union = np.unique(lists[lists >= 0])
    drawn = rng.permutation(len(union))
    reads = np.sort(drawn[:SAMPLED_READS])
    ids = union[reads].tolist()
    vectors = plain.vectors[union[reads]]
    records = [Record(i, {}, vector) for i, vector in zip(ids, vectors, strict=True)]
    read = points_traffic("pool", ids, records, vectors=True)
    total.add(read, len(union) / len(reads))
    index: DensityIndex = plain.second(union)
    rows = np.sort(drawn[:SAMPLED_DENSITIES])
    squared, near = index.index.search(index.features[rows], index.neighbors)
    found = np.where(near >= 0, union[near], -1)
    searched = _weighed(index.features[rows], found, np.sqrt(squared.astype(np.float64)))
    total.add(searched, len(union) / len(rows))
    return total


def _weighed(rows: Float32Array, lists: IntArray, distances: Any) -> Traffic:
    """Searches for ``rows`` (B, D) that found ``lists`` (B, K); -1 behind the end of a list."""
    there = lists >= 0
    limit = lists.shape[1]
    search = Search("pool", "", limit, False, limit, None, None, TIMEOUT_S)
    scores = 1.0 - np.square(distances[there]) / 2.0
    counts = np.count_nonzero(there, axis=1)
    return search_traffic(search, rows, lists[there].tolist(), scores, counts)
