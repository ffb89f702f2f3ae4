"""All figures of a report, from a run: a selection and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Payload, Record
from tsds_qdrant.errors import InputError
from tsds_qdrant.neighbors.geometry import nearest
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.report.chosen import Chosen
from tsds_qdrant.report.distances import DistanceHistogram, histogram
from tsds_qdrant.report.nearest import NearestFigures, nearest_figures
from tsds_qdrant.report.point_map import (
    EXAMPLE_POINTS,
    SELECTED_POINTS,
    PointMap,
    Points,
    point_map,
)
from tsds_qdrant.report.pool_sample import PoolSample, draw_pool
from tsds_qdrant.report.reader import PointReader
from tsds_qdrant.report.rows import Rows, rows_of
from tsds_qdrant.report.shares import Shares, shares_of
from tsds_qdrant.report.texts import label
from tsds_qdrant.report.transport import TransportFigures, transport_figures
from tsds_qdrant.runs.run import Run
from tsds_qdrant.runs.texts import texts_of_run
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.verdict import Verdict, verdict_of


@dataclass(frozen=True)
class ReportFigures:
    """What the report shows.

    Attributes:
        selection: what is reported.
        manifest: its settings and figures, as written beside a selection.
        history: what its run has done, oldest first; empty where no run is kept.
        chosen: the reported sample.
        verdict: how near it is to the task; None where no yardstick was looked for.
        rows: it again, with texts.
        pool: the pool's sample.
        distances: selection against pool.
        map: both, and the task, in two dimensions.
        transport: what follows from a transport problem; None where the strategy solves none.
        nearest: how near the selection comes to each task example; None where ``transport`` says
            how they are served.
        shares: of the values of a payload field, if asked for.
        example_texts: M texts; "" where there is none.
        texts: candidate number -> text, of those shown and still stored.
    """

    selection: Selection
    manifest: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    chosen: Chosen
    verdict: Verdict | None
    rows: Rows
    pool: PoolSample
    distances: DistanceHistogram
    map: PointMap
    transport: TransportFigures | None
    nearest: NearestFigures | None
    shares: Shares | None
    example_texts: list[str]
    texts: dict[int, str]

    @property
    def yardstick(self) -> float | None:
        """How near the task examples lie to each other; None where that is not known."""
        scale = self.selection.yardstick
        return None if scale is None else scale.distance


def figures_of(
    collection: Collection,
    run: Run,
    *,
    manifest: Mapping[str, Any],
    template: TextTemplate | None = None,
    by: str | None = None,
) -> ReportFigures:
    """Compute the figures of the selection of ``run``, which was made from ``collection``.

    Raises:
        InputError: ``by`` is a payload field that no candidate has, or there are more or fewer
            texts than task examples.
    """
    selection = run.selection
    settings, info = selection.settings, selection.collection
    texts = run.texts or [""] * selection.queries
    if len(texts) != selection.queries:
        raise InputError(
            f"{len(texts)} texts for {selection.queries} task examples; give one each, or none"
        )
    template = texts_of_run(run, template)
    chosen = Chosen.of(selection)
    reader = PointReader(collection, selection, template)
    pool = draw_pool(run.known.searcher.members, settings.wanted.seed)
    queries: Float32Array = run.known.queries
    transport, near = transport_figures(run, chosen), None
    if transport is None:
        near = nearest_figures(run, chosen, pool, reader)
    named = {*(transport.named if transport else ()), *(near.named if near else ())}
    return ReportFigures(
        selection=selection,
        manifest=manifest,
        history=run.history,
        chosen=chosen,
        verdict=verdict_of(selection, chosen.rows),
        rows=rows_of(reader, chosen, by),
        pool=pool,
        distances=histogram(
            nearest(pool.vectors, queries, info.geometry)[1],
            selection.nearest_distance[chosen.rows],
            chosen.weights,
        ),
        map=_map(reader, queries, chosen, pool, texts),
        transport=transport,
        nearest=near,
        shares=_shares(by, run, reader, chosen, pool) if by is not None else None,
        example_texts=texts,
        texts=reader.texts(named),
    )


def _shares(by: str, run: Run, reader: PointReader, chosen: Chosen, pool: PoolSample) -> Shares:
    selection = reader.selection
    support, p = None, selection.preference.probabilities
    if p is not None:
        having = np.flatnonzero(p)
        support = reader.weighed(having, p[having] / p[having].sum())
    payloads: list[tuple[Payload, float]] = [
        (record.content, 1.0 / len(pool.records)) for record in pool.records
    ]
    return shares_of(
        by,
        run.known.searcher.members,
        pool=payloads,
        support=support,
        selected=reader.weighed(chosen.rows, chosen.shares),
    )


def _map(
    reader: PointReader,
    queries: Float32Array,
    chosen: Chosen,
    pool: PoolSample,
    example_texts: Sequence[str],
) -> PointMap:
    selection = reader.selection
    rows = np.arange(0, len(queries), max(1, -(-len(queries) // EXAMPLE_POINTS)))
    found = reader.records(chosen.rows[:SELECTED_POINTS].tolist(), vectors=True)
    front = {row: record for row, record in found.items() if record.vector is not None}
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
                label(reader.text(record), _facts(selection, row, record))
                for row, record in front.items()
            ],
            len(chosen.rows),
        ),
        selection.collection.metric,
        selection.settings.wanted.seed,
    )


def _facts(selection: Selection, row: int, record: Record) -> str:
    """What the map says of a selected candidate: its id, its p, and how far it is from the task."""
    p, example = selection.probability(row), int(selection.nearest_query[row])
    facts = [f"candidate {record.id}"]
    facts += [] if p is None else [f"p {p:.3g}"]
    if example >= 0:
        facts.append(f"{selection.nearest_distance[row]:.3f} from example {example}")
    return ", ".join(facts)
