"""Candidates that nearly made it, and why they did not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.report.chosen import Chosen
from tsds_qdrant.report.coverage import Coverage
from tsds_qdrant.solver.transport import TransportSolution

NOT_DRAWN = "not drawn"
BEYOND = "beyond the threshold"
LISTED = 10
"""Maximum number of candidates listed for each reason."""


@dataclass(frozen=True)
class Miss:
    """A candidate that was found but not selected.

    Attributes:
        candidate: its number.
        example: the task example that was nearest to choosing it, or the nearest that did.
        distance: from that example.
        beyond_reach: how far that lies behind the farthest candidate that gets its mass.
        probability: its p.
        why: ``NOT_DRAWN`` (p > 0, but others were taken) or ``BEYOND`` (p is zero).
    """

    candidate: int
    example: int
    distance: float
    beyond_reach: float
    probability: float
    why: str


@dataclass(frozen=True)
class Misses:
    """Near misses.

    Attributes:
        rows: first the most probable that were not drawn, then the nearest beyond the threshold.
        not_drawn: how many candidates with p > 0 were not drawn.
        beyond: how many candidates of the lists have no p.
    """

    rows: tuple[Miss, ...]
    not_drawn: int
    beyond: int


def misses_of(solution: TransportSolution, chosen: Chosen, coverage: Coverage) -> Misses:
    """The near misses of ``solution``."""
    lists, p = solution.problem.lists, solution.probabilities
    left = np.flatnonzero((p > 0) & ~chosen.among)
    likely = left[np.argsort(-p[left], kind="stable")][:LISTED]
    served = np.flatnonzero(solution.plan > 0)
    served = served[np.argsort(lists.distances[served], kind="stable")]
    entry_of = dict(zip(*_first_of_each(lists.candidates[served]), strict=True))
    undrawn = [
        _miss(solution, coverage, int(served[entry_of[row]]), NOT_DRAWN) for row in likely.tolist()
    ]
    outside = np.flatnonzero(p[lists.candidates] == 0)
    examples = lists.query_of_entry[outside]
    margins = lists.distances[outside] - coverage.reach[examples]
    order = outside[np.argsort(margins, kind="stable")]
    missed, places = _first_of_each(lists.candidates[order])
    beyond = [
        _miss(solution, coverage, entry, BEYOND)
        for entry in order[sorted(places)[:LISTED]].tolist()
    ]
    return Misses((*undrawn, *beyond), len(left), len(missed))


def _miss(solution: TransportSolution, coverage: Coverage, entry: int, why: str) -> Miss:
    lists = solution.problem.lists
    example = int(np.searchsorted(lists.offsets, entry, side="right")) - 1
    candidate = int(lists.candidates[entry])
    return Miss(
        candidate,
        example,
        float(lists.distances[entry]),
        float(lists.distances[entry] - coverage.reach[example]),
        float(solution.probabilities[candidate]),
        why,
    )


def _first_of_each(candidates: IntArray) -> tuple[list[int], list[int]]:
    """The different candidates, and where each stands for the first time."""
    found, first = np.unique(candidates, return_index=True)
    return found.tolist(), first.tolist()
