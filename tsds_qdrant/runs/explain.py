"""Explain: why points are in a run's selection, or are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.ids import checked_ids, point_keys
from tsds_qdrant.collections.reserved import SEQUENCE_FIELD
from tsds_qdrant.collections.values import PointId, Record
from tsds_qdrant.errors import InputError
from tsds_qdrant.neighbors.geometry import pairwise_distances
from tsds_qdrant.pool.texts import text_of
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.runs.changes import Mark, both
from tsds_qdrant.runs.reopen import ReopenedRun
from tsds_qdrant.selection.sampling import ranked
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.solver.turning import turn_within_radius
from tsds_qdrant.strategies.tsds.reasons import (
    Duplicate,
    Explanation,
    PointExplanation,
    Unfetched,
    Verdict,
    chances_of,
    listings_of,
    standings_of,
)
from tsds_qdrant.strategies.tsds.turns import Turns

DUPLICATES = 20
"""So many near-duplicates of a point are told in full."""
SEARCHES = 2_000
MISSED_MARGIN = 1e-3
"""Local distances are float32: a point is missed in a list that ends so much farther away."""


def explain(
    reopened: ReopenedRun, ids: Sequence[PointId], *, searches: int = SEARCHES
) -> Explanation:
    """Why each of ``ids`` is in the selection of a stored run, or is not.

    Args:
        reopened: the run; what is fetched here is not stored.
        ids: points of its collection.
        searches: density searches to spend, at most about so many, on the exact alpha at which
            points without mass would enter; the alpha is a bound where they do not suffice.

    Raises:
        InputError: an id that is none, or that the collection does not hold.
        CollectionError: Qdrant fails.
    """
    wanted = list(dict.fromkeys(checked_ids(ids)))
    explainer = _Explainer(reopened)
    searcher = reopened.task.neighborhoods.searcher
    before = searcher.counts.density_searches
    records = explainer.records(wanted)
    missing = [point_id for point_id in wanted if point_id not in records]
    if missing:
        raise InputError(_absent(reopened, missing[0]))
    matching = explainer.matching(wanted)
    candidates = [point_id for point_id in wanted if point_id in matching]
    explainer.measure(candidates)
    turns = None
    if reopened.selection.path is not None:
        turns = Turns(reopened.task)
        turns.follow(explainer.known.index.lookup(candidates).tolist(), searches)
    points = [
        explainer.candidate(records[point_id], turns)
        if point_id in matching
        else PointExplanation(point_id, explainer.text(records[point_id]), "filtered out")
        for point_id in wanted
    ]
    selection = reopened.selection
    return Explanation(
        alpha=selection.alpha,
        bandwidth=selection.bandwidth,
        regularizer=selection.settings.regularizer,
        sampler=selection.settings.sampler,
        support=selection.solution.support,
        candidates=selection.candidates,
        queries=selection.solution.problem.lists.queries,
        points=tuple(points),
        searches=searcher.counts.density_searches - before,
    )


def _absent(reopened: ReopenedRun, point_id: PointId) -> str:
    name = reopened.selection.collection.name
    if reopened.task.neighborhoods.index.lookup([point_id])[0] >= 0:
        return (
            f"point {point_id} is no longer in collection '{name}', though the run still has it; "
            f"run 'tsds-qdrant reselect'"
        )
    return f"there is no point {point_id} in collection '{name}'; check the id"


class _Explainer:
    """A reopened run, and what must be fetched to explain some of its points."""

    def __init__(self, reopened: ReopenedRun) -> None:
        self.task = reopened.task
        self.selection = reopened.selection
        self.mark = reopened.run.mark
        self.known = reopened.task.neighborhoods
        self.collection = self.known.searcher.collection
        texts = reopened.run.queries.get("texts") or []
        self.query_texts = {row: text for row, text in enumerate(texts) if text}
        self.template = TextTemplate.from_dict(self.selection.collection.metadata.get("text", {}))
        self.chances = chances_of(self.selection)
        self.order = _draw_order(self.selection)
        largest = self.selection.samples[max(self.selection.samples)]
        self.rank = {c: place for place, c in enumerate(largest.candidates.tolist())}

    def text(self, record: Record) -> str:
        """The text of a point."""
        return text_of(record.content, self.template)

    def records(self, ids: Sequence[PointId]) -> dict[PointId, Record]:
        """Those of ``ids`` that are stored."""
        return {record.id: record for record in self.collection.retrieve(ids, vectors=True)}

    def matching(self, ids: Sequence[PointId]) -> set[PointId]:
        """Which of ``ids`` the run's filter lets pass."""
        if self.selection.settings.where is None:
            return set(ids)
        condition = both(self.selection.settings.where, {"must": [{"has_id": list(ids)}]})
        return {point_id for page in self.collection.scroll_ids(condition) for point_id in page}

    def measure(self, ids: Sequence[PointId]) -> None:
        """Find the densities of ``ids`` that are not known: one search each."""
        numbers = self.known.index.numbers(ids)
        unknown = numbers[np.isnan(self.known.densities[numbers]) & ~self.known.excluded[numbers]]
        if len(unknown):
            self.known.learn(unknown)

    def candidate(self, record: Record, turns: Turns | None) -> PointExplanation:
        """Explain a point that the filter lets pass."""
        number = int(self.known.index.lookup([record.id])[0])
        if self.known.excluded[number]:
            return PointExplanation(record.id, self.text(record), "kept out")
        p = self._p(number)
        solution = self.selection.solution
        listings = listings_of(solution, number, self.query_texts)
        verdict: Verdict = "no mass" if listings else "not fetched"
        if p > 0:
            verdict = "drawn" if number in self.rank else "not drawn"
        far = self._distances(record)
        turn = None
        if turns is not None:
            turn = turns.turn(number)
        elif far is not None:
            far[[listing.query for listing in listings]] = [one.distance for one in listings]
            turn = turn_within_radius(solution.problem.lists, far, self.task.cost_scale)
        found = PointExplanation(
            record.id,
            self.text(record),
            verdict,
            probability=p,
            rank=self.order.get(number),
            samples=standings_of(self.selection, number, self.chances) if p > 0 else (),
            listings=listings,
            turn=turn,
            unfetched=None if listings or far is None else self._unfetched(far),
            arrived=_arrived(self.mark, record),
        )
        return self._with_duplicates(found, number)

    def _p(self, number: int) -> float:
        p = self.selection.probabilities
        return float(p[number]) if number < len(p) else 0.0

    def _distances(self, record: Record) -> FloatArray | None:
        """(M,) from the task examples to a point; None where it has no vector."""
        if record.vector is None:
            return None
        metric = self.selection.collection.metric
        vector = record.vector[None, :]
        return pairwise_distances(self.known.queries, vector, metric)[:, 0].astype(np.float64)

    def _unfetched(self, distances: FloatArray) -> Unfetched:
        lists, row = self.selection.solution.problem.lists, int(np.argmin(distances))
        ends = np.where(lists.complete, np.inf, lists.distances[lists.offsets[1:] - 1])
        missed = np.flatnonzero(distances < ends - MISSED_MARGIN)
        return Unfetched(
            query=row,
            text=self.query_texts.get(row, ""),
            distance=float(distances[row]),
            depth=int(lists.depths[row]),
            end=float(ends[row]) if np.isfinite(ends[row]) else None,
            missed_by=int(missed[np.argmin(distances[missed])]) if len(missed) else None,
        )

    def _with_duplicates(self, found: PointExplanation, number: int) -> PointExplanation:
        vicinities = self.known.vicinities
        if self.known.bandwidth == 0 or vicinities.place_of[number] < 0:
            return found
        place = vicinities.places[int(vicinities.place_of[number])]
        others = place.members != number
        others &= ~self.known.excluded[place.members] & (place.distances < self.known.bandwidth)
        members, distances = place.members[others], place.distances[others]
        nearest = self.known.index.ids(members[:DUPLICATES].tolist())
        texts = {record.id: self.text(record) for record in self.collection.retrieve(nearest)}
        rows = zip(nearest, members.tolist(), distances.tolist(), strict=False)
        return replace(
            found,
            density=float(self.known.densities[number]),
            density_whole=place.whole,
            duplicate_count=len(members),
            duplicates=tuple(
                Duplicate(i, distance, self._p(member), self.rank.get(member), texts.get(i, ""))
                for i, member, distance in rows
            ),
        )


def _draw_order(selection: Selection) -> dict[int, int]:
    """Candidate -> its place in the order of the draw; nothing where that has no order."""
    sampler, seed = selection.settings.sampler, selection.settings.seed
    if sampler == "multinomial":
        return {}
    order = ranked(selection.probabilities, selection.keys, sampler=sampler, seed=seed)
    return {candidate: place for place, candidate in enumerate(order.tolist())}


def _arrived(mark: Mark, record: Record) -> bool | None:
    """Whether a point came after ``mark``; None where the mark does not tell."""
    if mark.way == "sequence" and isinstance(mark.value, int):
        number = record.payload.get(SEQUENCE_FIELD)
        return number > mark.value if isinstance(number, int) else None
    if mark.way == "ids":
        return not (mark.keys == point_keys([record.id])).all(axis=1).any()
    return None
