"""What strict mode refuses, in the words of Qdrant 1.18: sizes, filters, rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from qdrant_client import models

DEFAULT_LIMIT = 10
MINUTE = 60.0


class RefusedError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, text: str, *, plain: bool = False, **headers: str) -> None:
        super().__init__(text)
        self.status, self.text, self.plain, self.headers = status, text, plain, headers


def strict_mode(text: str, advice: str) -> RefusedError:
    return RefusedError(400, f"Bad request: {text}. Help: {advice}")


def check_limit(value: float | None, most: float | None, name: str) -> None:
    if value is not None and most is not None and value > most:
        raise strict_mode(
            f'Limit exceeded {value:g} > {most:g} for "{name}"',
            f'Reduce the "{name}" parameter to or below {most:g}.',
        )


class Bucket:
    """Tokens of one minute, which come back evenly; ``clock`` gives the time in seconds."""

    def __init__(self, kind: str, most: int, clock: Callable[[], float]) -> None:
        self.kind, self.most, self.clock = kind, most, clock
        self.left, self.since = float(most), clock()

    def take(self, cost: int) -> None:
        now = self.clock()
        self.left = min(self.most, self.left + (now - self.since) * self.most / MINUTE)
        self.since = now
        exceeded = f"Rate limiting exceeded: {self.kind} rate limit exceeded"
        if cost > self.most:
            raise RefusedError(
                429,
                f"{exceeded}, request larger than rate limiter capacity, "
                "please try to split your request",
            )
        if cost > self.left:
            wait = math.ceil((cost - self.left) * MINUTE / self.most)
            raise RefusedError(
                429,
                f"{exceeded}: Operation requires {cost} tokens but only {self.left:.1f} were "
                f"available. Retry after {wait}s",
                **{"Retry-After": str(wait)},
            )
        self.left -= cost


class Limits:
    """The strict mode of one collection."""

    def __init__(self, strict: models.StrictModeConfig, clock: Callable[[], float]) -> None:
        self.strict = strict
        self.reads = self.writes = None
        if strict.enabled and strict.read_rate_limit is not None:
            self.reads = Bucket("Read", strict.read_rate_limit, clock)
        if strict.enabled and strict.write_rate_limit is not None:
            self.writes = Bucket("Write", strict.write_rate_limit, clock)

    def check_timeout(self, query: Mapping[str, str]) -> None:
        if self.strict.enabled and "timeout" in query:
            check_limit(int(query["timeout"]), self.strict.max_timeout, "timeout")

    def check_read(self, asked: Any, indexes: Mapping[str, str]) -> int:
        """Check a read, and say how many tokens it costs."""
        if isinstance(asked, models.PointRequest):
            return len(asked.ids)
        where = asked.filter
        if self.strict.enabled:
            self._check_search(asked)
            self._check_filter(where, indexes, self.strict.unindexed_filtering_retrieve)
        return 1 + sum(1 for _ in leaves(where))

    def check_batch(self, searches: int) -> None:
        if self.strict.enabled:
            check_limit(searches, self.strict.search_max_batchsize, "search batch size")

    def _check_search(self, asked: Any) -> None:
        strict = self.strict
        if not isinstance(asked, models.CountRequest):
            check_limit(asked.limit or DEFAULT_LIMIT, strict.max_query_limit, "limit")
        params = getattr(asked, "params", None) or models.SearchParams()
        exact = getattr(asked, "exact", None) or params.exact
        if isinstance(asked, models.CountRequest) and asked.exact is None:
            exact = True
        if exact and strict.search_allow_exact is False:
            raise strict_mode("Exact search disabled!", "Set exact=false.")
        oversampling = params.quantization.oversampling if params.quantization else None
        check_limit(oversampling, strict.search_max_oversampling, "oversampling")
        check_limit(params.hnsw_ef, strict.search_max_hnsw_ef, "hnsw_ef")

    def _check_filter(
        self, where: models.Filter | None, indexes: Mapping[str, str], unindexed: bool | None
    ) -> None:
        strict, conditions = self.strict, list(leaves(where))
        most = strict.filter_max_conditions
        if most is not None and len(conditions) > most:
            raise strict_mode(
                f"Filter condition limit reached ({len(conditions)} > {most})",
                "Reduce the amount of conditions of your filter.",
            )
        most, largest = (
            strict.condition_max_size,
            max((size(one) for _, one in conditions), default=0),
        )
        if most is not None and largest > most:
            raise strict_mode(
                f"Condition size limit reached ({largest} > {most})",
                "Reduce the size of your condition.",
            )
        for key, condition in conditions if unindexed is False else ():
            fitting = index_types(condition)
            if fitting and indexes.get(key) not in fitting:
                raise strict_mode(
                    f'Index required but not found for "{key}" of one of the following types: '
                    f"[{', '.join(sorted(fitting))}]",
                    "Create an index for this key or use a different filter.",
                )

    def check_write(self, operation: Any, indexes: Mapping[str, str]) -> int:
        """Check one operation of a write, and say how many tokens it costs."""
        if isinstance(operation, models.UpsertOperation):
            points = points_of(operation)
            if self.strict.enabled:
                check_limit(len(points), self.strict.upsert_max_batchsize, "upsert limit")
            return 1
        (asked,) = vars(operation).values()
        if self.strict.enabled:
            if isinstance(operation, models.UpdateVectorsOperation):
                check_limit(len(asked.points), self.strict.upsert_max_batchsize, "update limit")
            where = getattr(asked, "filter", None)
            self._check_filter(where, indexes, self.strict.unindexed_filtering_update)
        return max(1, len(points_of(operation)))

    def check_index(self, indexes: Mapping[str, str]) -> None:
        most = self.strict.max_payload_index_count
        if self.strict.enabled and most is not None and len(indexes) >= most:
            raise strict_mode(
                f"Collection already has the maximum number of payload indices ({most})",
                "Please delete an existing index before creating a new one.",
            )


def points_of(operation: Any) -> list[Any]:
    """The ids that an operation names; none where it names a filter."""
    (asked,) = vars(operation).values()
    if isinstance(asked, models.PointsBatch):
        return list(asked.batch.ids)
    points = getattr(asked, "points", None) or []
    return [getattr(point, "id", point) for point in points]


def leaves(where: models.Filter | None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every single condition of a filter, with the payload key that it reads."""
    if where is None:
        return
    parts = [where.must, where.should, where.must_not]
    if where.min_should:
        parts.append(where.min_should.conditions)
    for part in parts:
        for condition in (
            part if isinstance(part, Iterable) and not hasattr(part, "model_dump") else [part]
        ):
            if isinstance(condition, models.Filter):
                yield from leaves(condition, prefix)
            elif isinstance(condition, models.NestedCondition):
                inner = condition.nested.key.removesuffix("[]")
                yield from leaves(condition.nested.filter, f"{prefix}{inner}[].")
            elif condition is not None:
                named = getattr(condition, "is_empty", None) or getattr(condition, "is_null", None)
                yield f"{prefix}{getattr(named or condition, 'key', '')}", condition


def size(condition: Any) -> int:
    """How many values a condition lists."""
    match = getattr(condition, "match", None)
    listed = (
        getattr(condition, "has_id", None)
        or getattr(match, "any", None)
        or getattr(match, "except_", None)
    )
    return len(listed or ())


def index_types(condition: Any) -> set[str]:
    """Which indexes would serve a condition; none for one that needs no index."""
    if isinstance(condition, models.IsEmptyCondition | models.IsNullCondition):
        return {kind.value for kind in models.PayloadSchemaType}
    if not isinstance(condition, models.FieldCondition):
        return set()
    match = condition.match
    if isinstance(match, models.MatchText):
        return {"text"}
    if match is not None:
        found = getattr(match, "value", None)
        listed = getattr(match, "any", None) or getattr(match, "except_", None) or [found]
        value = listed[0]
        return {
            "bool"
            if isinstance(value, bool)
            else "integer"
            if isinstance(value, int)
            else "keyword"
        }
    if isinstance(condition.range, models.DatetimeRange):
        return {"datetime"}
    if condition.range is not None:
        return {"float", "integer"}
    if condition.geo_bounding_box or condition.geo_radius or condition.geo_polygon:
        return {"geo"}
    return {kind.value for kind in models.PayloadSchemaType}
