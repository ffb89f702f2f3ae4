"""A selection of several tasks: what each of them got."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.selection.selection import Selection


@dataclass(frozen=True)
class TaskShare:
    """What one of several tasks got of a sample.

    Attributes:
        task: its name.
        examples: how many show it.
        selected: how many candidates have their nearest task example in it.
        share: of the sample.
        nearer: how many of those lie nearer to it than its examples lie to each other; None
            without such a yardstick.
        yardstick: that distance.
        mean_distance: of those to their nearest example; None where there are none.
    """

    task: str
    examples: int
    selected: int
    share: float
    nearer: int | None
    yardstick: float | None
    mean_distance: float | None

    @property
    def in_words(self) -> str:
        """One line for a person."""
        judged = ""
        if self.nearer is not None and self.selected:
            judged = (
                f", {self.nearer} of them nearer to it than its examples lie to each other "
                f"({self.yardstick:.4g})"
            )
        return (
            f"{self.task}: {self.selected} selected ({100 * self.share:.0f} %) for "
            f"{self.examples} task examples{judged}"
        )

    def facts(self) -> dict[str, Any]:
        """Its numbers, by name."""
        return asdict(self)


def shares_by_task(selection: Selection, rows: IntArray) -> tuple[TaskShare, ...]:
    """What each task got of the selected candidates ``rows`` (n,); empty where there is one task.

    A candidate belongs to the task of the example that is nearest to it.
    """
    names = selection.tasks.names
    if not names:
        return ()
    owner, query = np.array(names), selection.nearest_query[rows]
    distances, found = selection.nearest_distance[rows], []
    for task, scale in selection.task_yardsticks.items():
        own = np.zeros(len(rows), dtype=np.bool_)
        own[query >= 0] = owner[query[query >= 0]] == task
        near = distances[own]
        found.append(
            TaskShare(
                task,
                int(np.count_nonzero(owner == task)),
                int(own.sum()),
                float(own.sum()) / max(1, len(rows)),
                scale.nearer(near),
                scale.distance,
                float(near.mean()) if len(near) else None,
            )
        )
    return tuple(found)
