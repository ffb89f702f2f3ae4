"""Explain: why points are in a run's selection, or are not, whatever its strategy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.ids import checked_ids
from tsds_qdrant.collections.lengths import is_zero, needs_direction
from tsds_qdrant.collections.matching import matching
from tsds_qdrant.collections.values import CollectionInfo, PointId, Record
from tsds_qdrant.errors import InputError
from tsds_qdrant.pool.texts import text_of
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.runs.run import Run
from tsds_qdrant.runs.texts import texts_of_run
from tsds_qdrant.selection.explanation import (
    Explanation,
    PointExplanation,
    Verdict,
    chances_of,
    draw_order,
    ranks_of,
    standings_of,
)
from tsds_qdrant.strategies.reasons import Question, Reasons

SEARCHES = 2_000


def explain(
    run: Run,
    ids: Sequence[PointId],
    *,
    searches: int = SEARCHES,
    template: TextTemplate | None = None,
) -> Explanation:
    """Why each of ``ids`` is in the selection of a run, or is not.

    Args:
        run: reopened, or just made; what is fetched here is not stored.
        ids: points of its collection.
        searches: at most about how many searches are spent on what the strategy would have to
            look for; for ``tsds`` the exact alpha at which points without mass would enter,
            which is a bound where they do not suffice.
        template: how the texts of points are made; by default as everywhere, see
            :func:`~tsds_qdrant.pool.texts.point_template`.

    Those that the collection does not hold are ``missing`` in what is returned.

    Raises:
        InputError: an id that is none, or the collection holds none of them.
        CollectionError: Qdrant fails.
    """
    asked = list(dict.fromkeys(checked_ids(ids)))
    selection, searcher = run.selection, run.known.searcher
    before = _searches(run)
    records = {record.id: record for record in searcher.collection.retrieve(asked, vectors=True)}
    wanted = [point_id for point_id in asked if point_id in records]
    missing = {point_id: _absent(run, point_id) for point_id in asked if point_id not in records}
    if missing and not wanted:
        raise InputError(". ".join(missing.values()))
    out = _no_candidates(run, [records[point_id] for point_id in wanted])
    template = texts_of_run(run, template)
    question = Question(
        [records[point_id] for point_id in wanted if point_id not in out],
        texts={row: text for row, text in enumerate(run.texts) if text},
        text_of=lambda record: text_of(record.content, template),
        ranks=ranks_of(selection),
        searches=searches,
        seed=selection.settings.wanted.seed,
    )
    strategy = selection.settings.strategy
    answers = strategy.explain(run.known, selection.preference, question)
    reasons = dict(zip([record.id for record in question.records], answers, strict=True))
    explainer = _Explainer(run, question, draw_order(selection), chances_of(selection))
    return Explanation(
        strategy=selection.strategy,
        terms=selection.evidence.terms(),
        sampler=selection.settings.wanted.sampler,
        support=len(selection.support),
        vector=selection.collection.vector,
        candidates=selection.candidates,
        queries=selection.queries,
        points=tuple(
            explainer.no_candidate(records[point_id], out[point_id])
            if point_id in out
            else explainer.candidate(records[point_id], reasons[point_id])
            for point_id in wanted
        ),
        searches=_searches(run) - before,
        missing=missing,
    )


def _searches(run: Run) -> int:
    counts = run.known.searcher.counts
    return int(counts.neighbor_searches + counts.density_searches)


def _absent(run: Run, point_id: PointId) -> str:
    name = run.selection.collection.name
    if run.known.index.lookup([point_id])[0] >= 0:
        return (
            f"point {point_id} is no longer in collection '{name}', though the run still has it; "
            f"run 'tsds-qdrant reselect'"
        )
    return f"there is no point {point_id} in collection '{name}'; check the id"


def _no_candidates(run: Run, records: Sequence[Record]) -> dict[PointId, Verdict]:
    """Which of ``records`` lack a vector, do not match the run's filter, or copy test items."""
    index, where = run.known.index, run.selection.settings.search.where
    ids = [record.id for record in records]
    numbers = index.lookup(ids).tolist()
    preferred = set(run.selection.preference.candidates.tolist())
    out: dict[PointId, Verdict] = {
        record.id: _lacking(record, run.selection.collection, number in preferred)
        for record, number in zip(records, numbers, strict=True)
    }
    out = {point_id: verdict for point_id, verdict in out.items() if verdict}
    out |= {
        point_id: "kept out"
        for point_id, number in zip(ids, numbers, strict=True)
        if number >= 0 and index.excluded[number]
    }
    copies, drawn = run.selection.copies, ranks_of(run.selection)
    out |= {
        point_id: "near copy"
        for point_id, number in zip(ids, numbers, strict=True)
        if copies.get(point_id) and number not in drawn and point_id not in out
    }
    if where is None:
        return out
    passed = matching(run.known.searcher.collection, where, ids)
    return out | {point_id: "filtered out" for point_id in ids if point_id not in passed}


def _lacking(record: Record, info: CollectionInfo, known: bool) -> Verdict:
    """That a point has no vector that can be compared, or lost it since the run; else ""."""
    if record.vector is None:
        return "lost vector" if known else "no vector"
    return "zero vector" if needs_direction(info.metric) and is_zero(record.vector) else ""


@dataclass(frozen=True)
class _Explainer:
    """What holds for all points of one run.

    Attributes:
        run: its selection, and what that rests on.
        question: what the strategy was asked.
        order: candidate -> place in the order of the draw.
        chances: size -> (n,) chances to be drawn.
    """

    run: Run
    question: Question
    order: dict[int, int]
    chances: dict[int, FloatArray]

    def no_candidate(self, record: Record, verdict: Verdict) -> PointExplanation:
        """Explain a point that the strategy is not asked about."""
        selection = self.run.selection
        return PointExplanation(
            record.id,
            self.question.text_of(record),
            verdict,
            probability=None if selection.preference.probabilities is None else 0.0,
            reasons=selection.settings.strategy.reasons(),
        )

    def candidate(self, record: Record, reasons: Reasons) -> PointExplanation:
        """Explain a point by what the strategy says of it."""
        selection = self.run.selection
        number = int(self.run.known.index.lookup([record.id])[0])
        p = selection.probability(number if number >= 0 else len(selection.ids))
        rank = self.order.get(number, reasons.rank)
        verdict: Verdict = reasons.verdict or "not preferred"
        could = rank is not None or bool(p)
        if could:
            verdict = "drawn" if number in self.question.ranks else "not drawn"
        seen = None if self.run.mark is None else self.run.mark.has_seen(record)
        return PointExplanation(
            record.id,
            self.question.text_of(record),
            verdict,
            probability=p,
            rank=rank,
            samples=standings_of(selection, number, self.chances) if could else (),
            reasons=reasons,
            arrived=None if seen is None else not seen,
        )
