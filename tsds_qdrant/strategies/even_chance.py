"""A strategy that leaves the choice to chance alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.strategies.base import Arrays, Ask, Preference, Strategy
from tsds_qdrant.strategies.card import Card
from tsds_qdrant.strategies.chance import ByChance, drawn_by_weights, ranks_by_weights
from tsds_qdrant.strategies.pool_knowledge import PoolKnowledge
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.task.task import Task


@dataclass(frozen=True)
class Random(Strategy):
    """Strategy random"""

    name: ClassVar[str] = "random"
    card: ClassVar[Card] = Card(
        idea="every candidate has the same chance",
        paper="",
        cost="one read of all ids",
        features="none",
        criterion="none: chance alone",
        task_aware=False,
        needs_vectors=False,
        reads_all=True,
    )
    reasons: ClassVar[type[Reasons]] = ByChance
    has_chances: ClassVar[bool] = True

    def begin(self, searcher: Searcher, task: Task) -> Any:
        """The ids of the pool."""
        return PoolKnowledge.begin(searcher, task)

    def resume(self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays) -> Any:
        """The ids of the pool as they were stored."""
        return PoolKnowledge.resume(searcher, facts, arrays)

    def prefer(self, known: PoolKnowledge, ask: Ask) -> Preference:
        """An order by chance."""
        return drawn_by_weights(known, np.zeros(known.pool), ask)

    def explain(
        self, known: PoolKnowledge, preference: Preference, question: Question
    ) -> list[ByChance]:
        """The rank of each point in the order by chance."""
        ranks = ranks_by_weights(known, np.zeros(known.pool), question.seed)
        numbers = known.index.lookup([record.id for record in question.records])
        return [
            ByChance(rank=int(ranks[number]))
            if number >= 0 and ranks[number] >= 0
            else ByChance("not read")
            for number in numbers.tolist()
        ]
