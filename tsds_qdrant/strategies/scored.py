"""Why a ranking by scores has taken a point, or has not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.strategies.aims import Aims
from tsds_qdrant.strategies.base import Preference
from tsds_qdrant.strategies.rankings import scores_of
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.strategies.unfetched import MISSED, MISSED_MARGIN, distances_from, with_listed


@dataclass(frozen=True)
class ByScore(Reasons):
    """The score of a point, and that of the last one selected.

    Attributes:
        score: the largest for any sub-task; None for what is no candidate.
        subtask: for which one; "" where there is one.
        last: score of the last candidate of the largest sample; None where none was drawn.
    """

    VERDICTS: ClassVar = {
        "not preferred": "other candidates score higher",
        "missed": "it scores high enough, but no search of the run found it",
    }

    score: float | None = None
    subtask: str = ""
    last: float | None = None

    def in_words(self, *, arrived: bool = False) -> list[str]:
        """Both scores, and whether a search must have missed the point."""
        if self.score is None:
            return []
        line = f"score {self.score:.4g}" + (
            f" for sub-task '{self.subtask}'" if self.subtask else ""
        )
        if self.last is not None:
            line += f"; the last one selected has {self.last:.4g}"
        return [line, *([MISSED] if self.verdict == "missed" and not arrived else [])]


def by_score(
    near: Neighborhoods, aims: Aims, preference: Preference, question: Question
) -> list[ByScore]:
    """Reasons in a ranking by the largest score for any of the sub-tasks of ``aims``."""
    best = scores_of(near.lists, len(near.index), aims.scales)
    ranks, preferred = question.ranks, set(preference.candidates.tolist())
    last = float(best[max(ranks, key=lambda one: ranks[one])]) if ranks else None
    reach = float(best[preference.candidates].min(initial=np.inf))
    margin = MISSED_MARGIN * float(aims.scales.max())
    found = []
    for record in question.records:
        far = distances_from(near.queries, record, near.searcher)
        candidate = int(near.index.lookup([record.id])[0])
        scores = aims.scales * (1.0 - np.square(with_listed(far, near.lists, candidate)) / 2.0)
        row, verdict = int(np.argmax(scores)), ""
        if candidate not in preferred:
            verdict = "missed" if scores[row] > reach + margin else "not preferred"
        found.append(ByScore(verdict, score=float(scores[row]), subtask=aims.names[row], last=last))
    return found
