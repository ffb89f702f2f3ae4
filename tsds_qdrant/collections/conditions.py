"""Filters joined with conditions of our own, which must hold beside a filter of the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tsds_qdrant.collections.values import Filter, PointId


def joined(where: Filter | None, *conditions: Mapping[str, Any]) -> Filter | None:
    """``where`` and all ``conditions``; None where there is nothing to hold to."""
    if not conditions:
        return where
    return {"must": [dict(part) for part in ([where] if where else []) + list(conditions)]}


def excluding(where: Filter | None, ids: Sequence[PointId], size: int | None) -> dict[str, Any]:
    """``where`` without the points ``ids``, listed in conditions of at most ``size``."""
    step = size or max(1, len(ids))
    lists = [{"has_id": list(ids[start : start + step])} for start in range(0, len(ids), step)]
    return {"must_not": lists} if where is None else {"must": [dict(where)], "must_not": lists}
