"""What a report shows of a selection without a transport problem: distances, and the order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.values import Geometry
from tsds_qdrant.neighbors.geometry import distance_blocks, nearest
from tsds_qdrant.report.chosen import Chosen
from tsds_qdrant.report.coverage import EXAMPLES, NEAREST, SERVED, Near, spread_examples
from tsds_qdrant.report.pool_sample import PoolSample
from tsds_qdrant.report.reader import PointReader
from tsds_qdrant.runs.run import Run
from tsds_qdrant.selection.selection import Selection

LISTED = 10
"""Maximum number of candidates listed that were kept out, and of those that come next."""
ROUNDING = 1e-6
"""Distances that differ by less than this share of the largest one are equal."""


@dataclass(frozen=True)
class Passed:
    """A candidate of the strategy's order that was not selected.

    Attributes:
        candidate: its number.
        place: in the order, counted from 0.
        example: the nearest task example; -1 where the candidate is no longer stored.
        distance: from that example; NaN where the candidate is no longer stored.
    """

    candidate: int
    place: int
    example: int
    distance: float


@dataclass(frozen=True)
class PassedOver:
    """What of the strategy's order was not selected.

    Attributes:
        kept_out: the first that stand before the last selected candidate.
        following: the first that stand behind it.
        before: how many stand before it.
        behind: how many stand behind it.
    """

    kept_out: tuple[Passed, ...]
    following: tuple[Passed, ...]
    before: int
    behind: int


@dataclass(frozen=True)
class NearestFigures:
    """How near the selection comes to each of M task examples.

    Attributes:
        stored: how many of the selected candidates are still stored.
        distance: (M,) to the nearest of them; NaN where none is.
        in_pool: (M,) to the nearest point of the pool's sample.
        counts: (M,) selected candidates that are nearer to it than to any other task example.
        worst_first: (M,) the examples by falling ``distance``.
        worst: those with the largest ``distance``, each with the nearest selected candidates.
        served: examples from worst to best, each with the nearest of the selected candidates that
            are nearer to it than to any other.
        passed: what else the order of the strategy holds; None where it holds nothing else.
    """

    stored: int
    distance: FloatArray
    in_pool: FloatArray
    counts: IntArray
    worst_first: IntArray
    worst: dict[int, list[Near]]
    served: dict[int, list[Near]]
    passed: PassedOver | None

    @property
    def outdone(self) -> int:
        """To how many task examples a point of the pool's sample is nearer, beyond rounding."""
        slack = ROUNDING * max(self.distance.max(), self.in_pool.max())
        return int(np.count_nonzero(self.distance > self.in_pool + slack))

    @property
    def named(self) -> set[int]:
        """Candidates whose texts are listed."""
        parts = (self.worst, self.served)
        found = {one.candidate for part in parts for near in part.values() for one in near}
        passed = (*self.passed.kept_out, *self.passed.following) if self.passed else ()
        return found | {one.candidate for one in passed}


def nearest_figures(
    run: Run, chosen: Chosen, pool: PoolSample, reader: PointReader
) -> NearestFigures:
    """The figures of ``run``; the vectors of all that it selected are read."""
    selection, queries = run.selection, run.known.queries
    metric = selection.collection.geometry
    rows, vectors = reader.vectors(chosen.rows)
    distance = np.full(len(queries), np.nan)
    if len(rows):
        distance = nearest(queries, vectors, metric)[1]
    worst_first = np.argsort(-distance, kind="stable")
    served = {
        example: _selected_for(selection, chosen, example)
        for example in spread_examples(worst_first)
    }
    example_of = selection.nearest_query[chosen.rows]
    return NearestFigures(
        stored=len(rows),
        distance=distance,
        in_pool=nearest(queries, pool.vectors, metric)[1],
        counts=np.bincount(example_of[example_of >= 0], minlength=len(queries)),
        worst_first=worst_first,
        worst=_nearest_selected(queries, rows, vectors, worst_first[:EXAMPLES], metric),
        served=served,
        passed=passed_over(run, chosen, reader),
    )


def passed_over(run: Run, chosen: Chosen, reader: PointReader) -> PassedOver | None:
    """What the order of the strategy holds beside the sample; None where there is no such thing."""
    selection = run.selection
    order = selection.support
    places = np.flatnonzero(~chosen.among[order])
    if not (selection.preference.ordered and chosen.drawn and len(places)):
        return None
    last = int(np.flatnonzero(chosen.among[order])[-1])
    before, behind = places[places < last], places[places > last]
    listed = np.concatenate([before[:LISTED], behind[:LISTED]])
    rows, vectors = reader.vectors(order[listed])
    found: dict[int, tuple[int, float]] = {}
    if len(rows):
        example, distance = nearest(vectors, run.known.queries, selection.collection.geometry)
        pairs = zip(example.tolist(), distance.tolist(), strict=True)
        found = dict(zip(rows.tolist(), pairs, strict=True))
    passed = [
        Passed(row, place, *found.get(row, (-1, float("nan"))))
        for row, place in zip(order[listed].tolist(), listed.tolist(), strict=True)
    ]
    cut = len(before[:LISTED])
    return PassedOver(tuple(passed[:cut]), tuple(passed[cut:]), len(before), len(behind))


def _nearest_selected(
    queries: Float32Array,
    rows: IntArray,
    vectors: Float32Array,
    examples: IntArray,
    metric: Geometry,
) -> dict[int, list[Near]]:
    """The selected candidates nearest to each of ``examples``; ``rows`` have ``vectors``."""
    if not len(rows):
        return {}
    found: dict[int, list[Near]] = {}
    for part, block in distance_blocks(queries[examples], vectors, metric):
        order = np.argsort(block, axis=1, kind="stable")[:, :NEAREST]
        for example, nearest_places, distances in zip(
            examples[part].tolist(), order, block, strict=True
        ):
            found[example] = [
                Near(int(rows[place]), float(distances[place]), selected=True)
                for place in nearest_places.tolist()
            ]
    return found


def _selected_for(selection: Selection, chosen: Chosen, example: int) -> list[Near]:
    """The nearest of the selected candidates that have ``example`` as their nearest."""
    rows = chosen.rows[selection.nearest_query[chosen.rows] == example]
    distances = selection.nearest_distance[rows]
    order = np.argsort(distances, kind="stable")[:SERVED]
    return [
        Near(row, distance, selected=True)
        for row, distance in zip(rows[order].tolist(), distances[order].tolist(), strict=True)
    ]
