"""Why a ranking by distance has taken a point, or has not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.strategies.base import Preference
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.strategies.unfetched import (
    MISSED,
    MISSED_MARGIN,
    UNSEEN,
    distances_from,
    with_listed,
)
from tsds_qdrant.strategies.wording import named


@dataclass(frozen=True)
class Near:
    """What a point is nearest to.

    Attributes:
        query: number of the task example, from 0; None for the mean of all.
        text: of the task example; "" where not known.
        distance: between the two.
    """

    query: int | None
    text: str
    distance: float


@dataclass(frozen=True)
class ByDistance(Reasons):
    """How near a point is, and how near the last one selected.

    Attributes:
        nearest: the nearest task example, or the mean example; None for what is no candidate.
        last: distance of the last candidate of the largest sample; None where none was drawn.
    """

    VERDICTS: ClassVar = {"not preferred": "other candidates are nearer", **UNSEEN}

    nearest: Near | None = None
    last: float | None = None

    def in_words(self, *, arrived: bool = False) -> list[str]:
        """Both distances, and whether a search must have missed the point."""
        near = self.nearest
        if near is None:
            return []
        to = "the mean of the task examples"
        if near.query is not None:
            to = f"{named(near.query, near.text)}, the nearest one"
        line = f"distance {near.distance:.3f} to {to}"
        if self.last is not None:
            line += f"; the last one selected is at {self.last:.3f}"
        return [line, *([MISSED] if self.verdict == "missed" and not arrived else [])]


def by_distance(
    near: Neighborhoods, preference: Preference, question: Question, *, mean: bool = False
) -> list[ByDistance]:
    """Reasons in a ranking by the distance to the nearest task example, or to the ``mean`` one."""
    lists = near.lists
    best = np.full(len(near.index), np.inf)
    np.minimum.at(best, lists.candidates, lists.distances)
    ranks, preferred = question.ranks, set(preference.candidates.tolist())
    last = float(best[max(ranks, key=lambda one: ranks[one])]) if ranks else None
    reach = float(best[preference.candidates].max(initial=-np.inf))
    found = []
    for record in question.records:
        far = distances_from(near.queries, record, near.searcher)
        candidate = int(near.index.lookup([record.id])[0])
        far = with_listed(far, lists, candidate)
        row, verdict = int(np.argmin(far)), ""
        if candidate not in preferred:
            verdict = "missed" if far[row] < reach - MISSED_MARGIN else "not preferred"
        query, text = (None, "") if mean else (row, question.texts.get(row, ""))
        found.append(ByDistance(verdict, nearest=Near(query, text, float(far[row])), last=last))
    return found
