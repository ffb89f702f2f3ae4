"""How well each task example is served."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.report.chosen import Chosen
from tsds_qdrant.solver.transport import TransportSolution

EXAMPLES = 20
"""Maximum number of task examples listed with their texts."""
NEAREST = 3
"""Maximum number of nearest candidates listed for a task example."""
SERVED = 5
"""Maximum number of selected candidates listed for a task example."""


@dataclass(frozen=True)
class Coverage:
    """What each of M task examples got.

    Attributes:
        mass: (M,) its share of p.
        used: (M,) candidates that receive mass from it.
        selected: (M,) those of them that were selected.
        nearest: (M,) distance to its nearest candidate.
        mean: (M,) mean distance of its mass.
        reach: (M,) distance to the farthest candidate that receives mass from it.
        worst_first: (M,) the examples by falling ``mean``.
    """

    mass: FloatArray
    used: IntArray
    selected: IntArray
    nearest: FloatArray
    mean: FloatArray
    reach: FloatArray
    worst_first: IntArray


@dataclass(frozen=True)
class Near:
    """A candidate near a task example.

    Attributes:
        candidate: its number.
        distance: from the task example.
        selected: whether it was selected.
    """

    candidate: int
    distance: float
    selected: bool


@dataclass(frozen=True)
class Served(Near):
    """A candidate as one task example sees it.

    Attributes:
        candidate, distance, selected: see :class:`Near`.
        mass: what it receives from the task example.
    """

    mass: float


def coverage_of(solution: TransportSolution, chosen: Chosen) -> Coverage:
    """Coverage of all task examples."""
    lists, plan = solution.problem.lists, solution.plan
    starts = lists.offsets[:-1]
    used = plan > 0
    mass = np.add.reduceat(plan, starts)
    mean = np.add.reduceat(plan * lists.distances, starts) / mass
    selected = used & chosen.among[lists.candidates]
    return Coverage(
        mass=mass,
        used=np.add.reduceat(used.astype(np.int64), starts),
        selected=np.add.reduceat(selected.astype(np.int64), starts),
        nearest=lists.distances[starts],
        mean=mean,
        reach=np.maximum.reduceat(np.where(used, lists.distances, 0.0), starts),
        worst_first=np.argsort(-mean, kind="stable"),
    )


def nearest_candidates(solution: TransportSolution, chosen: Chosen, example: int) -> list[Served]:
    """The nearest candidates of ``example``, selected or not."""
    start, stop = solution.problem.lists.offsets[example : example + 2].tolist()
    return _served(solution, chosen, np.arange(start, min(stop, start + NEAREST)))


def selected_candidates(solution: TransportSolution, chosen: Chosen, example: int) -> list[Served]:
    """The selected candidates that receive mass from ``example``, nearest first."""
    lists = solution.problem.lists
    entries = np.arange(*lists.offsets[example : example + 2].tolist())
    kept = (solution.plan[entries] > 0) & chosen.among[lists.candidates[entries]]
    return _served(solution, chosen, entries[kept][:SERVED])


def spread_examples(worst_first: IntArray) -> list[int]:
    """Task examples to show: all, or some from the worst served to the best in even steps."""
    if len(worst_first) <= EXAMPLES:
        return list(map(int, worst_first))
    places = np.linspace(0, len(worst_first) - 1, EXAMPLES).round().astype(np.int64)
    chosen: list[int] = worst_first[places].tolist()
    return chosen


def _served(solution: TransportSolution, chosen: Chosen, entries: IntArray) -> list[Served]:
    lists = solution.problem.lists
    candidates = lists.candidates[entries]
    return [
        Served(*values)
        for values in zip(
            candidates.tolist(),
            lists.distances[entries].tolist(),
            chosen.among[candidates].tolist(),
            solution.plan[entries].tolist(),
            strict=True,
        )
    ]
