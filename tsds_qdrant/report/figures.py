"""All figures of a report, from a selection and what its task knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Payload, Record
from tsds_qdrant.errors import InputError
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.pool.texts import text_of
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.report.chosen import Chosen
from tsds_qdrant.report.coverage import (
    EXAMPLES,
    Coverage,
    Served,
    coverage_of,
    nearest_candidates,
    selected_candidates,
    spread_examples,
)
from tsds_qdrant.report.curve import PathCurve, path_curve
from tsds_qdrant.report.distances import DistanceHistogram, histogram, nearest_distances
from tsds_qdrant.report.groups import SHOWN, Groups, groups_of
from tsds_qdrant.report.misses import Misses, misses_of
from tsds_qdrant.report.point_map import (
    EXAMPLE_POINTS,
    SELECTED_POINTS,
    PointMap,
    Points,
    point_map,
)
from tsds_qdrant.report.pool_sample import PoolSample, draw_pool
from tsds_qdrant.report.shares import Shares, Weighed, shares_of
from tsds_qdrant.report.texts import label
from tsds_qdrant.selection.selection import Selection

WEIGHED_POINTS = 10_000
"""Payloads of at most this many candidates are read for the shares; of more, a seeded sample."""


@dataclass(frozen=True)
class ReportFigures:
    """What the report shows.

    Attributes:
        selection: what is reported.
        manifest: its settings and figures, as written beside a selection.
        history: what its run has done, oldest first; empty where no run is kept.
        chosen: the reported sample.
        pool: the pool's sample.
        curve: the regularisation path; None for ``tv``.
        distances: selection against pool.
        map: both, and the task, in two dimensions.
        coverage: what each task example got.
        worst: the worst served examples, each with its nearest candidates.
        served: examples from worst to best, each with its selected candidates.
        groups: near-duplicates; None where densities are not in use.
        misses: what was nearly selected.
        shares: of the values of a payload field, if asked for.
        example_texts: M texts; "" where there is none.
        texts: candidate number -> text, of those shown and still stored.
    """

    selection: Selection
    manifest: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    chosen: Chosen
    pool: PoolSample
    curve: PathCurve | None
    distances: DistanceHistogram
    map: PointMap
    coverage: Coverage
    worst: dict[int, list[Served]]
    served: dict[int, list[Served]]
    groups: Groups | None
    misses: Misses
    shares: Shares | None
    example_texts: list[str]
    texts: dict[int, str]


def figures_of(
    collection: Collection,
    neighborhoods: Neighborhoods,
    selection: Selection,
    *,
    manifest: Mapping[str, Any],
    example_texts: Sequence[str] = (),
    template: TextTemplate | None = None,
    by: str | None = None,
    history: Sequence[Mapping[str, Any]] = (),
) -> ReportFigures:
    """Compute the figures of ``selection``, whose lists and places ``neighborhoods`` holds.

    Raises:
        InputError: ``by`` is a payload field that no candidate has, or there are more or fewer
            texts than task examples.
    """
    solution, info = selection.solution, selection.collection
    queries = solution.problem.lists.queries
    texts = list(example_texts) or [""] * queries
    if len(texts) != queries:
        raise InputError(f"{len(texts)} texts for {queries} task examples; give one each, or none")
    template = template or TextTemplate()
    if not template.to_dict():
        template = TextTemplate.from_dict(info.metadata.get("text") or {})
    chosen = Chosen.of(selection)
    pool = draw_pool(
        collection, selection.settings.where, selection.candidates, selection.settings.seed
    )
    coverage = coverage_of(solution, chosen)
    worst = {
        example: nearest_candidates(solution, chosen, example)
        for example in coverage.worst_first[:EXAMPLES].tolist()
    }
    served = {
        example: selected_candidates(solution, chosen, example)
        for example in spread_examples(coverage)
    }
    groups = groups_of(selection, neighborhoods, chosen)
    misses = misses_of(selection, chosen, coverage)
    named = {one.candidate for found in (*worst.values(), *served.values()) for one in found}
    named |= {miss.candidate for miss in misses.rows}
    for group in groups.rows if groups else ():
        named |= {*group.members[:SHOWN].tolist()}
    reader = _Reader(collection, selection, template)
    return ReportFigures(
        selection=selection,
        manifest=manifest,
        history=history,
        chosen=chosen,
        pool=pool,
        curve=path_curve(selection),
        distances=histogram(
            nearest_distances(pool.vectors, neighborhoods.queries, info.metric),
            selection.nearest_distance[chosen.rows],
            chosen.weights,
        ),
        map=_map(reader, neighborhoods, chosen, pool, texts),
        coverage=coverage,
        worst=worst,
        served=served,
        groups=groups,
        misses=misses,
        shares=_shares(by, reader, chosen, pool) if by is not None else None,
        example_texts=texts,
        texts=reader.texts(sorted(named)),
    )


@dataclass(frozen=True)
class _Reader:
    """Reads points of a selection by their candidate numbers."""

    collection: Collection
    selection: Selection
    template: TextTemplate

    def records(self, rows: Sequence[int], *, vectors: bool = False) -> dict[int, Record]:
        """The points of ``rows`` that are still stored."""
        rows_of = {self.selection.ids[row]: row for row in rows}
        stored = self.collection.retrieve(list(rows_of), vectors=vectors)
        return {rows_of[record.id]: record for record in stored}

    def texts(self, rows: Sequence[int]) -> dict[int, str]:
        """Their texts."""
        return {row: self.text(record) for row, record in self.records(rows).items()}

    def text(self, record: Record) -> str:
        """The text of a point."""
        return text_of(record.content, self.template)

    def weighed(self, rows: IntArray, shares: FloatArray) -> Weighed:
        """Payloads of ``rows`` with their ``shares``, or of a seeded sample of many rows."""
        if len(rows) > WEIGHED_POINTS:
            rng = np.random.default_rng(self.selection.settings.seed)
            drawn = rng.choice(len(rows), size=WEIGHED_POINTS, p=shares)
            places, times = np.unique(drawn, return_counts=True)
            rows, shares = rows[places], times / WEIGHED_POINTS
        records = self.records(rows.tolist())
        return [
            (records[row].content, share)
            for row, share in zip(rows.tolist(), shares.tolist(), strict=True)
            if row in records
        ]


def _shares(by: str, reader: _Reader, chosen: Chosen, pool: PoolSample) -> Shares:
    selection = reader.selection
    support = np.flatnonzero(selection.probabilities)
    p = selection.probabilities[support]
    payloads: list[tuple[Payload, float]] = [
        (record.content, 1.0 / len(pool.records)) for record in pool.records
    ]
    return shares_of(
        by,
        reader.collection,
        selection.settings.where,
        selection.candidates,
        pool=payloads,
        support=reader.weighed(support, p / p.sum()),
        selected=reader.weighed(chosen.rows, chosen.shares),
    )


def _map(
    reader: _Reader,
    neighborhoods: Neighborhoods,
    chosen: Chosen,
    pool: PoolSample,
    example_texts: Sequence[str],
) -> PointMap:
    selection = reader.selection
    queries = neighborhoods.queries
    rows = np.arange(0, len(queries), max(1, -(-len(queries) // EXAMPLE_POINTS)))
    found = reader.records(chosen.rows[:SELECTED_POINTS].tolist(), vectors=True)
    front = {row: record for row, record in found.items() if record.vector is not None}
    p = selection.probabilities
    return point_map(
        Points(
            pool.vectors,
            [label(reader.text(record), f"candidate {record.id}") for record in pool.records],
            selection.candidates,
        ),
        Points(
            queries[rows],
            [label(example_texts[row], f"task example {row}") for row in rows.tolist()],
            len(queries),
        ),
        Points(
            np.array([r.vector for r in front.values()], dtype=np.float32).reshape(
                -1, queries.shape[1]
            ),
            [
                label(
                    reader.text(record),
                    f"candidate {record.id}, p {p[row]:.3g}, "
                    f"{selection.nearest_distance[row]:.3f} from example "
                    f"{selection.nearest_query[row]}",
                )
                for row, record in front.items()
            ],
            len(chosen.rows),
        ),
        selection.collection.metric,
        selection.settings.seed,
    )
