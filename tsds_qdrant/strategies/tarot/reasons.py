"""Why layers and folds have taken a point, or have not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tsds_qdrant.strategies.base import Preference
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.strategies.tarot.evidence import TarotEvidence
from tsds_qdrant.strategies.tarot.knowledge import CostKnowledge
from tsds_qdrant.strategies.tarot.layers import ranks_of
from tsds_qdrant.strategies.unfetched import (
    MISSED,
    MISSED_MARGIN,
    UNSEEN,
    distances_from,
    with_listed,
)
from tsds_qdrant.strategies.wording import named, ordinal


@dataclass(frozen=True)
class ByLayers(Reasons):
    """In which layer a point is, and which folds chose it.

    Attributes:
        query: number of the task example that it is nearest to by place in the list, else by
            distance, from 0; None for what is no candidate.
        text: of that task example; "" where not known.
        distance: between the two.
        neighbor: 1 for its nearest candidate, 2 for the next, ..; None where its list ends before.
        looked_at: how many nearest candidates of that task example were looked at.
        folds: numbers of the folds that chose it, from 0; None where a size was given.
    """

    VERDICTS: ClassVar = {
        "not preferred": "other candidates are among the nearest of the task examples",
        **UNSEEN,
    }

    query: int | None = None
    text: str = ""
    distance: float | None = None
    neighbor: int | None = None
    looked_at: int = 0
    folds: tuple[int, ...] | None = None

    def in_words(self, *, arrived: bool = False) -> list[str]:
        """The place in the list, and the folds."""
        if self.query is None:
            return []
        place = "" if self.neighbor is None else f", its {ordinal(self.neighbor)} nearest candidate"
        lines = [
            f"distance {self.distance:.3f} to {named(self.query, self.text)}{place}; of that one "
            f"the {self.looked_at} nearest were looked at"
        ]
        if self.folds:
            lines.append(f"chosen by fold {', '.join(map(str, self.folds))}")
        elif self.folds is not None and self.neighbor is not None:
            lines.append("chosen by no fold: with it the fold would not have come nearer to others")
        return [*lines, *([MISSED] if self.verdict == "missed" and not arrived else [])]


def by_layers(known: CostKnowledge, preference: Preference, question: Question) -> list[ByLayers]:
    """Reasons of the points of ``question``."""
    evidence = preference.evidence
    assert isinstance(evidence, TarotEvidence)
    near = known.neighborhoods
    lists, preferred = near.lists, set(preference.candidates.tolist())
    ranks = ranks_of(lists)
    last = np.minimum(evidence.depths, lists.depths)
    ends = np.full(lists.queries, -np.inf)
    ends[last > 0] = lists.distances[(lists.offsets[:-1] + last - 1)[last > 0]]
    found = []
    for record in question.records:
        far = distances_from(near.queries, record, near.searcher)
        candidate = int(near.index.lookup([record.id])[0])
        far = with_listed(far, lists, candidate)
        entries = np.flatnonzero(lists.candidates == candidate)
        if len(entries):
            best = entries[np.lexsort((lists.distances[entries], ranks[entries]))[0]]
            row, neighbor = int(lists.query_of_entry[best]), int(ranks[best])
        else:
            row, neighbor = int(np.argmin(far)), None
        verdict = ""
        if candidate not in preferred:
            missed = not len(entries) and bool((far < ends - MISSED_MARGIN).any())
            verdict = "missed" if missed else "not preferred"
        folds = None
        if evidence.folds:
            sets = enumerate(evidence.folds)
            folds = tuple(number for number, fold in sets if candidate in fold.best)
        found.append(
            ByLayers(
                verdict,
                query=row,
                text=question.texts.get(row, ""),
                distance=float(far[row]),
                neighbor=neighbor,
                looked_at=int(evidence.depths[row]),
                folds=folds,
            )
        )
    return found
