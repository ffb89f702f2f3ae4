"""What a deployment allows, and what a key may do: read before anything is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tsds_qdrant.errors import DepthError, RequestRejectedError
from tsds_qdrant.progress import about, notice

Kind = Literal["reads", "writes"]
RATES: Mapping[Kind, str] = {"reads": "read_rate_limit", "writes": "write_rate_limit"}
MINUTE = 60.0
WORTH_SAYING_S = 5.0
CLAUSES = ("must", "should", "must_not")


@dataclass(frozen=True)
class Limits:
    """What a collection allows (Qdrant strict mode); None where there is no limit.

    Attributes:
        limit: ``max_query_limit``: hits of one search, points of one page.
        batch: ``search_max_batchsize``: searches of one request.
        ef: ``search_max_hnsw_ef``.
        exact: ``search_allow_exact``: searches and counts may be exact.
        searches: searches are possible at all; not where exact ones are refused and there is no
            HNSW graph (``m`` is 0).
        oversampling: ``search_max_oversampling``.
        conditions: ``filter_max_conditions``: conditions of one filter, nested ones too.
        condition_size: ``condition_max_size``: values that one condition lists.
        unindexed_filter: ``unindexed_filtering_retrieve``: filters on any payload field.
        unindexed_update: ``unindexed_filtering_update``: the same in writes.
        upsert_batch: ``upsert_max_batchsize``: points of one write.
        read_rate, write_rate: ``read_rate_limit`` and ``write_rate_limit``, a minute.
        timeout: ``max_timeout``, in seconds.
        points: ``max_points_count``.
        payload_indexes: ``max_payload_index_count``.
        writes: False where a collection is only read, whoever asks.
    """

    limit: int | None = None
    batch: int | None = None
    ef: int | None = None
    exact: bool = True
    searches: bool = True
    oversampling: float | None = None
    conditions: int | None = None
    condition_size: int | None = None
    unindexed_filter: bool = True
    unindexed_update: bool = True
    upsert_batch: int | None = None
    read_rate: int | None = None
    write_rate: int | None = None
    timeout: int | None = None
    points: int | None = None
    payload_indexes: int | None = None
    writes: bool = True

    @property
    def most_conditions(self) -> int | None:
        """How many conditions a filter may have; None if any number.

        A read counts as one for itself and one for each of them, and none may count as more than
        come back in a minute.
        """
        by_rate = None if self.read_rate is None else max(0, self.read_rate - 1)
        return min((most for most in (self.conditions, by_rate) if most is not None), default=None)

    def raised_for(self, wanted: int) -> str:
        """What has to be raised for a filter of ``wanted`` conditions; "" if nothing has."""
        bounds = {
            "filter_max_conditions": (self.conditions, wanted),
            RATES["reads"]: (self.read_rate, wanted + 1),
        }
        short = [
            f"{name} raised to {needed}"
            for name, (allowed, needed) in bounds.items()
            if allowed is not None and allowed < needed
        ]
        return " and ".join(short)

    def has_room(self, where: Any, extra: int = 1) -> bool:
        """Whether ``extra`` conditions more than those of the filter ``where`` are allowed."""
        return not self.raised_for(conditions(where) + extra)

    def ids_listed(self, most: int, where: Any = None) -> int:
        """How many ids, at most ``most``, one condition beside ``where`` may list; 0 if none."""
        if not self.has_room(where):
            return 0
        return most if self.condition_size is None else min(most, self.condition_size)

    def allowed_ef(self, ef: int) -> int | None:
        """``ef``, or as much of it as is allowed; None, which leaves it to Qdrant, for 0."""
        return (ef if self.ef is None else min(ef, self.ef)) or None

    def allowed_oversampling(self, factor: float | None) -> float | None:
        """``factor``, or as much of it as is allowed; None, which sends none, below 1."""
        if factor is None or self.oversampling is None:
            return factor
        allowed = min(factor, self.oversampling)
        return allowed if allowed >= 1 else None

    def depth(self, where: Any = None) -> int | None:
        """How many hits one search among ``where`` can get, piece by piece; None if any number.

        Behind the first ``limit`` of them, those found so far are excluded.
        """
        most = self.excludable(where)
        return None if self.limit is None or most is None else self.limit + most

    def excludable(self, where: Any = None) -> int | None:
        """How many ids conditions beside ``where`` can exclude; None if any number."""
        if self.condition_size == 0:
            return 0
        if self.most_conditions is None:
            return None
        free = max(0, self.most_conditions - conditions(where))
        if self.condition_size is None:
            return None if free else 0
        return free * self.condition_size


@dataclass(frozen=True)
class Rights:
    """What a key may do with a collection beside reading it.

    Attributes:
        writes: write points, payloads and payload indexes; None where that does not show.
        refusal: a sentence on why not, "" if it may.
    """

    writes: bool | None = True
    refusal: str = ""


def announce(name: str, what: Kind, per_minute: int | None, tokens: float) -> None:
    """Say how long ``tokens`` more than are there take; once for a command, and if that is long.

    Args:
        name: of the collection.
        what: of which kind they are.
        per_minute: how many of them come back in a minute; None if they are not counted.
        tokens: how many have to be waited for.
    """
    seconds = max(0.0, tokens) * MINUTE / per_minute if per_minute else 0.0
    if seconds >= WORTH_SAYING_S:
        notice(
            RATES[what],
            f"collection '{name}' allows {per_minute} {what} a minute (strict mode, "
            f"{RATES[what]}): this takes {about(seconds)}",
        )


def conditions(where: Any) -> int:
    """How many conditions a filter has, with those of the filters in it, as Qdrant counts them."""
    return len(_leaves(where))


def check_filter_limits(where: Any, limits: Limits, name: str) -> None:
    """Check that collection ``name`` allows the filter ``where``.

    Raises:
        RequestRejectedError: it has too many conditions, or one that lists too many values.
    """
    leaves = _leaves(where)
    if limits.conditions is not None and len(leaves) > limits.conditions:
        raise RequestRejectedError(
            f"collection '{name}' limits the conditions of a filter to {limits.conditions}, and "
            f"this one has {len(leaves)} (strict mode); shorten it, or have filter_max_conditions "
            f"raised to {len(leaves)}"
        )
    largest = max(map(_size, leaves), default=0)
    if limits.condition_size is not None and largest > limits.condition_size:
        raise RequestRejectedError(
            f"collection '{name}' limits a list in a filter to {limits.condition_size}, and this "
            f"one has {largest} (strict mode); shorten it, or have condition_max_size raised to "
            f"{largest}"
        )


def check_depth(
    hits: int, limits: Limits, where: Any, name: str, *, most: int | None = None
) -> None:
    """Check that collection ``name`` can give that many hits of one search among ``where``.

    ``most`` hits are all that any search could need.

    Raises:
        DepthError: it cannot, however they are asked for.
    """
    depth = limits.depth(where)
    if depth is None or hits <= depth:
        return
    bounds = {
        "max_query_limit": limits.limit,
        "filter_max_conditions": limits.conditions,
        "condition_max_size": limits.condition_size,
    }
    if limits.most_conditions != limits.conditions:
        bounds[RATES["reads"]] = limits.read_rate
    why = ", ".join(f"{name} {bound}" for name, bound in bounds.items() if bound is not None)
    raise DepthError(
        f"the selection needs {hits} hits of one search and collection '{name}' can give {depth} "
        f"(strict mode: {why}); {deeper(hits, limits, where, most or hits)}"
    )


def deeper(hits: int, limits: Limits, where: Any, most: int) -> str:
    """What gives that many hits of one search, and ``most`` of any, where the limits do not."""
    if limits.condition_size is None:
        return f"have {limits.raised_for(conditions(where) + 1)}"
    sure = "" if hits >= most else f" ({most} suffices for any selection)"
    return f"have max_query_limit raised to {hits} or more{sure}"


def _leaves(where: Any) -> list[Mapping[str, Any]]:
    """All conditions of a filter that are no filters themselves."""
    if not isinstance(where, Mapping):
        return []
    parts = [where[clause] for clause in CLAUSES if where.get(clause)]
    if isinstance(where.get("min_should"), Mapping):
        parts.append(where["min_should"].get("conditions") or [])
    leaves: list[Mapping[str, Any]] = []
    for part in parts:
        for condition in part if isinstance(part, list) else [part]:
            if "nested" in condition:
                leaves += _leaves(condition["nested"].get("filter"))
            elif any(clause in condition for clause in (*CLAUSES, "min_should")):
                leaves += _leaves(condition)
            elif condition:
                leaves.append(condition)
    return leaves


def _size(condition: Mapping[str, Any]) -> int:
    match = condition.get("match")
    listed = match if isinstance(match, Mapping) else {}
    return len(condition.get("has_id") or listed.get("any") or listed.get("except") or ())
