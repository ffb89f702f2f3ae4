"""How far a run has read the points of each writer, and what was written since.

Every ingest is a writer of its own and stamps its points with its name and growing numbers (see
:class:`~tsds_qdrant.collections.reserved.Stamp`). A run keeps the number up to which it has read
each writer, and asks for the points of writers that it does not know, or above that number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import (
    NUMBER_FIELD,
    STAMP_FIELD,
    STEP,
    WRITER_FIELD,
    Stamp,
    stamp_of,
)
from tsds_qdrant.collections.values import Filter, PointId
from tsds_qdrant.errors import RequestRejectedError

ASKED_TOGETHER = 64
"""Writers in one request; strict mode may allow fewer values in a condition."""


@dataclass(frozen=True)
class Reading:
    """How far one writer was read.

    Attributes:
        number: all points up to this number were seen.
        is_last: nothing more will come.
        seen: points above it that were seen too, with their numbers: the writer was not through.
    """

    number: int
    is_last: bool = False
    seen: Mapping[PointId, int] = field(default_factory=dict)

    def has_read(self, point_id: PointId, number: int) -> bool:
        """Whether a point with ``number`` was seen."""
        return number <= self.number or number <= self.seen.get(point_id, 0)


Readings = Mapping[str, Reading]
"""Writer -> how far it was read."""


def stored_readings(readings: Readings) -> dict[str, Any]:
    """Readings as plain values."""
    return {
        writer: [one.number, one.is_last, [list(pair) for pair in one.seen.items()]]
        for writer, one in readings.items()
    }


def restored_readings(stored: Mapping[str, Any]) -> dict[str, Reading]:
    """Readings from what :func:`stored_readings` made."""
    return {
        writer: Reading(number, is_last, dict(seen))
        for writer, (number, is_last, seen) in stored.items()
    }


def read_now(collection: Collection) -> dict[str, Reading]:
    """All writers, read to where they are now.

    Call it before the points themselves are read: what is written meanwhile is found later.
    """
    ends = _ends(collection, {})
    lower = {writer: _whole(writer, end) for writer, end in ends.items()}
    unfinished = {one: low for one, low in lower.items() if low < ends[one]}
    return _readings(ends, lower, _above(collection, None, unfinished))


def written_since(
    collection: Collection, where: Filter | None, before: Readings
) -> tuple[list[PointId], dict[str, Reading]]:
    """Points that match ``where`` and were written since ``before``, and the readings now."""
    # *subtle*: the ends come before the points. What is stored by then is found below, and what
    # comes in between is kept as seen.
    ends = _ends(collection, before)
    lower = {writer: before[writer].number if writer in before else 0 for writer in ends}
    found = list(_above(collection, where, lower))
    came = [
        point_id
        for point_id, stamp in found
        if stamp.writer not in before or not before[stamp.writer].has_read(point_id, stamp.number)
    ]
    whole = {one: max(lower[one], _whole(one, end)) for one, end in ends.items()}
    return came, {**before, **_readings(ends, whole, found)}


def _whole(writer: str, end: int) -> int:
    """The number up to which all points are stored if ``end`` is the largest one there is."""
    return end if Stamp(writer, end).is_last else max(0, end - STEP)


def _readings(
    ends: Mapping[str, int],
    whole: Mapping[str, int],
    found: Iterable[tuple[PointId, Stamp]],
) -> dict[str, Reading]:
    seen: dict[str, dict[PointId, int]] = {writer: {} for writer in ends}
    for point_id, stamp in found:
        if stamp.writer in ends and stamp.number > whole[stamp.writer]:
            seen[stamp.writer][point_id] = stamp.number
    return {
        writer: Reading(whole[writer], Stamp(writer, end).is_last, seen[writer])
        for writer, end in ends.items()
    }


def _ends(collection: Collection, before: Readings) -> dict[str, int]:
    """The largest number of each writer that may have written since ``before``."""
    try:
        writers = [str(value) for value in collection.facet(WRITER_FIELD)]
        asked = [one for one in writers if one not in before or not before[one].is_last]
        return {writer: _end(collection, writer) for writer in asked}
    except RequestRejectedError:  # there is no index, or a limit: all points are read
        ends: dict[str, int] = {}
        for _, stamp in _stamped(collection, None):
            if stamp.writer not in before or not before[stamp.writer].is_last:
                ends[stamp.writer] = max(stamp.number, ends.get(stamp.writer, 0))
        return ends


def written_by_each(collection: Collection) -> dict[str, int]:
    """Writer -> how many points have its stamp; empty where not all points have one."""
    try:
        counts = {str(writer): count for writer, count in collection.facet(WRITER_FIELD).items()}
    except RequestRejectedError:  # there is no index, or a limit
        return {}
    return counts if sum(counts.values()) == collection.count() else {}


def _end(collection: Collection, writer: str) -> int:
    of_writer = {"must": [{"key": WRITER_FIELD, "match": {"value": writer}}]}
    pages = collection.scroll_ordered(NUMBER_FIELD, descending=True, limit=1, where=of_writer)
    return max((int(number) for page in pages for _, number in page), default=0)


def _above(
    collection: Collection, where: Filter | None, lower: Mapping[str, int]
) -> Iterator[tuple[PointId, Stamp]]:
    """Points of the writers in ``lower`` above the number there, with their stamps."""
    new = [writer for writer, number in lower.items() if not number]
    asked: list[tuple[Mapping[str, Any], ...]] = [
        ({"key": WRITER_FIELD, "match": {"any": new[start : start + ASKED_TOGETHER]}},)
        for start in range(0, len(new), ASKED_TOGETHER)
    ]
    asked += [
        (
            {"key": WRITER_FIELD, "match": {"value": writer}},
            {"key": NUMBER_FIELD, "range": {"gt": number}},
        )
        for writer, number in lower.items()
        if number
    ]
    try:
        found = [one for conditions in asked for one in _stamped(collection, where, *conditions)]
    except RequestRejectedError:
        found = list(_stamped(collection, where))
    for point_id, stamp in found:
        if stamp.writer in lower and stamp.number > lower[stamp.writer]:
            yield point_id, stamp


def _stamped(
    collection: Collection, where: Filter | None, *conditions: Mapping[str, Any]
) -> Iterator[tuple[PointId, Stamp]]:
    parts = [*([dict(where)] if where else []), *conditions]
    for page in collection.scroll([STAMP_FIELD], where={"must": parts} if parts else None):
        for record in page:
            if stamp := stamp_of(record.payload):
                yield record.id, stamp
