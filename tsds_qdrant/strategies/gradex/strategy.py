"""GradEx: sources by the target loss of models trained on them, estimated without training.

Li et al. 2024 (arXiv 2409.19458): from one model, gradients and margins of candidates and of the
task say, by a first-order estimate, what training on any subset of the sources would do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.representations.base import Way
from tsds_qdrant.strategies.base import Arrays, Ask, Preference, Strategy
from tsds_qdrant.strategies.card import Card
from tsds_qdrant.strategies.gradex.judged import BySource, SourceEvidence
from tsds_qdrant.strategies.gradex.knowledge import SourceKnowledge
from tsds_qdrant.strategies.gradex.labels import KIND
from tsds_qdrant.strategies.gradex.settings import SourceSettings
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.task.task import Task


@dataclass(frozen=True)
class Gradex(SourceSettings, Strategy):
    """Strategy gradex"""

    name: ClassVar[str] = "gradex"
    card: ClassVar[Card] = Card(
        idea="the sources that lower the target loss most, by a first-order estimate of training",
        paper="Li et al. 2024, arXiv 2409.19458",
        cost="one read of all gradients and sources, and a small regression for each subset tried",
        features="gradients of margins, and sources",
        criterion="external: estimated loss of the task after training on subsets of the sources",
        task_aware=True,
        trained_models=1,
        passes="forward and backward",
        steps=4,
        model_free=False,
        dataset_free=False,
        reads_all=True,
        metrics=("Dot",),
        kinds=(KIND,),
    )
    any_length: ClassVar[bool] = True
    reasons: ClassVar[type[Reasons]] = BySource

    @property
    def way(self) -> Way:
        """With the margins of the task examples."""
        return "with_margins"

    def begin(self, searcher: Searcher, task: Task) -> SourceKnowledge:
        """The ids of the pool; sources are judged when they are asked for."""
        known: SourceKnowledge = SourceKnowledge.begun(searcher, task, self)
        return known

    def resume(
        self, searcher: Searcher, facts: Mapping[str, object], arrays: Arrays
    ) -> SourceKnowledge:
        """What was estimated, as it was stored."""
        known: SourceKnowledge = SourceKnowledge.resumed(searcher, facts, arrays, self)
        return known

    def prefer(self, known: SourceKnowledge, ask: Ask) -> Preference:
        """The candidates of the chosen sources, then of the others; by gain within each."""
        order, gains = known.order()
        size = len(order) if ask.whole else ask.reach or ask.size
        evidence = SourceEvidence(known.judged, ask.size)
        return Preference(order[:size], None, ordered=True, evidence=evidence, scores=gains)

    def explain(
        self, known: SourceKnowledge, preference: Preference, question: Question
    ) -> list[BySource]:
        """The source of each point, what was estimated of it, and the gain by the point alone."""
        judged = known.judged
        order, gains = known.order()
        rank = {number: place for place, number in enumerate(order.tolist())}
        preferred = set(preference.candidates.tolist())
        found = []
        for record in question.records:
            number = int(known.index.lookup([record.id])[0])
            if number not in rank:
                found.append(BySource("not read"))
                continue
            source = known.source_name(number)
            place = judged.names.index(source)
            found.append(
                BySource(
                    "" if number in preferred else "not preferred",
                    rank[number],
                    source,
                    place,
                    place < judged.chosen,
                    judged.scores[place],
                    float(gains[number]),
                )
            )
        return found
