"""A strategy that leaves the choice to chance alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.strategies.base import Preference
from tsds_qdrant.strategies.card import UNTRAINED, Card
from tsds_qdrant.strategies.chance import ByChance, WeightedChance, ranks_by_weights
from tsds_qdrant.strategies.pool_knowledge import PoolKnowledge
from tsds_qdrant.strategies.reasons import Question


@dataclass(frozen=True)
class Random(WeightedChance):
    """Strategy random"""

    name: ClassVar[str] = "random"
    card: ClassVar[Card] = Card(
        idea="every candidate has the same chance",
        paper="",
        cost="one read of all ids",
        features="none",
        criterion="none: chance alone",
        task_aware=False,
        steps=1,
        **UNTRAINED,
        needs_vectors=False,
        reads_all=True,
    )

    def log_weights(self, known: PoolKnowledge) -> FloatArray:
        """All the same."""
        return np.zeros(known.pool)

    def explain(
        self, known: PoolKnowledge, preference: Preference, question: Question
    ) -> list[ByChance]:
        """The rank of each point in the order by chance."""
        ranks = ranks_by_weights(known, self.log_weights(known), question.seed)
        numbers = known.index.lookup([record.id for record in question.records])
        return [
            ByChance(rank=int(ranks[number]))
            if number >= 0 and ranks[number] >= 0
            else ByChance("not read")
            for number in numbers.tolist()
        ]
