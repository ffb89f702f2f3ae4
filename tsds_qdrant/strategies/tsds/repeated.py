"""Searches behind a solution, repeated by scans, and what they turn out to have missed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.hits import TIE_TOLERANCE, Hits, made_up, search_numbers
from tsds_qdrant.collections.ids import sorted_by_distance
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.rounding import smallest_distance
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.solver.sweep import Sweep
from tsds_qdrant.solver.transport import TransportSolution


@dataclass(frozen=True)
class ListErrors:
    """What r lists that were repeated lacked.

    Attributes:
        recall: share of their neighbours in use that were found.
        missed: (r,) share of each that was not.
        rows: (r,) total variation of each row, times its weight over the mean weight.
        heaviest: the largest such factor of all rows.
        slope: error of the mean slope T.
    """

    recall: float
    missed: FloatArray
    rows: FloatArray
    heaviest: float
    slope: float


def list_errors(
    neighborhoods: Neighborhoods, solution: TransportSolution, rows: IntArray
) -> ListErrors:
    """Repeat the lists of ``rows`` (r,) as deep as they are used."""
    lists = solution.problem.lists
    weight = solution.problem.query_weights * lists.queries
    if not len(rows):
        return ListErrors(1.0, np.empty(0), np.empty(0), float(weight.max()), 0.0)
    # Ties of the last candidate in use belong to it: any of them might have been in its place.
    in_use = np.where(solution.plan > 0, lists.distances, -1.0)
    last = np.repeat(np.maximum.reduceat(in_use, lists.offsets[:-1]), lists.depths)
    used = np.add.reduceat((lists.distances <= last).astype(np.int64), lists.offsets[:-1])
    reach = int((used + neighborhoods.hidden)[rows].max()) + 1
    depth = neighborhoods.searcher.checked_limit(reach)
    truth = neighborhoods.searcher.repeat_exactly(neighborhoods.queries[rows], depth)
    numbers = neighborhoods.index.numbers(truth.ids)
    counted = ~neighborhoods.excluded[numbers]
    numbers, distances = numbers[counted], truth.distances[counted]
    search = search_numbers(truth)[counted]
    ends = np.cumsum(np.bincount(search, minlength=len(rows)))
    order = sorted_by_distance(search, distances, neighborhoods.index.keys[numbers])
    densities = np.ones(len(neighborhoods.index))
    densities[: len(solution.problem.densities)] = solution.problem.densities
    exact = NeighborLists.from_rows(
        np.split(numbers[order], ends[:-1]), np.split(distances[order], ends[:-1])
    )
    stored = NeighborLists.from_rows(
        [lists.candidates[lists.offsets[r] : lists.offsets[r + 1]] for r in rows],
        [lists.distances[lists.offsets[r] : lists.offsets[r + 1]] for r in rows],
    )
    weights = np.full(len(rows), 1.0 / len(rows))
    errors, slopes = [], []
    for one in (stored, exact):
        sweep = Sweep.over(one, densities, weights)
        threshold = min(solution.threshold, float(sweep.totals.min()))
        table = np.zeros((len(rows), len(densities)))
        table[one.query_of_entry, one.candidates] = sweep.plan(threshold)
        errors.append(table)
        slopes.append(sweep.slope_below(threshold))
    variation = np.abs(errors[0] - errors[1]).sum(axis=1) / 2 * len(rows)
    true = _first(exact, used[rows])
    found = made_up(_first(stored, used[rows]), true)
    return ListErrors(
        recall=float(found.sum()) / len(true.ids) if true.ids else 1.0,
        missed=1.0 - found / np.maximum(true.counts, 1),
        rows=np.where(variation > TIE_TOLERANCE, variation, 0.0) * weight[rows],
        heaviest=float(weight.max()),
        slope=abs(slopes[0] - slopes[1]),
    )


@dataclass(frozen=True)
class DensityErrors:
    """What n densities, drawn by p, lacked.

    Attributes:
        relative: (n,) relative errors.
        lost: (n,) share of the weight 1 / density that is too much.
        slopes: (n,) their mean is about the error of the slope T.
        searches: how many different ones there are.
    """

    relative: FloatArray
    lost: FloatArray
    slopes: FloatArray
    searches: int


def density_errors(
    neighborhoods: Neighborhoods, solution: TransportSolution, rng: np.random.Generator, count: int
) -> DensityErrors:
    """Repeat ``count`` densities drawn by p."""
    width, searcher = neighborhoods.bandwidth, neighborhoods.searcher
    if width == 0 or searcher.density_scans:
        return DensityErrors(np.empty(0), np.empty(0), np.empty(0), 0)
    p = solution.probabilities
    support = np.flatnonzero(p)
    drawn = rng.choice(support, size=count, p=p[support] / p.sum())
    chosen, times = np.unique(drawn, return_counts=True)
    exact = neighborhoods.vicinities.exact(chosen)
    mine = solution.problem.densities[chosen]
    errors = np.abs(exact / mine - 1.0)
    rounding = 2 * (smallest_distance(searcher.info) / width) ** 2
    errors[errors < max(TIE_TOLERANCE, rounding)] = 0.0
    lost = errors / (1.0 + errors)
    slopes = _slope_errors(solution, chosen, lost)
    errors, lost, slopes = (np.repeat(one, times) for one in (errors, lost, slopes))
    return DensityErrors(errors, lost, slopes, len(chosen))


def _slope_errors(
    solution: TransportSolution, candidates: IntArray, lost: FloatArray
) -> FloatArray:
    """(c,) by how much T would be wrong if all of a row were as wrong as each of ``candidates``.

    Copies lie in the same rows, and a search that misses some of them misses them for all. A row
    whose weights are all smaller by ``lost`` has the slope (1 - lost) T_i(s / (1 - lost)). Of the
    rows that use a candidate, that is their mean by mass.
    """
    lists, plan, s = solution.problem.lists, solution.plan, solution.threshold
    weights = (1.0 / solution.problem.densities)[lists.candidates]
    found = np.zeros(len(candidates))
    for k in np.flatnonzero(lost):
        entries = np.flatnonzero((lists.candidates == candidates[k]) & (plan > 0))
        for entry in entries.tolist():
            row = int(lists.query_of_entry[entry])
            part = slice(lists.offsets[row], lists.offsets[row + 1])
            listed = lists.distances[part], weights[part]
            left = 1.0 - lost[k]
            moved = abs(left * _row_slope(*listed, s / left) - _row_slope(*listed, s))
            found[k] += plan[entry] * moved
        found[k] /= plan[entries].sum()
    return found


def _row_slope(distances: FloatArray, weights: FloatArray, threshold: float) -> float:
    """T just below ``threshold`` of a row (n,) alone: sum_k w_k (d(last) - d(k))."""
    inside = int(np.searchsorted(np.cumsum(weights), threshold, side="left"))
    last = distances[min(inside, len(distances) - 1)]
    return float(weights[:inside] @ (last - distances[:inside]))


def _first(lists: NeighborLists, depths: IntArray) -> Hits:
    """The ``depths`` (M,) nearest of each list (all of it if it is shorter)."""
    places = np.arange(len(lists.candidates)) - np.repeat(lists.offsets[:-1], lists.depths)
    kept = places < np.repeat(depths, lists.depths)
    counts = np.bincount(lists.query_of_entry[kept], minlength=lists.queries)
    return Hits(lists.candidates[kept].tolist(), lists.distances[kept], counts)
