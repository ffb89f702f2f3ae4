"""Searches on the wire: a batch as REST, gRPC or local-mode request.

The models of qdrant-client cost ten times more than the search where answers are large, so REST
answers stay plain JSON and gRPC answers are read from the messages themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic_core import to_json
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import RestToGrpc

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.collections.cluster import ShardKey
from tsds_qdrant.collections.connection import Consistency
from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.server.answers import Answer, read_grpc, read_models, read_rest
from tsds_qdrant.collections.server.clients import GRACE_S, said
from tsds_qdrant.collections.values import Filter
from tsds_qdrant.sparse import SparseRows

Rows = Float32Array | SparseRows
"""Queries: dense (B, D), or B sparse ones."""
Wheres = Sequence[Filter] | None
"""B filters, one for each query, instead of the one of the search."""


@dataclass(frozen=True)
class Search:
    """What all searches of a batch have in common.

    Attributes:
        using: name of the vector, "" for the default one.
        threshold: Qdrant's ``score_threshold``.
        timeout: seconds that Qdrant may take.
        consistency: how many replicas must agree; None for Qdrant's default.
        key: the shard key of the points to be found; None for all.
        told: whether hits come with their shard keys.
        oversampling: of quantised vectors; None leaves that to Qdrant.
        descending: larger scores are nearer.
    """

    collection: str
    using: str
    limit: int
    exact: bool
    ef: int | None
    threshold: float | None
    where: Filter | None
    timeout: int
    consistency: Consistency | None = None
    key: ShardKey | None = None
    told: bool = False
    oversampling: float | None = None
    descending: bool = True


def ask_rest(client: QdrantClient, search: Search, rows: Rows, wheres: Wheres = None) -> Answer:
    """Search the nearest of ``rows`` (B) over REST."""
    moved = 0

    def weighed(request: Any, send: Callable[[Any], Any]) -> Any:
        nonlocal moved
        response = send(request)
        moved += len(request.content) + response.num_bytes_downloaded
        return response

    connection = copy(client.http.client)  # the client itself stays as it is
    connection.add_middleware(weighed)
    reply: Any = connection.request(
        type_=object,
        method="POST",
        url=f"/collections/{{collection_name}}/points/query/batch?{_asked(search)}",
        path_params={"collection_name": search.collection},
        headers={"Content-Type": "application/json"},
        content=rest_body(search, rows, wheres),
        timeout=search.timeout + GRACE_S,
    )
    return replace(read_rest(reply, keyed=search.told), moved=moved)


def _asked(search: Search) -> str:
    agreed = "" if search.consistency is None else f"&consistency={search.consistency}"
    return f"timeout={search.timeout}{agreed}"


def ask_grpc(client: QdrantClient, search: Search, rows: Rows, wheres: Wheres = None) -> Answer:
    """Search the nearest of ``rows`` (B) over gRPC."""
    message = grpc_message(search, rows, wheres)
    reply = client.grpc_points.QueryBatch(message, timeout=search.timeout + GRACE_S)
    return replace(read_grpc(reply, keyed=search.told), moved=message.ByteSize() + reply.ByteSize())


def ask_local(client: QdrantClient, search: Search, rows: Rows, wheres: Wheres = None) -> Answer:
    """Search the nearest of ``rows`` (B) in local mode, which is always exact."""
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
        for row, condition in zip(_local_queries(rows), _filters(search, rows, wheres), strict=True)
    ]
    replies = client.query_batch_points(search.collection, requests)
    return read_models([reply.points for reply in replies])


def rest_body(search: Search, rows: Rows, wheres: Wheres = None) -> bytes:
    """Write the JSON body of a batch search for ``rows`` (B)."""
    shared: dict[str, Any] = {
        "limit": search.limit,
        "with_payload": False,
        "with_vector": False,
        "params": {"exact": search.exact, "quantization": {"rescore": True}},
    }
    if search.ef is not None:
        shared["params"]["hnsw_ef"] = search.ef
    if search.oversampling is not None:
        shared["params"]["quantization"]["oversampling"] = search.oversampling
    if search.using:
        shared["using"] = search.using
    if search.threshold is not None:
        shared["score_threshold"] = search.threshold
    if search.where is not None:
        shared["filter"] = search.where
    if search.key is not None:
        shared["shard_key"] = search.key
    searches = [{"query": row, **shared} for row in _json_queries(rows)]
    for own, where in zip(searches, wheres or (), strict=False):
        own["filter"] = where
    return to_json({"searches": searches})


def shortened(rows: Float32Array) -> FloatArray:
    """``rows`` as float64 of nine significant digits, which say the same float32 in fewer bytes.

    *subtle*: a power of ten up to 10^22 is exact in float64, so the quotient is the float64
    nearest to the decimal, and is written as that decimal; smaller numbers stay as they are.
    """
    exact = rows.astype(np.float64)
    with np.errstate(divide="ignore"):
        digits = 8 - np.floor(np.log10(np.abs(exact)))
    scale = 10.0 ** np.clip(digits, 0, 22)
    short: FloatArray = np.where(
        (digits >= 0) & (digits <= 22), np.rint(exact * scale) / scale, exact
    )
    return short


def grpc_message(search: Search, rows: Rows, wheres: Wheres = None) -> messages.QueryBatchPoints:
    """Build the message of a batch search for ``rows`` (B)."""
    key = None if search.key is None else RestToGrpc.convert_shard_key_selector(search.key)
    converted: dict[int, Any] = {}

    def message_of(where: models.Filter | None) -> Any:
        """Most often all are the same one."""
        if where is not None and id(where) not in converted:
            converted[id(where)] = RestToGrpc.convert_filter(where)
        return converted.get(id(where))

    filters = _filters(search, rows, wheres)
    params = messages.SearchParams(
        exact=search.exact,
        hnsw_ef=search.ef,
        quantization=messages.QuantizationSearchParams(
            rescore=True, oversampling=search.oversampling
        ),
    )
    agreed = None
    if search.consistency is not None:
        agreed = RestToGrpc.convert_read_consistency(said(search.consistency, grpc=True))
    return messages.QueryBatchPoints(
        collection_name=search.collection,
        timeout=search.timeout,
        read_consistency=agreed,
        query_points=[
            messages.QueryPoints(
                collection_name=search.collection,
                query=messages.Query(nearest=row),
                using=search.using or None,
                filter=message_of(where),
                params=params,
                score_threshold=search.threshold,
                limit=search.limit,
                with_payload=messages.WithPayloadSelector(enable=False),
                with_vectors=messages.WithVectorsSelector(enable=False),
                shard_key_selector=key,
            )
            for row, where in zip(_grpc_queries(rows), filters, strict=True)
        ],
    )


def _filters(search: Search, rows: Rows, wheres: Wheres) -> list[models.Filter | None]:
    if wheres is None:
        return [server_filter(search.where)] * len(rows)
    return [server_filter(where) for where in wheres]


def part_of(rows: Rows, start: int, stop: int) -> Rows:
    """The rows from ``start`` up to ``stop``, which is not one of them."""
    return rows.part(start, stop) if isinstance(rows, SparseRows) else rows[start:stop]


def taken(rows: Rows, numbers: Sequence[int]) -> Rows:
    """The rows of those ``numbers``."""
    return rows.take(numbers) if isinstance(rows, SparseRows) else rows[list(numbers)]


def _json_queries(rows: Rows) -> list[Any]:
    if isinstance(rows, SparseRows):
        values = shortened(rows.values).tolist()
        return [
            {"indices": rows.indices[start:stop].tolist(), "values": values[start:stop]}
            for start, stop in pairwise(rows.offsets.tolist())
        ]
    return list(shortened(rows).tolist())


def _grpc_queries(rows: Rows) -> list[messages.VectorInput]:
    if isinstance(rows, SparseRows):
        return [
            messages.VectorInput(sparse=messages.SparseVector(indices=indices, values=values))
            for indices, values in rows.pairs()
        ]
    return [messages.VectorInput(dense=messages.DenseVector(data=row)) for row in rows.tolist()]


def _local_queries(rows: Rows) -> list[Any]:
    if isinstance(rows, SparseRows):
        return [models.SparseVector(indices=i, values=values) for i, values in rows.pairs()]
    return list(rows.tolist())
