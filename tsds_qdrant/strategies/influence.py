"""Strategies that go by influence: gradients of candidates against those of a task.

``less``  the candidates of the largest mean cosine with the gradients of a sub-task, the best of
          the sub-tasks counting (Xie et al. 2024, arXiv 2402.04333).
``rose``  the same with gradients of preferences (Wang et al. 2024, arXiv 2412.00631).

A vector has a block of unit length for each of C checkpoints. With weights w_c of sum 1, the score
of a candidate with the blocks a_c is the largest, over the sub-tasks j, of sum_c w_c <a_c, B_cj>:
one search for each sub-task, whose query holds the blocks w_c B_cj. Ties go by id.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import InputError, SettingsError, UnsupportedCollectionError
from tsds_qdrant.neighbors.deepening import FIRST_DEPTH
from tsds_qdrant.neighbors.knowledge import NeighborKnowledge
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.representations.base import Way
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.texts import numbers
from tsds_qdrant.strategies.aims import (
    VAL_AGGS,
    Aims,
    InfluenceKnowledge,
    ValAgg,
    aims_of,
    check_weights,
    checkpoint_weights,
    queries_of,
)
from tsds_qdrant.strategies.base import Arrays, Ask, Preference
from tsds_qdrant.strategies.by_lists import ByLists
from tsds_qdrant.strategies.card import Card
from tsds_qdrant.strategies.rankings import Ranked, highest_of_any, scores_of
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.strategies.scored import ByScore, by_score
from tsds_qdrant.task.task import Task

MOST_ENTRIES = 5_000_000
"""Of all lists, as far as they are fetched at first."""


@dataclass(frozen=True)
class ByInfluence(ByLists):
    """A ranking by products of weighted gradients.

    Attributes:
        checkpoint_weights: of the checkpoints, in their order; their learning rates by default.
    """

    reasons: ClassVar[type[Reasons]] = ByScore

    checkpoint_weights: tuple[float, ...] = setting(
        (),
        "Weights of the checkpoints, 0.5,0.3,0.2 say; their learning rates if unset.",
        metavar="W,..",
        parse=numbers,
        hidden=True,
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "checkpoint_weights", tuple(self.checkpoint_weights))
        check_weights(self.checkpoint_weights)

    @abstractmethod
    def gathered(self) -> ValAgg:
        """How the gradients of a sub-task become one."""

    def aims(self, task: Task, info: CollectionInfo) -> Aims:
        """What is searched for.

        Raises:
            InputError, SettingsError: see :func:`~.aims.aims_of` and
                :func:`~.aims.checkpoint_weights`.
            UnsupportedCollectionError: a metric without directions.
        """
        if info.metric not in self.card.metrics:
            raise UnsupportedCollectionError(
                f"the strategy '{self.name}' goes by products of directions, and the vectors "
                f"{info.named} of collection '{info.name}' have the metric {info.metric}; "
                f"choose others with --vector, those of 'represent gradient' say"
            )
        weights = checkpoint_weights(info, self.checkpoint_weights)
        return aims_of(task, weights, self.gathered(), self.name)

    def begin(self, searcher: Searcher, task: Task) -> InfluenceKnowledge:
        """The queries; no list is fetched yet."""
        aims = self.aims(task, searcher.info)
        searcher.scan_everything("gradients are scanned")
        searcher.preflight(task.vectors[0])
        near = Neighborhoods(searcher, queries_of(aims, searcher.info))
        return InfluenceKnowledge(near, task.weights, task=task, aims=aims, made=self.aims)

    def resume(
        self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays
    ) -> InfluenceKnowledge:
        """Lists as they were stored."""
        near, weights = NeighborKnowledge.resumed(searcher, facts, arrays)
        groups, norms = tuple(facts["groups"]), arrays.get("example_norms")
        task = Task(arrays["examples"], weights, groups=groups, norms=norms)
        aims = self.aims(task, searcher.info)
        return InfluenceKnowledge(near, weights, task=task, aims=aims, made=self.aims)

    def first_depth(self, size: int, lists: int) -> int:
        """As deep as the size, where there is room: no list need be longer."""
        return max(FIRST_DEPTH, min(size, MOST_ENTRIES // lists))

    def ranked(self, known: NeighborKnowledge, size: int) -> Ranked:
        """By the largest score for any sub-task."""
        assert isinstance(known, InfluenceKnowledge)
        near = known.neighborhoods
        return highest_of_any(near.lists, near.index.keys, size, known.aims.scales)

    def prefer(self, known: NeighborKnowledge, ask: Ask) -> Preference:
        """The ranking, with its scores."""
        assert isinstance(known, InfluenceKnowledge)
        found, near = super().prefer(known, ask), known.neighborhoods
        best = scores_of(near.lists, len(near.index), known.aims.scales)
        scores = np.full(len(best), np.nan)
        scores[found.candidates] = best[found.candidates]
        return replace(found, scores=scores)

    def explain(
        self, known: NeighborKnowledge, preference: Preference, question: Question
    ) -> list[ByScore]:
        """The score of each point for its best sub-task, and that of the last one selected."""
        assert isinstance(known, InfluenceKnowledge)
        return by_score(known.neighborhoods, known.aims, preference, question)


@dataclass(frozen=True)
class Less(ByInfluence):
    """Strategy less

    Attributes:
        val_agg: ``mean_of_unit`` or ``unit_of_mean``.
    """

    name: ClassVar[str] = "less"
    card: ClassVar[Card] = Card(
        idea="the largest mean cosine with the gradients of any sub-task",
        paper="Xia et al. 2024, arXiv 2402.04333",
        cost="one scan for each sub-task, as deep as the size",
        features="gradients at checkpoints of a warm-up",
        task_aware=True,
        steps=4,
        model_free=False,
        dataset_free=False,
        criterion="external: influence on the loss of the task",
        trained_models=1,
        passes="forward and backward",
        metrics=("Cosine", "Dot"),
        kinds=("gradient",),
        needs="gradient",
        ranks=True,
    )

    val_agg: ValAgg = setting(
        "mean_of_unit",
        "mean_of_unit: the mean of the task's unit gradients; unit_of_mean: the direction of the "
        "mean of its gradients.",
        metavar="NAME",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.val_agg not in VAL_AGGS:
            raise SettingsError(f"val_agg is '{self.val_agg}'; choose one of {', '.join(VAL_AGGS)}")

    @property
    def way(self) -> Way:
        """With the lengths of gradients where these count."""
        return "plain_targets" if self.val_agg == "unit_of_mean" else "targets"

    def gathered(self) -> ValAgg:
        """As it was asked for."""
        return self.val_agg


@dataclass(frozen=True)
class Rose(ByInfluence):
    """Strategy rose"""

    name: ClassVar[str] = "rose"
    card: ClassVar[Card] = Card(
        idea="the largest mean cosine with gradients that prefer the chosen answers",
        paper="Wang et al. 2024, arXiv 2412.00631",
        cost="one scan for each sub-task, as deep as the size",
        features="gradients at checkpoints of a warm-up",
        task_aware=True,
        steps=4,
        model_free=False,
        dataset_free=False,
        criterion="external: influence on preferences of the task",
        trained_models=1,
        passes="forward and backward",
        metrics=("Cosine", "Dot"),
        kinds=("gradient",),
        needs="gradient",
        ranks=True,
    )

    @property
    def way(self) -> Way:
        """Of preferences."""
        return "contrasts"

    def gathered(self) -> ValAgg:
        """The mean of unit rows: so neither a reference model nor its beta makes a difference."""
        return "mean_of_unit"

    def aims(self, task: Task, info: CollectionInfo) -> Aims:
        """What is searched for.

        Raises:
            InputError: the task's records were read as examples, and not as preferences.
        """
        if task.way not in ("", self.way):
            raise InputError(
                "the strategy 'rose' goes by preferences, and the task examples were read as "
                "examples; give records with prompt, chosen and rejected to 'select --strategy "
                "rose', or use less"
            )
        return super().aims(task, info)
