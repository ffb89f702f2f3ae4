"""Is it any good? The distances of a selection against the yardstick of its task, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.neighbors.yardstick import Yardstick
from tsds_qdrant.selection.selection import Selection

ENOUGH = 0.9
"""From this share on, what was selected is as near as the task itself."""
FEW = 5
"""Fewer than this are no size to ask for."""
NEAREST, FARTHEST = 3, 2
"""How many texts are shown of either end."""


@dataclass(frozen=True)
class Verdict:
    """How many selected candidates lie nearer to a task than its examples lie to each other.

    Attributes:
        count: how many were selected and measured.
        nearer: how many of them are nearer; None without a yardstick.
        more: how many others are, of the candidates whose distance is known.
        yardstick: of the task.
        task_aware: whether the strategy goes by the task examples.
    """

    count: int
    nearer: int | None
    more: int
    yardstick: Yardstick
    task_aware: bool

    @property
    def in_words(self) -> str:
        """One sentence: how many, and what to do; without a yardstick, why there is none."""
        scale = self.yardstick
        if self.nearer is None:
            return f"how near is near is not known: {scale.reason}"
        return (
            f"{self.nearer} of {self.count} lie nearer to the task than its examples lie to each "
            f"other ({scale.distance:.4g}, the median){self.advice}"
        )

    @property
    def advice(self) -> str:
        """What to do, as the end of a sentence; "" for nothing."""
        nearer = self.nearer or 0
        if not self.count or nearer >= ENOUGH * self.count:
            return ""
        if not self.task_aware:
            return "; this strategy does not go by the task"
        if nearer + self.more < FEW:
            return ": the pool has little like the task; widen it"
        if 0 < self.more < self.count - nearer:
            there = about(nearer + self.more)
            return f", and {self.more} others do: ask for about {there}, or widen the pool"
        if nearer < FEW:
            return ": ask for fewer, or widen the pool"
        return f": ask for about {about(nearer)}, or widen the pool"


def verdict_of(selection: Selection, rows: IntArray) -> Verdict | None:
    """The verdict on the selected candidates ``rows`` (n,); unknown distances are not counted.

    None where no yardstick was looked for.
    """
    scale, distances = selection.yardstick, selection.nearest_distance
    if scale is None:
        return None
    nearer = scale.nearer(distances[rows])
    return Verdict(
        int(np.count_nonzero(~np.isnan(distances[rows]))),
        nearer,
        (scale.nearer(distances) or 0) - (nearer or 0),
        scale,
        bool(selection.settings.strategy.card.task_aware),
    )


def in_the_pool(yardstick: Yardstick, nearer: int | None, candidates: int, *, counted: bool) -> str:
    """How many candidates are worth asking for, before any are selected.

    Args:
        yardstick: of the task.
        nearer: how many candidates lie nearer; None without a yardstick.
        candidates: size of the pool.
        counted: whether these are all; otherwise there may be more.
    """
    if nearer is None:
        return f"how near is near is not known: {yardstick.reason}"
    least = "" if counted else "at least "
    advice = ": the pool has little like the task; widen it"
    if nearer >= FEW:
        advice = f": ask for about {about(nearer)}{'' if counted else ' or more'}"
    return (
        f"{least}{nearer} of {candidates} candidates lie nearer to the task than its "
        f"examples lie to each other ({yardstick.distance:.4g}, the median){advice}"
    )


def about(count: int) -> int:
    """``count`` as a round number that is not larger: 62 is 60, 128 is 120."""
    step = 1 if count < 10 else 5 if count < 100 else 10 ** (len(str(count)) - 2)
    return count // step * step


def both_ends(rows: IntArray, distances: FloatArray) -> tuple[list[int], list[int]]:
    """Those of ``rows`` (n,) that lie nearest to the task, and those at the edge, nearest first.

    Args:
        rows: numbers of candidates.
        distances: (n,) theirs; NaN where not known.
    """
    order = np.argsort(distances, kind="stable")
    known = rows[order[: np.count_nonzero(~np.isnan(distances))]]
    head = known[:NEAREST]
    tail = known[len(head) :][-FARTHEST:]
    return head.tolist(), tail.tolist()
