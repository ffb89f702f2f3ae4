"""Who is a candidate: points that match the filter and have a vector that can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.filters import check_filter
from tsds_qdrant.collections.lengths import is_zero, needs_direction
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo, Filter, PointId
from tsds_qdrant.errors import RequestRejectedError
from tsds_qdrant.pool.fields import unknown_in

FIRST_LOOK = 16
NEXT_LOOK = 1_000
"""Points looked at for vectors of zeros: at first, and where all of those are zero."""


@dataclass(frozen=True)
class Members:
    """The candidates of a collection.

    Attributes:
        collection: holds them.
        where: what makes a point one, but for a vector of zeros; None where all points are.
        found: how many match it.
        zero: those of them whose vector is zero under Cosine or Dot, ascending; no candidates.
    """

    collection: Collection
    where: Filter | None
    found: int
    zero: tuple[PointId, ...] = ()

    @property
    def count(self) -> int:
        """How many there are."""
        return self.found - len(self.zero)

    def having(self, condition: Mapping[str, Any]) -> int:
        """How many candidates meet ``condition``, exactly."""
        zero = [{"must_not": [{"has_id": list(self.zero)}]}] if self.zero else []
        return self.collection.count(joined(self.where, condition, *zero))

    def pages(self) -> Iterator[list[PointId]]:
        """Their ids, page by page, in ascending order."""
        zero = set(self.zero)
        for page in self.collection.scroll_ids(self.where):
            if kept := [i for i in page if i not in zero] if zero else page:
                yield kept


def having_vector(
    collection: Collection, info: CollectionInfo, where: Filter | None
) -> tuple[Filter | None, int]:
    """The filter of the points that match ``where`` and have the vector, and how many do.

    ``info`` is the collection's own of now. Where no point lacks the vector, nothing is asked for
    beside ``where``, which costs least.

    Raises:
        SettingsError: ``where`` is no filter.
    """
    if where is not None:
        check_filter(where)
    condition = joined(where, {"has_vector": info.vector})
    found = collection.count(condition)
    whole = where is None and found >= info.count
    return None if whole else condition, found


def members(
    collection: Collection, info: CollectionInfo, where: Filter | None, *, scans: bool = True
) -> Members:
    """The candidates that match ``where``; see :func:`having_vector`.

    Without ``scans`` vectors of zeros are not looked for, as finding them all takes one.
    """
    condition, found = having_vector(collection, info, where)
    zero: tuple[PointId, ...] = ()
    if scans and found and needs_direction(info.metric):
        zero = _zero_ids(collection, info, condition)
    return Members(collection, condition, found, zero)


def _zero_ids(
    collection: Collection, info: CollectionInfo, where: Filter | None
) -> tuple[PointId, ...]:
    """Points that match ``where`` and whose vector is zero: those that a scan shows to be next to
    it are looked at, as long as there are any among them.
    """
    found: list[PointId] = []
    passed: list[PointId] = []
    look = FIRST_LOOK
    with suppress(RequestRejectedError):  # strict mode bounds what a filter may hold
        while True:
            look = min(look, info.limits.limit or look)
            known = [{"must_not": [{"has_id": list(passed)}]}] if passed else []
            records = collection.faintest(look, joined(where, *known))
            zero = [one.id for one in records if one.vector is not None and is_zero(one.vector)]
            # NaN comes before everything.
            odd = [
                one.id
                for one in records
                if one.vector is not None and not np.isfinite(one.vector).all()
            ]
            found += zero
            passed += [*zero, *odd]
            if not (zero or odd) or len(records) < look:
                break
            look = NEXT_LOOK
    return tuple(sorted(found, key=lambda one: (isinstance(one, str), one)))


def no_candidate(info: CollectionInfo, members: Members, where: Filter | None) -> str:
    """That the filter ``where`` of the user's leaves no candidate, why, and what to do."""
    what, advice = "it holds no point", "ingest some or change --filter"
    if members.zero:
        what, advice = f"the vectors of all {members.found} points are zero", "ingest others"
    elif info.count and not where:
        what = f"none of its {info.count} points has a vector '{info.vector}'"
        advice = "choose another with --vector"
    elif where and members.collection.count(where):
        what = f"no point that matches the filter has a vector '{info.vector}'"
        advice = "choose another with --vector"
    elif where:
        what = "no point matches the filter"
        advice = unknown_in(members.collection, where) or advice
    return f"collection '{info.name}' gives no candidate: {what}; {advice}"
