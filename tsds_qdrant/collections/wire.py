"""Searches on the wire: a batch as REST, gRPC or local-mode request, and its answer as lists.

The models of qdrant-client cost ten times more than the search where answers are large, so REST
answers stay plain JSON and gRPC answers are read from the messages themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from pydantic_core import to_json
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import RestToGrpc

from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.protocol import Filter, Float32Array, FloatArray, IntArray, PointId
from tsds_qdrant.collections.session import GRACE_S


@dataclass(frozen=True)
class Search:
    """What all searches of a batch have in common.

    Attributes:
        using: name of the vector, "" for the default one.
        threshold: Qdrant's ``score_threshold``.
        timeout: seconds that Qdrant may take.
    """

    collection: str
    using: str
    limit: int
    exact: bool
    ef: int | None
    threshold: float | None
    where: Filter | None
    timeout: int


@dataclass(frozen=True)
class Answer:
    """Hits of consecutive searches: ids and scores (n,) one after the other, counts (B,)."""

    ids: list[PointId]
    scores: FloatArray
    counts: IntArray


def ask_rest(client: QdrantClient, search: Search, rows: Float32Array) -> Answer:
    """Search the nearest of ``rows`` (B, D) over REST."""
    reply: Any = client.http.client.request(
        type_=object,
        method="POST",
        url=f"/collections/{{collection_name}}/points/query/batch?timeout={search.timeout}",
        path_params={"collection_name": search.collection},
        headers={"Content-Type": "application/json"},
        content=rest_body(search, rows),
        timeout=search.timeout + GRACE_S,
    )
    return read_rest(reply)


def ask_grpc(client: QdrantClient, search: Search, rows: Float32Array) -> Answer:
    """Search the nearest of ``rows`` (B, D) over gRPC."""
    reply = client.grpc_points.QueryBatch(
        grpc_message(search, rows), timeout=search.timeout + GRACE_S
    )
    return read_grpc(reply)


def ask_local(client: QdrantClient, search: Search, rows: Float32Array) -> Answer:
    """Search the nearest of ``rows`` (B, D) in local mode, which is always exact."""
    condition = server_filter(search.where)
    requests = [
        models.QueryRequest(
            query=row,
            using=search.using or None,
            filter=condition,
            score_threshold=search.threshold,
            limit=search.limit,
            with_payload=False,
            with_vector=False,
        )
        for row in rows.tolist()
    ]
    replies = client.query_batch_points(search.collection, requests)
    return _answer([reply.points for reply in replies])


def rest_body(search: Search, rows: Float32Array) -> bytes:
    """Write the JSON body of a batch search for ``rows`` (B, D)."""
    shared: dict[str, Any] = {
        "limit": search.limit,
        "with_payload": False,
        "with_vector": False,
        "params": {"exact": search.exact, "quantization": {"rescore": True}},
    }
    if search.ef is not None:
        shared["params"]["hnsw_ef"] = search.ef
    if search.using:
        shared["using"] = search.using
    if search.threshold is not None:
        shared["score_threshold"] = search.threshold
    if search.where is not None:
        shared["filter"] = search.where
    return to_json({"searches": [{"query": row, **shared} for row in rows.tolist()]})


def grpc_message(search: Search, rows: Float32Array) -> messages.QueryBatchPoints:
    """Build the message of a batch search for ``rows`` (B, D)."""
    where = server_filter(search.where)
    condition = None if where is None else RestToGrpc.convert_filter(where)
    params = messages.SearchParams(
        exact=search.exact,
        hnsw_ef=search.ef,
        quantization=messages.QuantizationSearchParams(rescore=True),
    )
    return messages.QueryBatchPoints(
        collection_name=search.collection,
        timeout=search.timeout,
        query_points=[
            messages.QueryPoints(
                collection_name=search.collection,
                query=messages.Query(
                    nearest=messages.VectorInput(dense=messages.DenseVector(data=row))
                ),
                using=search.using or None,
                filter=condition,
                params=params,
                score_threshold=search.threshold,
                limit=search.limit,
                with_payload=messages.WithPayloadSelector(enable=False),
                with_vectors=messages.WithVectorsSelector(enable=False),
            )
            for row in rows.tolist()
        ],
    )


def read_rest(reply: Mapping[str, Any]) -> Answer:
    """Read the parsed JSON of a batch search; a score of null is NaN.

    Raises:
        ValueError: not the JSON of a batch search.
    """
    try:
        batches = [found["points"] for found in reply["result"]]
        ids = [hit["id"] for hit in chain.from_iterable(batches)]
        scores = [hit["score"] for hit in chain.from_iterable(batches)]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no answer to a batch search: {str(reply)[:80]}") from error
    return Answer(ids, np.array(scores, dtype=np.float64), _lengths(batches))


def read_grpc(reply: messages.QueryBatchResponse) -> Answer:
    """Read the message of a batch search."""
    ids: list[PointId] = []
    scores: list[float] = []
    for found in reply.result:
        for hit in found.result:
            point_id = hit.id
            ids.append(point_id.num or point_id.uuid or 0)
            scores.append(hit.score)
    counts = [len(found.result) for found in reply.result]
    return Answer(ids, np.array(scores, dtype=np.float64), np.array(counts, dtype=np.int64))


def joined(answers: Sequence[Answer]) -> Answer:
    """Answers of consecutive batches as one, without a point that one search found twice.

    Subtle: while Qdrant reshards, a point may lie on two shards and be found on both.
    """
    ids = list(chain.from_iterable(answer.ids for answer in answers))
    scores = np.concatenate([np.empty(0), *(answer.scores for answer in answers)])
    counts = np.concatenate([np.empty(0, np.int64), *(answer.counts for answer in answers)])
    keep = np.ones(len(ids), dtype=bool)
    start = 0
    for count in counts.tolist():
        found = ids[start : start + count]
        if len(set(found)) < count:
            seen: set[PointId] = set()
            for k, point_id in enumerate(found):
                keep[start + k] = point_id not in seen
                seen.add(point_id)
        start += count
    if keep.all():
        return Answer(ids, scores, counts)
    search = np.repeat(np.arange(len(counts)), counts)
    return Answer(
        [ids[k] for k in np.flatnonzero(keep)],
        scores[keep],
        np.bincount(search[keep], minlength=len(counts)),
    )


def _answer(batches: Sequence[Sequence[Any]]) -> Answer:
    hits = list(chain.from_iterable(batches))
    scores = np.array([hit.score for hit in hits], dtype=np.float64)
    return Answer([hit.id for hit in hits], scores, _lengths(batches))


def _lengths(batches: Sequence[Sequence[Any]]) -> IntArray:
    return np.array([len(hits) for hits in batches], dtype=np.int64)
