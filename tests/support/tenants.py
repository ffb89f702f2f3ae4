"""A collection sharded by key, each key with an engine of its own, as in a cluster.

Unlike the door's single engine, the same id may lie under two keys. Answers are put together as
Qdrant does it: a search keeps both, a page of ids and a retrieve keep one, a count counts both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from door import Request, plain
from playback import Reply
from qdrant_client import QdrantClient, models

Key = int | str


class Tenants:
    """A hook of a door: answers all that concerns the points of collection ``name``."""

    def __init__(self, name: str, points: Mapping[Key, models.Batch], distance: str) -> None:
        self.name = name
        self.engines = {key: QdrantClient(":memory:") for key in points}
        for key, batch in points.items():
            size = len(batch.vectors[0])  # type: ignore[arg-type, index]
            params = models.VectorParams(size=size, distance=models.Distance(distance))
            self.engines[key].create_collection(name, vectors_config=params)
            self.engines[key].upsert(name, batch)

    def __call__(self, request: Request) -> Reply | None:
        tail = request.path.removeprefix(f"/collections/{self.name}/points")
        if tail == request.path or request.method != "POST":
            return None
        result = getattr(self, f"_{tail.strip('/').replace('/', '_') or 'retrieve'}")(request.body)
        return 200, {}, {"result": plain(result), "status": "ok", "time": 0.0}

    def _asked(self, body: dict[str, Any]) -> dict[Key, QdrantClient]:
        key = body.get("shard_key")
        return {k: engine for k, engine in self.engines.items() if key is None or k == key}

    def _retrieve(self, body: dict[str, Any]) -> list[Any]:
        found: dict[Any, Any] = {}
        for key, engine in self._asked(body).items():
            for point in engine.retrieve(
                self.name,
                body["ids"],
                with_payload=body["with_payload"],
                with_vectors=body["with_vector"],
            ):
                found.setdefault(point.id, point.model_copy(update={"shard_key": key}))
        return list(found.values())

    def _count(self, body: dict[str, Any]) -> dict[str, int]:
        return {"count": sum(e.count(self.name).count for e in self._asked(body).values())}

    def _scroll(self, body: dict[str, Any]) -> dict[str, Any]:
        found: dict[Any, Any] = {}
        for key, engine in self._asked(body).items():
            for point in engine.scroll(self.name, limit=10**6)[0]:
                found.setdefault(point.id, point.model_copy(update={"shard_key": key}))
        return {"points": [found[i] for i in sorted(found)], "next_page_offset": None}

    def _query_batch(self, body: dict[str, Any]) -> list[Any]:
        return [{"points": self._nearest(search)} for search in body["searches"]]

    def _nearest(self, search: dict[str, Any]) -> list[Any]:
        where = search.get("filter") and models.Filter.model_validate(search["filter"])
        hits = [
            hit.model_copy(update={"shard_key": key})
            for key, engine in self._asked(search).items()
            for hit in engine.query_points(
                self.name,
                json.loads(json.dumps(search["query"])),
                limit=search["limit"],
                query_filter=where,
                score_threshold=search.get("score_threshold"),
            ).points
        ]
        return sorted(hits, key=lambda hit: hit.score)[: search["limit"]]
