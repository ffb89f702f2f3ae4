"""Points without payloads, as bare JSON or messages.

The models of qdrant-client cost several times more than the server's own work where many points
are read: a page of 50,000 ids in bare JSON takes a quarter of the time of five in models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic_core import to_json
from qdrant_client import QdrantClient
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import RestToGrpc

from tsds_qdrant.collections.cluster import ShardKey
from tsds_qdrant.collections.connection import Consistency
from tsds_qdrant.collections.filters import server_filter
from tsds_qdrant.collections.server.clients import said
from tsds_qdrant.collections.values import Filter, PointId


class PlainPoint(NamedTuple):
    """A stored point; ``vector`` as the server gives it, None unless asked for."""

    id: PointId
    vector: Any
    shard_key: ShardKey | None
    payload: None = None


@dataclass(frozen=True)
class Reading:
    """What requests for points of one collection have in common.

    Attributes:
        consistency: how many replicas must agree; None for Qdrant's default.
        key: the shard key of the points; None for all.
        vectors: which vectors are wanted, as Qdrant's ``with_vector``.
        timeout: seconds that gRPC waits.
    """

    collection: str
    timeout: int
    consistency: Consistency | None = None
    key: ShardKey | None = None
    vectors: Any = False


Page = tuple[list[PointId], Any]
"""Ids, and where the next page begins; None behind the last one."""


def points_by_rest(
    client: QdrantClient, reading: Reading, ids: Sequence[PointId]
) -> list[PlainPoint]:
    """The points ``ids``; those that do not exist are left out.

    Raises:
        ValueError: the answer is not Qdrant's.
    """
    return _points(_asked(client, reading, "", {"ids": list(ids)}))


def listed_by_rest(
    client: QdrantClient, reading: Reading, ids: Sequence[PointId]
) -> list[PlainPoint]:
    """The same by a filter that lists them.

    Raises:
        ValueError: the answer is not Qdrant's.
    """
    where = {"must": [{"has_id": list(ids)}]}
    found = _asked(client, reading, "/scroll", {"filter": where, "limit": len(ids)})
    return _points(_part(found, "points"))


def page_by_rest(
    client: QdrantClient, reading: Reading, where: Filter | None, limit: int, offset: Any
) -> Page:
    """A page of ids that match ``where``, in ascending order.

    Raises:
        ValueError: the answer is not Qdrant's.
    """
    body = {"filter": where, "limit": limit, "offset": offset}
    found = _asked(client, reading, "/scroll", body)
    points = _part(found, "points")
    try:
        return [point["id"] for point in points], found.get("next_page_offset")
    except (KeyError, TypeError) as error:
        raise _no_answer(found) from error


def page_by_grpc(
    client: QdrantClient, reading: Reading, where: Filter | None, limit: int, offset: Any
) -> Page:
    """The same as :func:`page_by_rest`, over gRPC."""
    condition, key, agreed = server_filter(where), None, None
    if reading.key is not None:
        key = RestToGrpc.convert_shard_key_selector(reading.key)
    if reading.consistency is not None:
        agreed = RestToGrpc.convert_read_consistency(said(reading.consistency, grpc=True))
    reply = client.grpc_points.Scroll(
        messages.ScrollPoints(
            collection_name=reading.collection,
            filter=None if condition is None else RestToGrpc.convert_filter(condition),
            limit=limit,
            offset=offset,
            with_payload=messages.WithPayloadSelector(enable=False),
            with_vectors=messages.WithVectorsSelector(enable=False),
            read_consistency=agreed,
            shard_key_selector=key,
        ),
        timeout=reading.timeout,
    )
    ids: list[PointId] = [point.id.uuid or point.id.num for point in reply.result]
    return ids, reply.next_page_offset if reply.HasField("next_page_offset") else None


def whole_page_by_rest(
    client: QdrantClient, reading: Reading, where: Filter | None, limit: int, offset: Any
) -> tuple[list[dict[str, Any]], Any]:
    """A page of points with their payloads and vectors, and where the next one begins.

    Raises:
        ValueError: the answer is not Qdrant's.
    """
    body = {"filter": where, "limit": limit, "offset": offset, "with_payload": True}
    found = _asked(client, reading, "/scroll", body)
    points = _part(found, "points")
    if not isinstance(points, list) or not all("id" in point for point in points):
        raise _no_answer(found)
    return points, found.get("next_page_offset")


AskPage = Callable[[QdrantClient, Reading, Filter | None, int, Any], Page]


def _asked(client: QdrantClient, reading: Reading, tail: str, body: dict[str, Any]) -> Any:
    wanted = {"with_payload": False, "with_vector": reading.vectors, "shard_key": reading.key}
    agreed = "" if reading.consistency is None else f"?consistency={reading.consistency}"
    reply: Any = client.http.client.request(
        type_=object,
        method="POST",
        url=f"/collections/{{collection_name}}/points{tail}{agreed}",
        path_params={"collection_name": reading.collection},
        headers={"Content-Type": "application/json"},
        content=to_json({**wanted, **body}),
    )
    return _part(reply, "result")


def _points(found: Any) -> list[PlainPoint]:
    if not isinstance(found, list):
        raise _no_answer(found)
    try:
        return [PlainPoint(one["id"], one.get("vector"), one.get("shard_key")) for one in found]
    except (AttributeError, KeyError, TypeError) as error:
        raise _no_answer(found) from error


def _part(reply: Any, name: str) -> Any:
    try:
        return reply[name]
    except (KeyError, TypeError) as error:
        raise _no_answer(reply) from error


def _no_answer(reply: Any) -> ValueError:
    return ValueError(f"no answer with points: {str(reply)[:80]}")
