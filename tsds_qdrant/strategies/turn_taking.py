"""Why task examples that take candidates in turns have taken a point, or have not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.strategies.rankings import Ranked
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.strategies.unfetched import (
    MISSED,
    MISSED_MARGIN,
    UNSEEN,
    distances_from,
    with_listed,
)
from tsds_qdrant.strategies.wording import SHOWN, named, ordinal, quoted, table


@dataclass(frozen=True)
class Taken:
    """Which task example took a candidate.

    Attributes:
        query: number of the task example, from 0.
        text: of the task example; "" where not known.
        turn: of that task example, from 1.
        distance: between the two.
        neighbor: 1 for its nearest candidate, 2 for the next, ..
    """

    query: int
    text: str
    turn: int
    distance: float
    neighbor: int


@dataclass(frozen=True)
class Untaken:
    """One task example that did not come to a candidate.

    Attributes:
        query: number of the task example, from 0.
        text: of the task example; "" where not known.
        distance: between the two.
        neighbor: 1 for its nearest candidate, 2 for the next, ..; None where its list ends before.
        came_to: to which of its nearest candidates it came; 0: it had no turn.
        end: distance of that one; None where it had none.
    """

    query: int
    text: str
    distance: float
    neighbor: int | None
    came_to: int
    end: float | None


@dataclass(frozen=True)
class ByTurns(Reasons):
    """Which task example took a point, or how far they were from it.

    Attributes:
        taken: by which task example, and when; None where by none.
        places: for a point that was not taken, the lists that it stands in, the one whose turns
            came nearest to it first; without any, the nearest task example.
    """

    VERDICTS: ClassVar = {
        "not preferred": "the task examples took others, which are nearer to them",
        **UNSEEN,
    }

    taken: Taken | None = None
    places: tuple[Untaken, ...] = ()

    def in_words(self, *, arrived: bool = False) -> list[str]:
        """The turn, or the place in the lists."""
        if self.taken is not None:
            one = self.taken
            return [
                f"taken by {named(one.query, one.text)} in its {ordinal(one.turn)} turn: distance "
                f"{one.distance:.3f}, its {ordinal(one.neighbor)} nearest candidate"
            ]
        lines = [MISSED] if self.verdict == "missed" and not arrived else []
        if not self.places:
            return lines
        first = self.places[0]
        if first.neighbor is None:
            end = "which had no turn"
            if first.end is not None:
                place = ordinal(first.came_to)
                end = f"which came to its {place} nearest candidate, at {first.end:.3f}"
            to = named(first.query, first.text)
            return [f"distance {first.distance:.3f} to {to}, {end}", *lines]
        rows = [
            (
                ordinal(one.came_to) if one.came_to else "-",
                f"{one.distance:.3f}",
                "" if one.neighbor is None else ordinal(one.neighbor),
                f"{one.query}  {quoted(one.text)}",
            )
            for one in self.places[:SHOWN]
        ]
        count = len(self.places)
        named_lists = "the list of one task example" if count == 1 else f"{count} lists"
        columns = ("came to", "distance", "nearest", "task example")
        return [f"it is in {named_lists}:", *table(columns, rows, count), *lines]


def by_turns(near: Neighborhoods, ranked: Ranked, question: Question) -> list[ByTurns]:
    """Reasons where task examples took their nearest candidates in turns, as ``ranked`` says."""
    turns = _Turns.of(near.lists, ranked, len(near.index))
    found = []
    for record in question.records:
        far = distances_from(near.queries, record, near.searcher)
        candidate = int(near.index.lookup([record.id])[0])
        if candidate >= 0 and turns.taker[candidate] >= 0:
            found.append(ByTurns(taken=turns.taken(candidate, question)))
        else:
            found.append(turns.untaken(candidate, far, question))
    return found


@dataclass(frozen=True)
class _Turns:
    """The turns of M task examples over the lists.

    Attributes:
        lists: of the task examples.
        order: who took what.
        taker: (n,) which task example took each candidate; -1: none.
        came_to: (M,) to which place of its list each task example came.
        ends: (M,) the distance there; -inf where it had none.
    """

    lists: NeighborLists
    order: Ranked
    taker: IntArray
    came_to: IntArray
    ends: FloatArray

    @classmethod
    def of(cls, lists: NeighborLists, order: Ranked, seen: int) -> _Turns:
        taker = np.full(seen, -1, dtype=np.int64)
        taker[order.candidates] = order.takers
        own = np.flatnonzero(taker[lists.candidates] == lists.query_of_entry)
        rows = lists.query_of_entry[own]
        came_to, ends = np.zeros(lists.queries, dtype=np.int64), np.full(lists.queries, -np.inf)
        np.maximum.at(came_to, rows, own - lists.offsets[rows] + 1)
        np.maximum.at(ends, rows, lists.distances[own])
        return cls(lists, order, taker, came_to, ends)

    def taken(self, candidate: int, question: Question) -> Taken:
        row = int(self.taker[candidate])
        place = int(np.flatnonzero(self.order.candidates == candidate)[0])
        (entry,) = self._entries(candidate, row).tolist()
        return Taken(
            row,
            question.texts.get(row, ""),
            turn=int(np.count_nonzero(self.order.takers[: place + 1] == row)),
            distance=float(self.lists.distances[entry]),
            neighbor=entry - int(self.lists.offsets[row]) + 1,
        )

    def untaken(self, candidate: int, far: FloatArray, question: Question) -> ByTurns:
        far = with_listed(far, self.lists, candidate)
        rows = self.lists.query_of_entry[np.flatnonzero(self.lists.candidates == candidate)]
        places = [
            self._place(row, far, int(self._entries(candidate, row)[0]), question)
            for row in rows.tolist()
        ]
        places.sort(key=lambda one: ((one.neighbor or 0) - one.came_to, one.distance, one.query))
        if not places:
            places = [self._place(int(np.argmin(far)), far, None, question)]
        missed = bool((far < self.ends - MISSED_MARGIN).any())
        return ByTurns("missed" if missed else "not preferred", places=tuple(places))

    def _entries(self, candidate: int, row: int) -> IntArray:
        start, stop = self.lists.offsets[row : row + 2].tolist()
        entries: IntArray = start + np.flatnonzero(self.lists.candidates[start:stop] == candidate)
        return entries

    def _place(self, row: int, far: FloatArray, entry: int | None, question: Question) -> Untaken:
        came_to = int(self.came_to[row])
        return Untaken(
            row,
            question.texts.get(row, ""),
            distance=float(far[row]),
            neighbor=None if entry is None else entry - int(self.lists.offsets[row]) + 1,
            came_to=came_to,
            end=float(self.ends[row]) if came_to else None,
        )
