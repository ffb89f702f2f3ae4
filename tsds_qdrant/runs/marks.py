"""How far a run has looked at its collection, and what it found when it looked again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from tsds_qdrant.collections.ids import KeyArray, point_keys
from tsds_qdrant.collections.reserved import SEQUENCE_FIELD, stamp_of
from tsds_qdrant.collections.values import PointId, Record
from tsds_qdrant.runs.writers import Readings

Way = Literal["sequence", "field", "ids", "named"]
BLIND = {
    "sequence": "points changed by other means than 'tsds-qdrant ingest'",
    "field": "points whose field did not grow when they changed",
    "ids": "points whose vector or payload changed under the same id",
    "named": "points that the list does not name",
}


@dataclass(frozen=True)
class Mark:
    """How far a run has looked.

    Attributes:
        way: how changes are found.
        field_name: the payload field, for ``field``.
        value: the largest number seen, for ``sequence`` and ``field``.
        keys: (N, 3) sorted keys of all ids seen, for ``ids``.
        prints: (N,) hashes of their vectors where updates are looked for, else empty.
        readings: how far each writer was read, for ``sequence``.
        count: points that matched then; None where an older state does not say.
        stamped: writer -> how many points it had written, for ``sequence`` on servers; empty where
            not all points have a stamp.
        fingerprint: of the collection, see :meth:`.Readable.fingerprint`; None on servers.
    """

    way: Way
    field_name: str | None = None
    value: int | float | str | None = None
    keys: KeyArray = field(default_factory=lambda: np.empty((0, 3), dtype=np.uint64))
    prints: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    readings: Readings = field(default_factory=dict)
    count: int | None = None
    stamped: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str | None = None

    def has_seen(self, record: Record) -> bool | None:
        """Whether the run has looked at ``record``; None where the mark does not say."""
        if self.way == "ids":
            return bool((self.keys == point_keys([record.id])).all(axis=1).any())
        if self.way != "sequence":
            return None
        if stamp := stamp_of(record.payload):
            reading = self.readings.get(stamp.writer)
            return reading is not None and reading.has_read(record.id, stamp.number)
        number = record.payload.get(SEQUENCE_FIELD)
        if isinstance(number, int) and isinstance(self.value, int):
            return number <= self.value
        return None

    @property
    def blind_to(self) -> str:
        """What this way of looking cannot see, in words."""
        if self.way == "ids" and len(self.prints):
            return "points whose payload alone changed"
        return BLIND[self.way]


@dataclass(frozen=True)
class Changes:
    """What has changed.

    Attributes:
        came: points that are new, or whose vector or payload changed.
        gone: points that a run uses and that are no longer there (or no longer match).
        mark: how far we have looked now.
        unmarked: points that are there and were not found in the run's way, at least; where there
            are any, all points count as come.
        none: nothing was written at all, or nothing that the run's way is not blind to.
    """

    came: list[PointId]
    gone: list[PointId]
    mark: Mark
    unmarked: int = 0
    none: bool = False
