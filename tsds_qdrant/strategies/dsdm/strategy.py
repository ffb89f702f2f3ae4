"""DsDm: the candidates of the smallest predicted target loss.

A datamodel says the loss of the target by which candidates were trained on: each adds a number of
its own. TRAK estimates these from gradients, without training more than one model. DsDm (Engstrom
et al. 2024, arXiv 2401.12926) takes the candidates whose numbers are smallest; here they have the
largest tau = - number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.representations.base import Way
from tsds_qdrant.strategies.base import Arrays, Ask, Preference, Strategy
from tsds_qdrant.strategies.card import Card
from tsds_qdrant.strategies.dsdm.evidence import ByDatamodel, DatamodelEvidence
from tsds_qdrant.strategies.dsdm.knowledge import DatamodelKnowledge
from tsds_qdrant.strategies.dsdm.margins import KINDS
from tsds_qdrant.strategies.dsdm.settings import DatamodelSettings
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.task.task import Task


@dataclass(frozen=True)
class Dsdm(DatamodelSettings, Strategy):
    """Strategy dsdm"""

    name: ClassVar[str] = "dsdm"
    card: ClassVar[Card] = Card(
        idea="the smallest target loss, by a linear datamodel that TRAK estimates",
        paper="Engstrom et al. 2024, arXiv 2401.12926; TRAK: Park et al. 2023, arXiv 2303.14186",
        cost="one read of all gradients for the kernel, which is kept, and one scan",
        features="gradients of the loss, or of the margin",
        criterion="external: predicted loss of the task",
        task_aware=True,
        trained_models=1,
        passes="forward and backward",
        steps=4,
        model_free=False,
        dataset_free=False,
        metrics=("Dot",),
        kinds=KINDS,
        ranks=True,
    )
    any_length: ClassVar[bool] = True
    reasons: ClassVar[type[Reasons]] = ByDatamodel

    @property
    def way(self) -> Way:
        """With the margins of the task examples, where the vectors have such."""
        return "with_margins"

    def begin(self, searcher: Searcher, task: Task) -> DatamodelKnowledge:
        """The ids of the pool; the kernel is summed when it is needed."""
        known: DatamodelKnowledge = DatamodelKnowledge.begun(searcher, task, self)
        return known

    def resume(
        self, searcher: Searcher, facts: Mapping[str, object], arrays: Arrays
    ) -> DatamodelKnowledge:
        """Kernel and best candidates as they were stored."""
        known: DatamodelKnowledge = DatamodelKnowledge.resumed(searcher, facts, arrays, self)
        return known

    def prefer(self, known: DatamodelKnowledge, ask: Ask) -> Preference:
        """The candidates of the largest tau."""
        size = known.pool if ask.whole else min(ask.reach or ask.size, known.pool)
        best, tau = known.best(size)
        scores = np.full(len(known.index), np.nan)
        scores[best] = tau
        evidence = DatamodelEvidence.of(known, scores, self.ridge)
        return Preference(best[:size], None, ordered=True, evidence=evidence, scores=scores)

    def explain(
        self, known: DatamodelKnowledge, preference: Preference, question: Question
    ) -> list[ByDatamodel]:
        """What each point adds to the target's loss, and the last one selected."""
        assert preference.scores is not None
        ranks, scores = question.ranks, preference.scores
        last = float(scores[max(ranks, key=lambda one: ranks[one])]) if ranks else None
        place = {number: rank for rank, number in enumerate(preference.candidates.tolist())}
        found = []
        for record in question.records:
            number = int(known.index.lookup([record.id])[0])
            if number < 0:
                found.append(ByDatamodel("not read"))
                continue
            assert record.vector is not None  # or it would be no candidate
            tau = scores[number]
            if np.isnan(tau):
                tau = known.scores_of(record.vector[None, :].astype(np.float64), [record.id])[0]
            rank = place.get(number)
            verdict = "" if rank is not None else "not preferred"
            found.append(
                ByDatamodel(
                    verdict, rank, -float(tau), None if last is None else -last, known.objective
                )
            )
        return found
