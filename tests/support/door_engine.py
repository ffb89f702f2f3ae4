"""One node behind the door: requests of Qdrant's REST API, carried out by a local mode."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from door_limits import DEFAULT_LIMIT, Limits, RefusedError, points_of
from pydantic import TypeAdapter, ValidationError
from qdrant_client import QdrantClient, models

READS: dict[str, Any] = {
    "points": models.PointRequest,
    "points/scroll": models.ScrollRequest,
    "points/count": models.CountRequest,
    "points/query": models.QueryRequest,
    "points/query/batch": models.QueryRequestBatch,
    "facet": models.FacetRequest,
}
WRITES = {
    ("PUT", "points"): "upsert",
    ("POST", "points/delete"): "delete",
    ("POST", "points/payload"): "set_payload",
    ("PUT", "points/payload"): "overwrite_payload",
    ("POST", "points/payload/delete"): "delete_payload",
    ("POST", "points/payload/clear"): "clear_payload",
    ("PUT", "points/vectors"): "update_vectors",
    ("POST", "points/vectors/delete"): "delete_vectors",
}
"""Which operation of a batch a request is, so that all writes take one way."""


def parsed(kind: Any, body: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(body)
    except ValidationError as error:
        words = error.errors()[0]["msg"]
        raise RefusedError(400, f"Format error in JSON body: {words}") from error


def operations_of(method: str, tail: str, body: Any) -> list[Any]:
    if tail == "points/batch":
        return list(parsed(models.UpdateOperations, body).operations)
    return [parsed(models.UpdateOperation, {WRITES[method, tail]: body})]


def names_nothing(operation: Any) -> bool:
    """Whether a write names no point, which Qdrant refuses after it has looked at the rights."""
    (asked,) = vars(operation).values()
    return not points_of(operation) and getattr(asked, "filter", asked) is None


@dataclass
class Facts:
    """What local mode does not keep of a collection.

    Attributes:
        params: further parameters for its description, such as ``shard_number``.
        shard_keys: with custom sharding, the keys there are; None without it.
        key_of: the shard key of each point.
        moved: points written under a second key, of which a cluster would keep both.
        states: of the replicas, where they are not Active.
    """

    params: dict[str, Any] = field(default_factory=dict)
    limits: Limits = field(
        default_factory=lambda: Limits(models.StrictModeConfig(), time.monotonic)
    )
    indexes: dict[str, str] = field(default_factory=dict)
    shard_keys: list[models.ShardKey] | None = None
    key_of: dict[Any, models.ShardKey] = field(default_factory=dict)
    moved: list[Any] = field(default_factory=list)
    states: dict[int, str] = field(default_factory=dict)


def wanted_keys(facts: Facts, shard_key: Any) -> list[models.ShardKey] | None:
    """The shard keys that a request names; None for all.

    Raises:
        RefusedError: there is no such key.
    """
    if shard_key is None or facts.shard_keys is None:
        return None
    keys = shard_key if isinstance(shard_key, list) else [shard_key]
    for key in keys:
        if key not in facts.shard_keys:
            raise RefusedError(400, f'Wrong input: Shard key "{key}" not found')
    return keys


class Node:
    """Carries out requests for points on ``client``, a local mode of its own."""

    def __init__(self) -> None:
        self.client = QdrantClient(":memory:")

    def read(self, name: str, facts: Facts, asked: Any) -> Any:
        """What the node answers to a request that changes nothing."""
        if isinstance(asked, models.QueryRequestBatch):
            return [self.read(name, facts, search) for search in asked.searches]
        if isinstance(asked, models.QueryRequest):
            check_size(asked, self.client.get_collection(name).config.params)
        with engine_errors():
            return self._answer(name, facts, asked)

    def _answer(self, name: str, facts: Facts, asked: Any) -> Any:
        client, keys = self.client, wanted_keys(facts, asked.shard_key)
        if isinstance(asked, models.PointRequest):
            ids = [i for i in asked.ids if keys is None or facts.key_of.get(i) in keys]
            payload = True if asked.with_payload is None else asked.with_payload
            found = client.retrieve(
                name, ids, with_payload=payload, with_vectors=asked.with_vector or False
            )
            return keyed(found, facts)
        where = restricted(asked.filter, facts, keys)
        if isinstance(asked, models.CountRequest):
            return client.count(name, count_filter=where)
        if isinstance(asked, models.FacetRequest):
            check_facet(asked.key, facts)
            return client.facet(
                name, asked.key, facet_filter=where, limit=asked.limit or DEFAULT_LIMIT
            )
        if isinstance(asked, models.ScrollRequest):
            points, offset = client.scroll(
                name,
                scroll_filter=where,
                limit=asked.limit or DEFAULT_LIMIT,
                order_by=ordered_by(asked, facts),
                offset=asked.offset,
                with_payload=True if asked.with_payload is None else asked.with_payload,
                with_vectors=asked.with_vector or False,
            )
            return {"points": keyed(points, facts), "next_page_offset": offset}
        search = asked.model_copy(update={"filter": where, "shard_key": None, "params": None})
        (reply,) = client.query_batch_points(name, [search])
        return {"points": keyed(reply.points, facts)}

    def write(self, name: str, facts: Facts, operation: Any) -> None:
        """Carry out one operation of a write; found points are written before others are missed."""
        (asked,) = vars(operation).values()
        missing = []
        if facts.shard_keys is not None:
            keys = wanted_keys(facts, asked.shard_key)
            if keys is None:
                raise RefusedError(400, "Wrong input: Shard key not specified")
            points = points_of(operation)
            if isinstance(operation, models.UpsertOperation):
                facts.moved += [i for i in points if facts.key_of.get(i, keys[0]) != keys[0]]
                facts.key_of |= dict.fromkeys(points, keys[0])
            else:
                missing = [i for i in points if facts.key_of.get(i) not in keys]
                operation = narrowed(operation, facts, keys)
        if isinstance(operation, models.DeleteOperation):
            missing = []
        with engine_errors():
            self.client.batch_update_points(name, [operation])
        if missing:
            raise RefusedError(404, f"Not found: No point with id {missing[0]} found")


def narrowed(operation: Any, facts: Facts, keys: Sequence[models.ShardKey]) -> Any:
    """``operation`` on the points of some shard keys only."""
    (name, asked), *_ = vars(operation).items()
    if getattr(asked, "filter", None) is not None:
        changes: dict[str, Any] = {"filter": restricted(asked.filter, facts, keys)}
    else:
        own = [p for p in asked.points if facts.key_of.get(getattr(p, "id", p)) in keys]
        changes = {"points": own}
    return operation.model_copy(update={name: asked.model_copy(update=changes)})


def restricted(
    where: models.Filter | None, facts: Facts, keys: Sequence[models.ShardKey] | None
) -> models.Filter | None:
    """``where``, for the points of some shard keys only."""
    if keys is None:
        return where
    own: list[Any] = [i for i, key in facts.key_of.items() if key in keys]
    here: list[Any] = [models.HasIdCondition(has_id=own)]
    return models.Filter(must=here if where is None else [*here, where])


def keyed(points: Sequence[Any], facts: Facts) -> list[Any]:
    """``points`` with their shard keys."""
    if facts.shard_keys is None:
        return list(points)
    return [p.model_copy(update={"shard_key": facts.key_of.get(p.id)}) for p in points]


def check_facet(key: str, facts: Facts) -> None:
    """Check that the values of a field may be counted, which needs an index of whole values."""
    if facts.indexes.get(key) not in ("keyword", "integer", "bool", "uuid"):
        raise RefusedError(
            400,
            f"Wrong input: No appropriate index for faceting: `{key}`. Please create one to facet "
            "on this field. Check https://qdrant.tech/documentation/concepts/indexing/"
            "#payload-index to see which payload schemas support Match conditions",
        )


def ordered_by(asked: models.ScrollRequest, facts: Facts) -> Any:
    """The order that a page is asked in, which needs a range index."""
    order = asked.order_by
    key = getattr(order, "key", order)
    if key is not None and facts.indexes.get(key) not in ("integer", "float", "datetime"):
        raise RefusedError(
            400,
            f"Wrong input: No range index for `order_by` key: `{key}`. Please create one to use "
            "`order_by`. Check https://qdrant.tech/documentation/concepts/indexing/#payload-index "
            "to see which payload schemas support Range conditions",
        )
    return order


@contextmanager
def engine_errors() -> Iterator[None]:
    """Errors of local mode, in Qdrant's words."""
    try:
        yield
    except KeyError as error:
        raise RefusedError(404, f"Not found: No point with id {error.args[0]} found") from error
    except ValueError as error:
        words = str(error).removeprefix("Wrong input: ")
        unknown = re.fullmatch(r"\w+ vector (.*) is not found in the collection", words)
        words = f"Not existing vector name error: {unknown[1]}" if unknown else words
        raise RefusedError(400, f"Wrong input: {words}") from error


def check_size(search: models.QueryRequest, params: models.CollectionParams) -> None:
    """Check that a dense query has as many dimensions as the vectors it is compared with."""
    vectors = params.vectors or {}
    query = getattr(search.query, "nearest", search.query)
    dense = vectors.get(search.using or "") if isinstance(vectors, dict) else vectors
    if isinstance(query, list) and dense is not None and len(query) != dense.size:
        raise RefusedError(
            400,
            f"Wrong input: Vector dimension error: expected dim: {dense.size}, got {len(query)}",
        )
