"""How far approximate search may have moved the probabilities: measured, not assumed.

A seeded sample of the searches that were no scans is repeated by scans. Three errors are
distinguished, and by the triangle inequality their sum bounds the total variation of p: neighbours
that a list missed (total variation of the row, averaged over rows), densities that came out too low
(the share of their weights that is too much, averaged over p, which the threshold follows by as
much), both with two standard errors added, and the threshold that moves as both make the slope T
wrong: where T is flat, by far more than they are off themselves.
That is an estimate: it knows the errors that the sample has met. Where it has met none it says
nothing, and what is stated is a limit at 95 % on the share of searches that err. Where searches are
known to err, as an earlier sample has met too much, a sample that meets none has to be large enough
to say that they no longer do.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.solver.sweep import Sweep
from tsds_qdrant.solver.transport import TransportSolution
from tsds_qdrant.strategies.evidence import Accuracy
from tsds_qdrant.strategies.tsds.limits import CHANCE, mean_limit
from tsds_qdrant.strategies.tsds.repeated import (
    DensityErrors,
    ListErrors,
    density_errors,
    list_errors,
)

SAMPLED_LISTS = 16
SAMPLED_DENSITIES = 32
LARGER = 4
"""The sample is that many times as large where that is cheap, and where what it met is within what
was asked for and its doubt alone is not; at most that many times larger still where searches are
known to err."""
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
    usual, large = SAMPLED_DENSITIES, LARGER * SAMPLED_DENSITIES
    size = large if searcher.scans_are_cheap(large) else usual
    found, met = _measured(neighborhoods, solution, seed, size)
    if met > wanted:
        return found
    doubted = size if found.estimate <= wanted else large
    if searcher.erred:
        doubted = max(large, min(_telling(solution, wanted), LARGER * large))
    if doubted > size:
        found, _ = _measured(neighborhoods, solution, seed, doubted)
    return found


def _telling(solution: TransportSolution, wanted: float) -> int:
    """How many densities meet, with 95 %, errors that are enough to move p by ``wanted``."""
    moved = 2 * wanted + _threshold_shift(solution, wanted * solution.problem.budget)
    share = wanted**2 / moved
    return 1 if share >= 1 else math.ceil(math.log(CHANCE) / math.log1p(-share))


def _measured(
    neighborhoods: Neighborhoods, solution: TransportSolution, seed: int, size: int
) -> tuple[Accuracy, float]:
    """What ``size`` densities, and lists to match, say; and that without the doubt."""
    rng = np.random.default_rng(seed)
    count = solution.problem.lists.queries
    rows = np.sort(rng.permutation(count)[: size * SAMPLED_LISTS // SAMPLED_DENSITIES])
    if neighborhoods.exact.all():
        rows = rows[:0]
    lists = list_errors(neighborhoods, solution, rows)
    wrong = (lists.missed > 0) | (lists.rows > 0)
    shift = _threshold_shift(solution, lists.slope)
    of_lists = _upper(lists.rows) + shift
    measured = Accuracy(
        lists.recall,
        None,
        None,
        len(rows),
        lists_missed=int(wrong.sum()),
        lists_limit=mean_limit(wrong.astype(np.float64), count),
        recall_limit=min(lists.recall, 1.0 - mean_limit(lists.missed, count)),
        lists_variation=of_lists,
    )
    if not np.isfinite(solution.threshold):
        return measured, _mean(lists.rows)
    some = density_errors(neighborhoods, solution, rng, size)
    errors = some.relative
    moved = _threshold_shift(solution, lists.slope + _mean(some.slopes))
    doubted = _threshold_shift(solution, lists.slope + _upper(some.slopes))
    of_densities = 2 * _upper(some.lost) + doubted - shift
    found = replace(
        measured,
        density_error=_mean(errors),
        variation_bound=min(1.0, of_lists + of_densities) if wrong.any() or errors.any() else None,
        densities=some.searches,
        densities_limit=mean_limit(np.sign(errors)),
        variation_limit=_variation_limit(solution, lists, some),
        densities_variation=of_densities,
    )
    return found, _mean(lists.rows) + 2 * _mean(some.lost) + moved


def _variation_limit(
    solution: TransportSolution, lists: ListErrors, densities: DensityErrors
) -> float:
    """A limit at 95 % on the total variation, whatever the errors that the sample has not met.

    Half of the chance to be too low is given to lists, half to densities. What is unknown of the
    slope T is taken to be as much of it as of the rows, and of p.
    """
    count, chance, budget = solution.problem.lists.queries, CHANCE / 2, solution.problem.budget
    rows = lists.heaviest * mean_limit(lists.rows / lists.heaviest, count, chance)
    limit = mean_limit(densities.lost, chance=chance)
    slope = _limit_of(lists.slope, _mean(lists.rows), rows, budget)
    slope += _limit_of(_mean(densities.slopes), _mean(densities.lost), limit, budget)
    return min(1.0, rows + 2 * limit + _threshold_shift(solution, slope))


def _limit_of(slope: float, mean: float, limit: float, budget: float) -> float:
    """What an error of T may be where those that belong to it are ``mean``, at most ``limit``."""
    return max(slope, slope * limit / mean if mean else limit * budget)


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
