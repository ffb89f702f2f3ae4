"""How far approximate search may have moved the probabilities: measured, not assumed.

A seeded sample of the searches that were no scans is repeated by scans. Three errors are
distinguished, and by the triangle inequality their sum bounds the total variation of p: neighbours
that a list missed (total variation of the row, averaged over rows), densities that came out too low
(relative error, averaged over p), both with two standard errors added, and the threshold that the
first has moved.
That is an estimate: it knows the errors that the sample has met. Where it has met none it says
nothing, and what is stated is a limit at 95 % on the share of searches that err.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.hits import TIE_TOLERANCE, Hits, made_up, search_numbers
from tsds_qdrant.collections.ids import sorted_by_distance
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.rounding import smallest_distance
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.solver.sweep import Sweep
from tsds_qdrant.solver.transport import TransportSolution
from tsds_qdrant.strategies.evidence import Accuracy
from tsds_qdrant.strategies.tsds.limits import CHANCE, mean_limit

SAMPLED_LISTS = 16
SAMPLED_DENSITIES = 32
LARGER = 4
"""The sample is that many times as large where that is cheap, and where what it met is within what
was asked for and its doubt alone is not."""
NEW_SHARE = 0.1
"""Accuracy is measured again once this share of the searches is new."""


EXACT = Accuracy(
    recall=1.0, density_error=0.0, variation_bound=0.0, recall_limit=1.0, variation_limit=0.0
)
UNKNOWN = Accuracy(recall=None, density_error=None, variation_bound=None)


def measured_again(
    neighborhoods: Neighborhoods,
    solution: TransportSolution,
    seed: int,
    known: Accuracy | None,
    wanted: float,
) -> Accuracy:
    """What is ``known``, if nearly all that the solution rests on was there when it was measured.

    A repair leaves most lists and densities as they were, and its own questions are exact.
    """
    searcher = neighborhoods.searcher
    if known is not None and not searcher.scan_reason:
        counts = searcher.counts
        added = counts.neighbor_searches + counts.density_searches
        known = replace(known, searches_since=known.searches_since + added)
        rests_on = len(neighborhoods.queries) + len(neighborhoods.vicinities.places)
        if known.searches_since <= NEW_SHARE * rests_on:
            return known
    return measure(neighborhoods, solution, seed, wanted)


def measure(
    neighborhoods: Neighborhoods, solution: TransportSolution, seed: int, wanted: float
) -> Accuracy:
    """Repeat a seeded sample of the searches behind ``solution`` by scans.

    Args:
        neighborhoods: what the solution rests on.
        solution: whose p is looked at.
        seed: of the sample.
        wanted: total variation of p that is allowed.
    """
    searcher = neighborhoods.searcher
    if searcher.scan_reason:
        return EXACT
    if not searcher.info.limits.exact:
        return UNKNOWN
    times = LARGER if searcher.scans_are_cheap(LARGER * SAMPLED_DENSITIES) else 1
    found, met = _measured(neighborhoods, solution, seed, times)
    if times < LARGER and met <= wanted < found.estimate:
        found, _ = _measured(neighborhoods, solution, seed, LARGER)
    return found


def _measured(
    neighborhoods: Neighborhoods, solution: TransportSolution, seed: int, times: int
) -> tuple[Accuracy, float]:
    """What a sample ``times`` as large as usual says, and its estimate without the doubt."""
    rng = np.random.default_rng(seed)
    count = solution.problem.lists.queries
    rows = np.sort(rng.permutation(count)[: times * SAMPLED_LISTS])
    if neighborhoods.exact.all():
        rows = rows[:0]
    lists = _list_errors(neighborhoods, solution, rows)
    wrong = (lists.missed > 0) | (lists.rows > 0)
    shift = _threshold_shift(solution, lists.slope)
    measured = Accuracy(
        lists.recall,
        None,
        None,
        len(rows),
        lists_missed=int(wrong.sum()),
        lists_limit=mean_limit(wrong.astype(np.float64), count),
        recall_limit=min(lists.recall, 1.0 - mean_limit(lists.missed, count)),
        lists_variation=_upper(lists.rows) + shift,
    )
    if not np.isfinite(solution.threshold):
        return measured, _mean(lists.rows)
    errors, densities = _density_errors(neighborhoods, solution, rng, times * SAMPLED_DENSITIES)
    estimate = _upper(lists.rows) + _upper(errors) + shift
    found = replace(
        measured,
        density_error=_mean(errors),
        variation_bound=min(1.0, estimate) if wrong.any() or errors.any() else None,
        densities=densities,
        densities_limit=mean_limit(np.sign(errors)),
        variation_limit=_variation_limit(solution, lists, errors),
        densities_variation=_upper(errors),
    )
    return found, _mean(lists.rows) + _mean(errors) + shift


@dataclass(frozen=True)
class _ListErrors:
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


def _list_errors(
    neighborhoods: Neighborhoods, solution: TransportSolution, rows: IntArray
) -> _ListErrors:
    """Repeat the lists of ``rows`` (r,) as deep as they are used."""
    lists = solution.problem.lists
    weight = solution.problem.query_weights * lists.queries
    if not len(rows):
        return _ListErrors(1.0, np.empty(0), np.empty(0), float(weight.max()), 0.0)
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
    return _ListErrors(
        recall=float(found.sum()) / len(true.ids) if true.ids else 1.0,
        missed=1.0 - found / np.maximum(true.counts, 1),
        rows=np.where(variation > TIE_TOLERANCE, variation, 0.0) * weight[rows],
        heaviest=float(weight.max()),
        slope=abs(slopes[0] - slopes[1]),
    )


def _variation_limit(solution: TransportSolution, lists: _ListErrors, errors: FloatArray) -> float:
    """A limit at 95 % on the total variation, whatever the errors that the sample has not met.

    Half of the chance to be too low is given to lists, half to densities. What is unknown of the
    slope T is taken to be as much of it as of the rows.
    """
    count, chance = solution.problem.lists.queries, CHANCE / 2
    rows = lists.heaviest * mean_limit(lists.rows / lists.heaviest, count, chance)
    mean = _mean(lists.rows)
    slope = max(lists.slope, lists.slope * rows / mean if mean else rows * solution.problem.budget)
    limit = rows + mean_limit(errors.clip(0.0, 1.0), chance=chance)
    return min(1.0, limit + _threshold_shift(solution, slope))


def _first(lists: NeighborLists, depths: IntArray) -> Hits:
    """The ``depths`` (M,) nearest of each list (all of it if it is shorter)."""
    places = np.arange(len(lists.candidates)) - np.repeat(lists.offsets[:-1], lists.depths)
    kept = places < np.repeat(depths, lists.depths)
    counts = np.bincount(lists.query_of_entry[kept], minlength=lists.queries)
    return Hits(lists.candidates[kept].tolist(), lists.distances[kept], counts)


def _density_errors(
    neighborhoods: Neighborhoods, solution: TransportSolution, rng: np.random.Generator, count: int
) -> tuple[FloatArray, int]:
    """Relative errors of ``count`` densities drawn by p, and how many different ones there are."""
    width, searcher = neighborhoods.bandwidth, neighborhoods.searcher
    if width == 0 or searcher.density_scans:
        return np.empty(0), 0
    p = solution.probabilities
    support = np.flatnonzero(p)
    drawn = rng.choice(support, size=count, p=p[support] / p.sum())
    chosen, times = np.unique(drawn, return_counts=True)
    exact = neighborhoods.vicinities.exact(chosen)
    mine = solution.problem.densities[chosen]
    errors = np.abs(exact / mine - 1.0)
    rounding = 2 * (smallest_distance(searcher.info) / width) ** 2
    errors[errors < max(TIE_TOLERANCE, rounding)] = 0.0
    return np.repeat(errors, times), len(chosen)


def _mean(sampled: FloatArray) -> float:
    return float(sampled.mean()) if len(sampled) else 0.0


def _upper(sampled: FloatArray) -> float:
    """The mean of what is sampled, plus two standard errors; 0 if nothing is."""
    if not len(sampled):
        return 0.0
    return float(sampled.mean() + 2.0 * sampled.std() / np.sqrt(len(sampled)))


def _threshold_shift(solution: TransportSolution, slope_error: float) -> float:
    """Mass that moves when T is wrong by ``slope_error``: 1 - s / s'."""
    if slope_error == 0 or not np.isfinite(solution.threshold):
        return 0.0
    problem = solution.problem
    sweep = Sweep.over(problem.lists, problem.densities, problem.query_weights)
    low = sweep.threshold(max(problem.budget - slope_error, 0.0))
    high = sweep.threshold(problem.budget + slope_error)
    if not np.isfinite(high):
        high = sweep.horizon
    shift: FloatArray = np.array([1 - low / solution.threshold, 1 - solution.threshold / high])
    return float(np.clip(shift, 0.0, 1.0).max())
