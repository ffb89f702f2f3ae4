"""Sharpening: searches are repeated, wider or by scans, while p is less exact than was asked for.

The estimate decides, not the limit at 95 %: that of a sample in which nothing was wrong is larger
than what anybody asks for. Neighbour lists, which are few, are scanned at once; densities are
walked wider as long as that is cheaper.
"""

from __future__ import annotations

from dataclasses import replace

from tsds_qdrant.neighbors.pairs import one_sided
from tsds_qdrant.solver.transport import TransportSolution
from tsds_qdrant.strategies.evidence import Accuracy
from tsds_qdrant.strategies.tsds.accuracy import measure, measured_again
from tsds_qdrant.strategies.tsds.problem import TaskProblem

FEW = 0.1
"""Where no larger share of the densities lacks a neighbour that does not lack them, those are found
again by scans before any sample is drawn."""


def accuracy_of(
    known: TaskProblem, solution: TransportSolution, seed: int, before: Accuracy | None
) -> Accuracy:
    """How exact the p of ``solution`` is; measured once for each.

    Args:
        known: what it rests on.
        solution: the last one.
        seed: of samples.
        before: what was measured before a repair.
    """
    if known.measured is not None and known.measured[0] is solution:
        return known.measured[1]
    near, goal = known.neighborhoods, known.settings.accuracy
    if known.measured is None:
        found = measured_again(near, solution, seed, before, goal)
    else:
        found = measure(near, solution, seed, goal)
    found = replace(found, asked=goal, shortfall=_shortfall(known, found))
    known.measured = solution, found
    return found


def sharpened(
    known: TaskProblem, solution: TransportSolution, seed: int, before: Accuracy | None
) -> bool:
    """Repeat searches where ``solution`` misses the accuracy asked for, and say whether any were.

    Then the solution is to be found again. This ends, at the latest when all are scans.
    """
    searcher, near, goal = known.searcher, known.neighborhoods, known.settings.accuracy
    if searcher.scan_reason or not searcher.info.limits.exact or goal == 1:
        return False
    places = len(near.vicinities.places)
    if places > known.compared and not searcher.density_scans:
        known.compared = places
        short = one_sided(near.vicinities)
        if 0 < len(short) <= FEW * places:
            near.vicinities.search_again(short)
            return True
    found = accuracy_of(known, solution, seed, before)
    if found.estimate <= goal:
        return False
    lists, densities = found.lists_variation or 0.0, found.densities_variation or 0.0
    if not near.exact.all() and (lists >= densities or searcher.density_scans):
        near.scan_lists()
    elif densities and not searcher.density_scans:
        searcher.widen(goal)
        near.vicinities.search_again()
        known.compared = 0
    else:
        return False
    return True


def _shortfall(known: TaskProblem, found: Accuracy) -> str:
    """Why it is not known whether p is as exact as was asked for; "" where it is."""
    if found.recall is not None:
        return ""
    return (
        f"whether p is within {known.settings.accuracy:g} of the exact one is not known: "
        f"{known.searcher.unscannable} to have it measured"
    )
