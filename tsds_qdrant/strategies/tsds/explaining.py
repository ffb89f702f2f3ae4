"""Explaining: the reasons of candidates, out of a solved problem and what is fetched for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.values import Record
from tsds_qdrant.solver.transport import TransportSolution
from tsds_qdrant.solver.turning import Turn, turn_within_radius
from tsds_qdrant.strategies.evidence import TransportEvidence
from tsds_qdrant.strategies.reasons import Question
from tsds_qdrant.strategies.tsds.problem import TaskProblem
from tsds_qdrant.strategies.tsds.reasons import Duplicate, Listing, Terms, TransportReasons
from tsds_qdrant.strategies.tsds.turns import Turns
from tsds_qdrant.strategies.unfetched import distances_from, unfetched_of, with_listed

DUPLICATES = 20
"""How many near-duplicates of a point are named."""


def explained(
    known: TaskProblem, evidence: TransportEvidence, question: Question
) -> list[TransportReasons]:
    """The reasons of every point of ``question``: one density search each where none is known.

    Beside these at most about ``question.searches`` density searches are spent on the exact alpha
    at which points without mass would enter; the alpha is a bound where they do not suffice.
    """
    near = known.neighborhoods
    ids = [record.id for record in question.records]
    numbers = near.index.numbers(ids)
    unknown = numbers[np.isnan(near.densities[numbers])]
    if len(unknown):
        near.learn(unknown)
    turns = None
    if evidence.path is not None:
        turns = Turns(known)
        turns.follow(numbers.tolist(), question.searches)
    explaining = _Explaining(known, evidence, question, turns)
    return [explaining.reasons(record) for record in question.records]


@dataclass(frozen=True)
class _Explaining:
    known: TaskProblem
    evidence: TransportEvidence
    question: Question
    turns: Turns | None

    def reasons(self, record: Record) -> TransportReasons:
        """The reasons of one point, whose density is known."""
        far = distances_from(self.known.queries, record, self.known.searcher)
        number = int(self.known.index.lookup([record.id])[0])
        listings = listings_of(self.evidence.solution, number, self.question.texts)
        p = self._p(number)
        verdict = "" if p > 0 else "no mass" if listings else "not fetched"
        lists = self.evidence.solution.problem.lists
        found = TransportReasons(
            verdict,
            listings=listings,
            turn=self._turn(number, far),
            unfetched=None if listings else unfetched_of(lists, far, self.question.texts),
            terms=Terms(self.evidence.alpha, self.evidence.bandwidth, lists.queries, p),
        )
        return self._with_duplicates(found, number)

    def _turn(self, number: int, far: FloatArray) -> Turn:
        if self.turns is not None:
            return self.turns.turn(number)
        lists = self.evidence.solution.problem.lists
        return turn_within_radius(lists, with_listed(far, lists, number), self.known.cost_scale)

    def _p(self, number: int) -> float:
        p = self.evidence.solution.probabilities
        return float(p[number]) if number < len(p) else 0.0

    def _with_duplicates(self, found: TransportReasons, number: int) -> TransportReasons:
        near = self.known.neighborhoods
        vicinities = near.vicinities
        if near.bandwidth == 0 or vicinities.place_of[number] < 0:
            return found
        place = vicinities.places[int(vicinities.place_of[number])]
        others = place.members != number
        others &= ~near.excluded[place.members] & (place.distances < near.bandwidth)
        members, distances = place.members[others], place.distances[others]
        nearest = near.index.ids(members[:DUPLICATES].tolist())
        stored = self.known.searcher.collection.retrieve(nearest)
        texts = {record.id: self.question.text_of(record) for record in stored}
        rows = zip(nearest, members.tolist(), distances.tolist(), strict=False)
        ranks = self.question.ranks
        return replace(
            found,
            density=float(near.densities[number]),
            density_whole=place.whole,
            duplicate_count=len(members),
            duplicates=tuple(
                Duplicate(i, distance, self._p(member), ranks.get(member), texts.get(i, ""))
                for i, member, distance in rows
            ),
        )


def listings_of(
    solution: TransportSolution, candidate: int, texts: Mapping[int, str]
) -> tuple[Listing, ...]:
    """The lists that ``candidate`` stands in, as :class:`TransportReasons` wants them."""
    lists, plan = solution.problem.lists, solution.plan
    entries = np.flatnonzero(lists.candidates == candidate)
    if not len(entries):
        return ()
    paying = entries[plan[entries] > 0]
    used = np.add.reduceat((plan > 0).astype(np.int64), lists.offsets[:-1])
    rows = lists.query_of_entry[entries]
    if len(paying):
        entries = paying[np.argsort(-plan[paying], kind="stable")]
    else:
        places = entries - lists.offsets[rows] - used[rows]
        entries = entries[np.lexsort((lists.distances[entries], places))]
    p = float(solution.probabilities[candidate])
    return tuple(
        Listing(
            query=row,
            text=texts.get(row, ""),
            mass=float(plan[entry]),
            share=float(plan[entry]) / p if p else 0.0,
            distance=float(lists.distances[entry]),
            neighbor=entry - int(lists.offsets[row]) + 1,
            used=int(used[row]),
        )
        for entry, row in zip(entries.tolist(), lists.query_of_entry[entries].tolist(), strict=True)
    )
