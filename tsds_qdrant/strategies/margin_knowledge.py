"""What strategies by gradients know of task examples: their margins and sub-tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.strategies.pool_knowledge import PoolKnowledge
from tsds_qdrant.task.task import Task


class MarginKnowledge(PoolKnowledge):
    """A pool, for task examples with margins and sub-tasks.

    Attributes:
        margins: (M,) of the task examples; None where not known.
        groups: M sub-tasks; empty where there is one.
    """

    margins: FloatArray | None = None
    groups: tuple[str, ...] = ()

    @classmethod
    def begin(cls, searcher: Searcher, task: Task) -> Any:
        """Read the ids of the pool."""
        known: MarginKnowledge = super().begin(searcher, task)
        known.margins, known.groups = task.margins, task.groups
        return known

    @classmethod
    def resume(
        cls, searcher: Searcher, facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> Any:
        """What :meth:`stored` gave.

        Raises:
            KeyError: a part is missing.
        """
        known: MarginKnowledge = super().resume(searcher, facts, arrays)
        known.margins, known.groups = arrays.get("example_margins"), tuple(facts["groups"])
        return known

    def retarget(self, task: Task) -> None:
        """Take other task examples."""
        super().retarget(task)
        self.margins, self.groups = task.margins, task.groups

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Keys of the pool, margins and sub-tasks."""
        facts, arrays = super().stored()
        if self.margins is not None:
            arrays["example_margins"] = self.margins
        return {**facts, "groups": list(self.groups)}, arrays

    @property
    def excluded_now(self) -> frozenset[int]:
        """Numbers of the candidates that count as deleted."""
        return frozenset(np.flatnonzero(self.index.excluded).tolist())


def falling_short(margins: FloatArray) -> FloatArray:
    """(n,) 1 - sigmoid(margin), Q in TRAK: by how much the loss falls as the margin grows."""
    held: FloatArray = 1.0 / (1.0 + np.exp(np.clip(margins, -700.0, 700.0)))
    return held
