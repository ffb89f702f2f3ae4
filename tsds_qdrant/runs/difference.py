"""How a sample changed between two runs, and how much of that the probabilities forced."""

from __future__ import annotations

import math
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
        old: id -> p before, for all three; None where the strategy gives none.
        new: id -> p now.
        ordered: p is known of what was drawn alone; else it is 0 where it is not here.
        forced: expected number of additions that the change of p forces on any sampler; all of
            them where the strategy leaves nothing to chance.
        same_rows: the samples of all sizes hold the same ids in the same order, with the same p.
    """

    added: list[PointId]
    removed: list[PointId]
    kept: list[PointId]
    old: dict[PointId, float | None]
    new: dict[PointId, float | None]
    forced: float
    ordered: bool = False
    same_rows: bool = False

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows for a file: id, change, old and new probability."""
        absent = None if self.ordered else 0.0
        for change in ("added", "removed", "kept"):
            for point_id in getattr(self, change):
                yield {
                    "id": point_id,
                    "change": change,
                    "old_probability": self.old.get(point_id, absent),
                    "new_probability": self.new.get(point_id, absent),
                }


DIFFERENCE_COLUMNS = ("id", "change", "old_probability", "new_probability")


def difference_of(before: Drawn, selection: Selection) -> Difference:
    """How ``selection`` differs from what was drawn before."""
    size = max(selection.samples)
    ids = before.ids
    known = [None if math.isnan(p) else p for p in before.probabilities.tolist()]
    old: dict[PointId, float | None] = dict(zip(ids, known, strict=True))
    new = {selection.ids[k]: selection.probability(k) for k in selection.support.tolist()}
    ordered = selection.preference.ordered
    by_p = selection.settings.by_chance and not ordered
    earlier = [ids[k] for k in before.samples[max(before.samples)].tolist()]
    now = [selection.ids[k] for k in selection.samples[size].candidates.tolist()]
    was, is_now = set(earlier), set(now)
    added = [i for i in now if i not in was]
    return Difference(
        added=added,
        removed=[i for i in earlier if i not in is_now],
        kept=[i for i in now if i in was],
        old=old,
        new=new,
        forced=_forced(old, new, size) if by_p else float(len(added)),
        ordered=ordered,
        same_rows=_same_rows(before, ids, old, selection, new),
    )


def _same_rows(
    before: Drawn,
    ids: list[PointId],
    old: dict[PointId, float | None],
    selection: Selection,
    new: dict[PointId, float | None],
) -> bool:
    """Whether all samples are what they were; where a candidate may be drawn twice, all p count."""
    if before.samples.keys() != selection.samples.keys():
        return False
    for size, sample in selection.samples.items():
        was = [ids[k] for k in before.samples[size].tolist()]
        now = [selection.ids[k] for k in sample.candidates.tolist()]
        if was != now or any(old.get(one) != new.get(one) for one in now):
            return False
        if (sample.weights != 1).any() and old != new:
            return False
    return True


def _forced(old: dict[PointId, float | None], new: dict[PointId, float | None], size: int) -> float:
    ids = list({**old, **new})

    def chances(p: dict[PointId, float | None]) -> FloatArray:
        values = np.array([p.get(i) or 0.0 for i in ids])
        return inclusion_probabilities(values, min(size, len(p)))

    return float(np.maximum(chances(new) - chances(old), 0.0).sum())
