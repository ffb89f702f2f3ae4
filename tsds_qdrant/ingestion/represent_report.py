"""What a run of ``represent`` is asked for, and what it has done."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsds_qdrant.collections.values import Filter, PointId


@dataclass(frozen=True)
class RepresentSettings:
    """What a run of ``represent`` does besides the representation itself.

    Attributes:
        where: the candidates; all by default.
        again: make what was made otherwise again; what was made in the same way stays.
        fitted: directory for what is learnt from candidates.
        datatype: how the numbers of a new dense space are stored.
        rows: the number of each point's row, of a representation that was computed elsewhere.
    """

    where: Filter | None = None
    again: bool = False
    fitted: Path | None = None
    datatype: str = "float32"
    rows: Mapping[PointId, int] | None = None


@dataclass
class RepresentReport:
    """What a run has done.

    Attributes:
        name: of the representation.
        kind: what it is.
        fingerprint: of all that it depends on.
        read: points that were looked at.
        made: those that are represented now.
        stayed: those that had been looked at before in the same way; 0 where that is not counted.
        without: why others have no vector -> how many.
        missing: points that lack what it is derived from.
        count: points of the collection.
        seconds: by stage: ``fit``, ``represent`` (of the model or the mathematics alone),
            ``read``, ``store``, ``index``.
    """

    name: str
    kind: str
    fingerprint: str = ""
    read: int = 0
    made: int = 0
    stayed: int = 0
    without: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    count: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def as_dict(self) -> dict[str, Any]:
        """The report for a machine to read."""
        return {**vars(self), "without": dict(self.without), "seconds": dict(self.seconds)}


class Clock:
    """Adds what has passed since the last lap to a stage."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds, self._last = seconds, time.perf_counter()

    def lap(self, stage: str) -> None:
        """A stage has ended."""
        now = time.perf_counter()
        self._seconds[stage] += now - self._last
        self._last = now
