"""Which points match a filter, by requests that a deployment allows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Filter, PointId

PAGE = 10_000


def matching(collection: Collection, where: Filter | None, ids: Sequence[PointId]) -> set[PointId]:
    """Which of ``ids`` are stored and match ``where``.

    They are listed in filters, as many as one condition may list; where that takes more requests
    than paging through all that match, or is not allowed at all, everything is paged through.
    """
    if where is None or not ids:
        return collection.existing(ids)
    listed = collection.limits.ids_listed(PAGE, where)
    if not listed or (listed < min(PAGE, len(ids)) and _is_dearer(collection, len(ids) / listed)):
        return {*_found(collection, where)} & {*ids}
    parts = (list(ids[start : start + listed]) for start in range(0, len(ids), listed))
    conditions = (joined(where, {"has_id": part}) for part in parts)
    return {*chain.from_iterable(_found(collection, condition) for condition in conditions)}


def _found(collection: Collection, where: Filter | None) -> Iterable[PointId]:
    return chain.from_iterable(collection.scroll_ids(where))


def _is_dearer(collection: Collection, requests: float) -> bool:
    """Whether that many requests are more than the pages of the whole collection."""
    return requests > 1 + collection.info().count / min(PAGE, collection.limits.limit or PAGE)
