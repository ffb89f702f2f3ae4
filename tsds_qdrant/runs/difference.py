"""How a sample changed between two runs, and how much of that the probabilities forced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.runs.run import Drawn
from tsds_qdrant.selection.sampling import inclusion_probabilities
from tsds_qdrant.selection.selection import Selection


@dataclass(frozen=True)
class Difference:
    """How the sample of the largest size changed.

    Attributes:
        added: ids that are new in the sample.
        removed: ids that left it.
        kept: ids in both.
        old: id -> p before, for all three.
        new: id -> p now.
        forced: expected number of additions that the change of p forces on any sampler.
    """

    added: list[PointId]
    removed: list[PointId]
    kept: list[PointId]
    old: dict[PointId, float]
    new: dict[PointId, float]
    forced: float

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows for a file: id, change, old and new probability."""
        for change in ("added", "removed", "kept"):
            for point_id in getattr(self, change):
                yield {
                    "id": point_id,
                    "change": change,
                    "old_probability": self.old.get(point_id, 0.0),
                    "new_probability": self.new.get(point_id, 0.0),
                }


DIFFERENCE_COLUMNS = ("id", "change", "old_probability", "new_probability")


def difference_of(before: Drawn, selection: Selection) -> Difference:
    """How ``selection`` differs from what was drawn before."""
    size = max(selection.samples)
    ids = before.ids
    old = dict(zip(ids, before.probabilities.tolist(), strict=True))
    support = np.flatnonzero(selection.probabilities).tolist()
    new = {selection.ids[k]: float(selection.probabilities[k]) for k in support}
    earlier = [ids[k] for k in before.samples[max(before.samples)].tolist()]
    now = [selection.ids[k] for k in selection.samples[size].candidates.tolist()]
    was, is_now = set(earlier), set(now)
    return Difference(
        added=[i for i in now if i not in was],
        removed=[i for i in earlier if i not in is_now],
        kept=[i for i in now if i in was],
        old=old,
        new=new,
        forced=_forced(old, new, size),
    )


def _forced(old: dict[PointId, float], new: dict[PointId, float], size: int) -> float:
    ids = list({**old, **new})

    def chances(p: dict[PointId, float]) -> FloatArray:
        values = np.array([p.get(i, 0.0) for i in ids])
        return inclusion_probabilities(values, min(size, len(p)))

    return float(np.maximum(chances(new) - chances(old), 0.0).sum())
