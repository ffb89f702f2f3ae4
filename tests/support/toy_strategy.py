"""A strategy that the package does not have: candidates by the letters of a payload field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tsds_qdrant.collections.values import PointId
from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.strategies.base import Arrays, Ask, Preference, Strategy
from tsds_qdrant.strategies.card import Card
from tsds_qdrant.strategies.pool_knowledge import PoolKnowledge
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.task.task import Task


class Letters(PoolKnowledge):
    """The field of every candidate, as text; "" where it has none."""

    field = ""
    words: dict[PointId, str]

    def learn(self, ids: Sequence[PointId]) -> None:
        """Read the field of ``ids``."""
        for record in self.searcher.collection.retrieve(ids):
            self.words[record.id] = str(record.content.get(self.field, ""))

    def update(self, came: Sequence[PointId], gone: Sequence[PointId]) -> RepairReport:
        """Read the field of points that came."""
        self.learn(came)
        return super().update(came, gone)

    def stored(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The fields too, in the order of the keys."""
        facts, arrays = super().stored()
        return {**facts, "words": [self.words[i] for i in self.used()]}, arrays


@dataclass(frozen=True)
class Toy(Strategy):
    """Strategy toy

    Attributes:
        letters: payload field to go by.
    """

    name: ClassVar[str] = "toy"
    card: ClassVar[Card] = Card(
        idea="the candidates whose field comes first in the alphabet",
        paper="",
        cost="one read of all payloads",
        features="payloads",
        criterion="internal: letters",
        task_aware=False,
        needs_vectors=False,
        reads_all=True,
    )

    letters: str = setting("text", "Payload field to go by.", metavar="FIELD")

    def begin(self, searcher: Searcher, task: Task) -> Letters:
        """The field of the whole pool."""
        known: Letters = Letters.begin(searcher, task)
        known.field, known.words = self.letters, {}
        known.learn(known.used())
        return known

    def resume(self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays) -> Letters:
        """The fields as they were stored."""
        known: Letters = Letters.resume(searcher, facts, arrays)
        known.field = self.letters
        known.words = dict(zip(known.used(), facts["words"], strict=True))
        return known

    def prefer(self, known: Letters, ask: Ask) -> Preference:
        """In the order of the letters, then of the ids."""
        candidates, keys = known.candidates, known.index.keys
        words = [known.words[i] for i in known.index.ids(candidates.tolist())]
        order = sorted(range(len(words)), key=lambda k: (words[k], keys[candidates[k]].tolist()))
        size = len(order) if ask.whole else ask.reach or ask.size
        chosen = candidates[np.array(order, dtype=np.int64)][:size]
        return Preference(chosen, None, ordered=True)

    def explain(self, known: Letters, preference: Preference, question: Question) -> list[Reasons]:
        """The place of each point in the alphabet."""
        whole = self.prefer(known, Ask(0, whole=True)).candidates.tolist()
        place = {known.index.ids([number])[0]: rank for rank, number in enumerate(whole)}
        return [Reasons(rank=place.get(record.id)) for record in question.records]
