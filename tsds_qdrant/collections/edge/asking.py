"""Searches of the embedded engine, in batches short enough that Ctrl-C is answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as edge

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.edge.forms import plain_id, plain_rows
from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.sparse import SparseRows

SEARCH_BATCH = 100


@dataclass(frozen=True)
class Search:
    """What all searches of a batch have in common.

    Attributes:
        using: name of the space, "" for the unnamed vector.
        threshold: Qdrant's ``score_threshold``.
    """

    using: str
    limit: int
    params: edge.SearchParams
    where: edge.Filter | None = None
    threshold: float | None = None

    def request(self, query: Any) -> edge.QueryRequest:
        """The request for one query: a list of numbers, or a sparse vector."""
        return edge.QueryRequest(
            limit=self.limit,
            query=edge.Query.Nearest(query, using=self.using or None),
            score_threshold=self.threshold,
            filter=self.where,
            params=self.params,
            with_payload=False,
            with_vector=False,
        )


def ask(
    shard: edge.EdgeShard,
    search: Search,
    rows: Float32Array | SparseRows,
    metric: Metric | None,
    on_batch: Callable[[int], None] | None,
) -> Hits:
    """Search the nearest of ``rows`` (B); without a ``metric`` the hits have scores alone."""
    ids: list[int | UUID | str] = []
    scores: list[float] = []
    counts: list[int] = []
    for start in range(0, len(rows), SEARCH_BATCH):
        batch = [search.request(row) for row in plain_rows(rows, start, start + SEARCH_BATCH)]
        answers = shard.query_batch(edge.QueryBatchRequest(batch))
        for hits in answers:
            ids += [hit.id for hit in hits]
            scores += [hit.score for hit in hits]
            counts.append(len(hits))
        if on_batch:
            on_batch(len(answers))
    return Hits.of_scores(
        [plain_id(point_id) for point_id in ids],
        np.array(scores, dtype=np.float64),
        np.array(counts, dtype=np.int64),
        metric,
    )
