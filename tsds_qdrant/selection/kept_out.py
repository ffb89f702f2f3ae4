"""What is kept out of one selection: copies of test items, and task examples in the pool.

Both count as deleted as soon as a strategy comes upon them, and it is asked again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.neighbors.task_points import TaskPoints
from tsds_qdrant.strategies.known import Knowledge


@dataclass(frozen=True)
class KeptOut:
    """Keeps candidates out of one selection.

    Attributes:
        guard: knows the test items; None without any.
        points: that are task examples, and left out.
    """

    guard: Guard | None = None
    points: frozenset[PointId] = frozenset()

    @classmethod
    def of(cls, guard: Guard | None, found: TaskPoints | None) -> KeptOut | None:
        """What keeps out copies of test items and ``found``; None where nothing does."""
        if found is not None and found.left_out:
            return cls(guard, found.ids)
        return None if guard is None else cls(guard)

    def begin(self, known: Knowledge) -> None:
        """Let everything in again."""
        known.exclude(np.empty(0, dtype=np.int64))

    def drop(self, known: Knowledge, candidates: IntArray) -> bool:
        """Exclude what of ``candidates`` (c,) is kept out, and say whether anything is."""
        ids = known.index.ids(candidates.tolist()) if self.points else []
        own = np.fromiter((one in self.points for one in ids), np.bool_, len(ids))
        if own.any():
            excluded = np.flatnonzero(known.index.excluded)
            known.exclude(np.concatenate([excluded, candidates[own]]))
            candidates = candidates[~own]
        copies = self.guard is not None and self.guard.drop_copies(known, candidates)
        return bool(own.any()) or copies
