"""Who is a candidate: points that match the filter and have a vector that can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from tsds_qdrant.collections.conditions import excluding, joined
from tsds_qdrant.collections.filters import check_filter
from tsds_qdrant.collections.lengths import is_zero, needs_direction
from tsds_qdrant.collections.matching import matching
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo, Filter, PointId
from tsds_qdrant.pool.fields import unknown_in
from tsds_qdrant.pool.unmatched import unmatched_in

FIRST_LOOK = 16
NEXT_LOOK = 1_000
"""Points looked at for vectors of zeros: at first, and where all of those are zero."""
SCANNED_FLOATS = 100_000_000
"""Numbers of a pool up to which vectors of zeros are looked for: a scan of about a second."""


@dataclass(frozen=True)
class Members:
    """The candidates of a collection.

    Attributes:
        collection: holds them.
        where: what makes a point one, but for a vector of zeros; None where all points are.
        found: how many match it.
        zero: those of them whose vector is zero under Cosine or Dot, ascending; no candidates.
        lacking: points without the vector that ``where`` lets pass, as strict mode has no room for
            the condition that would not; no candidates either, and not counted in ``found``.
    """

    collection: Collection
    where: Filter | None
    found: int
    zero: tuple[PointId, ...] = ()
    lacking: tuple[PointId, ...] = ()

    @property
    def outside(self) -> frozenset[PointId]:
        """Points that match ``where`` and are no candidates."""
        return frozenset((*self.zero, *self.lacking))

    @property
    def count(self) -> int:
        """How many there are."""
        return self.found - len(self.zero)

    def having(self, condition: Mapping[str, Any]) -> int:
        """How many candidates meet ``condition``, exactly."""
        meeting = joined(self.where, condition)
        return self.collection.count(meeting) - len(
            matching(self.collection, meeting, [*self.outside])
        )

    def pages(self) -> Iterator[list[PointId]]:
        """Their ids, page by page, in ascending order."""
        outside = self.outside
        for page in self.collection.scroll_ids(self.where):
            if kept := [i for i in page if i not in outside] if outside else page:
                yield kept


def having_vector(collection: Collection, info: CollectionInfo, where: Filter | None) -> Members:
    """The points that match ``where`` and have the vector, those of zeros too.

    ``info`` is the collection's own of now. Where no point lacks the vector, nothing is asked for
    beside ``where``, which costs least.

    Raises:
        SettingsError: ``where`` is no filter.
    """
    if where is not None:
        check_filter(where)
    if not collection.limits.has_room(where):
        return _having_by_reading(collection, info, where)
    condition = joined(where, {"has_vector": info.vector})
    found = collection.count(condition)
    whole = where is None and found >= info.count
    return Members(collection, None if whole else condition, found)


def _having_by_reading(
    collection: Collection, info: CollectionInfo, where: Filter | None
) -> Members:
    """The same without a condition beside ``where``, for which there is no room."""
    ids = list(chain.from_iterable(collection.scroll_ids(where)))
    if collection.limits.has_room(None):
        having = matching(collection, joined(None, {"has_vector": info.vector}), ids)
    else:
        stored = collection.retrieve(ids, payloads=False, vectors=True)
        having = {record.id for record in stored if record.vector is not None}
    lacking = tuple(point_id for point_id in ids if point_id not in having)
    return Members(collection, where, len(ids) - len(lacking), lacking=lacking)


def members(
    collection: Collection, info: CollectionInfo, where: Filter | None, *, scans: bool = True
) -> Members:
    """The candidates that match ``where``; see :func:`having_vector`.

    Vectors of zeros are not looked for without ``scans``, as finding them all takes one, nor in a
    large pool; searches leave them out all the same.
    """
    found = having_vector(collection, info, where)
    if scans and found.found and looks_for_zero(info):
        return replace(found, zero=_zero_ids(collection, info, found.where))
    return found


def looks_for_zero(info: CollectionInfo) -> bool:
    """Whether vectors of zeros mean nothing in the collection, and a scan for them is quick."""
    return needs_direction(info.metric) and info.count * info.dimension <= SCANNED_FLOATS


def _zero_ids(
    collection: Collection, info: CollectionInfo, where: Filter | None
) -> tuple[PointId, ...]:
    """Points that match ``where`` and whose vector is zero: those that a scan shows to be next to
    it are looked at, as long as there are any among them.
    """
    found: list[PointId] = []
    passed: list[PointId] = []
    look, limits = FIRST_LOOK, info.limits
    most = limits.excludable(where)
    while True:
        look = min(look, limits.limit or look)
        if most is not None and len(passed) > most:
            page = chain.from_iterable(collection.scroll_ids(where))
            records, look = collection.retrieve([*page], payloads=False, vectors=True), 0
            found = []
        else:
            known = excluding(where, passed, limits.condition_size) if passed else where
            records = collection.faintest(look, known)
        rows = [(one.id, one.vector) for one in records if one.vector is not None]
        zero = [point_id for point_id, row in rows if is_zero(row)]
        found += zero
        # NaN comes before everything.
        odd = [point_id for point_id, row in rows if not np.isfinite(row).all()]
        passed += [*zero, *odd]
        if not (zero or odd) or not look or len(records) < look:
            return tuple(sorted(found, key=lambda one: (isinstance(one, str), one)))
        look = NEXT_LOOK


def no_candidate(info: CollectionInfo, members: Members, where: Filter | None) -> str:
    """That the filter ``where`` of the user's leaves no candidate, why, and what to do."""
    what, advice = "it holds no point", "ingest some or change --filter"
    if members.zero:
        what, advice = f"the vectors of all {members.found} points are zero", "ingest others"
    elif info.count and not where:
        what = f"none of its {info.count} points has a vector {info.named}"
        advice = "choose another with --vector"
    elif where and members.collection.count(where):
        what = f"no point that matches the filter has a vector {info.named}"
        advice = "choose another with --vector"
    elif where:
        what = "no point matches the filter"
        advice = (
            unknown_in(members.collection, where)
            or unmatched_in(members.collection, where)
            or advice
        )
    return f"collection '{info.name}' gives no candidate: {what}; {advice}"
