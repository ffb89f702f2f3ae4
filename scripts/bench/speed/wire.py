"""Bytes of searches and reads on the wire: REST bodies and gRPC messages, without a server.

They are written as the server adapter sends them and as a server answers them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from pydantic_core import to_json
from qdrant_client import grpc as messages

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.server.fetching import POINT_BATCH
from tsds_qdrant.collections.server.searches import SEARCH_BATCH, SEARCH_HITS
from tsds_qdrant.collections.server.wire import Search, grpc_message, rest_body
from tsds_qdrant.collections.server.writes import REQUEST_FLOATS
from tsds_qdrant.collections.values import PointId, Record

VERSION = 100
"""Number of the write that a point came with, as in a pool stored in about 100 batches."""
REPLY_START, REPLY_END = '{"result":', ',"status":"ok","time":0.00123}'


@dataclass
class Traffic:
    """Requests, and bytes by protocol and direction."""

    requests: float = 0
    rest_sent: float = 0
    rest_received: float = 0
    grpc_sent: float = 0
    grpc_received: float = 0

    def add(self, other: Traffic, times: float = 1.0) -> None:
        """Add ``other``, ``times`` times."""
        for field in fields(self):
            more = times * getattr(other, field.name)
            setattr(self, field.name, getattr(self, field.name) + more)

    @property
    def rest(self) -> float:
        return self.rest_sent + self.rest_received

    @property
    def grpc(self) -> float:
        return self.grpc_sent + self.grpc_received

    def figures(self) -> dict[str, float]:
        return {**asdict(self), "rest": self.rest, "grpc": self.grpc}


def search_traffic(
    search: Search, rows: Float32Array, ids: Sequence[PointId], scores: FloatArray, counts: IntArray
) -> Traffic:
    """What the searches for ``rows`` (B, D) weigh, cut into batches as the server adapter does."""
    size = min(SEARCH_BATCH, REQUEST_FLOATS // rows.shape[1])
    size = max(1, min(size, SEARCH_HITS // max(1, search.limit)))
    ends = np.concatenate([[0], np.cumsum(counts)])
    total = Traffic()
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        cuts = ends[start : start + len(batch) + 1]
        found = [
            list(zip(ids[first:last], scores[first:last].tolist(), strict=True))
            for first, last in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)
        ]
        total.requests += 1
        total.rest_sent += len(rest_body(search, batch))
        total.grpc_sent += grpc_message(search, batch).ByteSize()
        total.rest_received += len(rest_hits(found))
        total.grpc_received += grpc_hits(found).ByteSize()
    return total


def points_traffic(
    collection: str, ids: Sequence[PointId], records: Sequence[Record], *, vectors: bool
) -> Traffic:
    """What reading the points ``ids``, which gave ``records``, weighs."""
    total = Traffic()
    found = {record.id: record for record in records}
    for start in range(0, len(ids), POINT_BATCH):
        wanted = ids[start : start + POINT_BATCH]
        part = [found[point_id] for point_id in wanted if point_id in found]
        body = {"ids": list(wanted), "with_payload": False, "with_vector": vectors}
        message = messages.GetPoints(
            collection_name=collection,
            ids=[_point_id(point_id) for point_id in wanted],
            with_payload=messages.WithPayloadSelector(enable=False),
            with_vectors=messages.WithVectorsSelector(enable=vectors),
        )
        total.requests += 1
        total.rest_sent += len(to_json(body))
        total.grpc_sent += message.ByteSize()
        total.rest_received += len(rest_points(part))
        total.grpc_received += grpc_points(part).ByteSize()
    return total


def rest_hits(found: Sequence[Sequence[tuple[PointId, float]]]) -> str:
    """The reply to a batch search; scores are float32 in their shortest form, as Rust prints."""
    parts = []
    for hits in found:
        scores = np.array([score for _, score in hits], dtype=np.float32).astype(str).tolist()
        points = [
            f'{{"id":{_quoted(hit[0])},"version":{VERSION},"score":{score}}}'
            for hit, score in zip(hits, scores, strict=True)
        ]
        parts.append(f'{{"points":[{",".join(points)}]}}')
    return f"{REPLY_START}[{','.join(parts)}]{REPLY_END}"


def grpc_hits(found: Sequence[Sequence[tuple[PointId, float]]]) -> Any:
    """The reply to a batch search."""
    return messages.QueryBatchResponse(
        result=[
            messages.BatchResult(
                result=[
                    messages.ScoredPoint(id=_point_id(point_id), score=score, version=VERSION)
                    for point_id, score in hits
                ]
            )
            for hits in found
        ],
        time=0.00123,
    )


def rest_points(records: Sequence[Record]) -> str:
    """The reply to a read of points."""
    parts = []
    for record in records:
        vector = ""
        if record.vector is not None:
            numbers = record.vector.astype(np.float32).astype(str).tolist()
            vector = f',"vector":[{",".join(numbers)}]'
        parts.append(f'{{"id":{_quoted(record.id)}{vector}}}')
    return f"{REPLY_START}[{','.join(parts)}]{REPLY_END}"


def grpc_points(records: Sequence[Record]) -> Any:
    """The reply to a read of points."""
    points = []
    for record in records:
        point = messages.RetrievedPoint(id=_point_id(record.id))
        if record.vector is not None:
            point.vectors.vector.dense.data.extend(record.vector.tolist())
        points.append(point)
    return messages.GetResponse(result=points, time=0.00123)


def _point_id(point_id: PointId) -> Any:
    kind = "uuid" if isinstance(point_id, str) else "num"
    return messages.PointId(**{kind: point_id})


def _quoted(point_id: PointId) -> str:
    return f'"{point_id}"' if isinstance(point_id, str) else str(point_id)
