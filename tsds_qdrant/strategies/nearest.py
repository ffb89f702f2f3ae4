"""Strategies that go by distance: rankings of neighbour lists.

``similarity-max``   the candidates nearest to any task example.
``similarity-mean``  those of the largest mean similarity to all task examples (under Euclid: of
                     the smallest mean squared distance): the ones nearest to the mean example.
``round-robin``      each task example in turn takes the nearest candidate that is left.

Ties go by id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.distance import normalized
from tsds_qdrant.collections.values import FLOAT32
from tsds_qdrant.neighbors.deepening import FIRST_DEPTH
from tsds_qdrant.neighbors.knowledge import NeighborKnowledge
from tsds_qdrant.neighbors.measure import distances_to
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.pool.pool import vectors_found
from tsds_qdrant.strategies.base import Arrays, Preference
from tsds_qdrant.strategies.by_lists import ByLists, searched
from tsds_qdrant.strategies.card import BY_EMBEDDINGS, Card
from tsds_qdrant.strategies.nearness import ByDistance, by_distance
from tsds_qdrant.strategies.rankings import (
    Ranked,
    mean_example,
    nearest_to_any,
    nearest_to_exact,
    round_robin,
)
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.strategies.turn_taking import ByTurns, by_turns
from tsds_qdrant.task.task import Task


@dataclass(frozen=True)
class SimilarityMax(ByLists):
    """Strategy similarity-max"""

    name: ClassVar[str] = "similarity-max"
    card: ClassVar[Card] = Card(
        idea="the candidates nearest to any task example",
        paper="arXiv 2602.14696 (doubly greedy)",
        cost="one search for each task example, made deeper until no list ends too early",
        criterion="external: similarity",
        steps=2,
        ranks=True,
        **BY_EMBEDDINGS,
    )
    reasons: ClassVar[type[Reasons]] = ByDistance

    def ranked(self, known: NeighborKnowledge, size: int) -> Ranked:
        """By the smallest distance to any task example."""
        near = known.neighborhoods
        return nearest_to_any(near.lists, near.index.keys, size)

    def explain(
        self, known: NeighborKnowledge, preference: Preference, question: Question
    ) -> list[ByDistance]:
        """How far the nearest task example is, and how far it is from the last one selected."""
        return by_distance(known.neighborhoods, preference, question)


@dataclass(frozen=True)
class RoundRobin(ByLists):
    """Strategy round-robin"""

    name: ClassVar[str] = "round-robin"
    card: ClassVar[Card] = Card(
        idea="each task example in turn takes the nearest candidate that is left",
        paper="arXiv 2503.01807, 2602.14696",
        cost="one search for each task example, made deeper until every turn is settled",
        criterion="external: similarity, an equal share for every task example",
        steps=3,
        **BY_EMBEDDINGS,
    )
    reasons: ClassVar[type[Reasons]] = ByTurns

    def ranked(self, known: NeighborKnowledge, size: int) -> Ranked:
        """In turns."""
        return round_robin(known.neighborhoods.lists, size)

    def explain(
        self, known: NeighborKnowledge, preference: Preference, question: Question
    ) -> list[ByTurns]:
        """Which task example took each point, and when, or how near their turns came to it."""
        near = known.neighborhoods
        return by_turns(near, self.ranked(known, len(preference.candidates)), question)


@dataclass
class MeanKnowledge(NeighborKnowledge):
    """One list, that of the mean example in the form in which it is searched for.

    Attributes:
        examples: (M, D) vectors of the task examples.
    """

    examples: Float32Array = field(kw_only=True)

    @property
    def mean(self) -> Float32Array:
        """(1, D) the mean example itself."""
        return mean_example(self.examples, self.query_weights, self.searcher.info.geometry)

    @property
    def queries(self) -> Float32Array:
        """(M, D) vectors of the task examples."""
        return self.examples

    def retarget(self, task: Task) -> None:
        """Take the mean of other task examples."""
        self.examples, self.query_weights = task.vectors, task.weights
        self.neighborhoods.replace_queries(searched(self.mean, self.searcher.info))

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """As of neighbourhoods, and the task examples."""
        facts, arrays = super().stored()
        return facts, {**arrays, "examples": self.examples}


@dataclass(frozen=True)
class SimilarityMean(ByLists):
    """Strategy similarity-mean"""

    name: ClassVar[str] = "similarity-mean"
    card: ClassVar[Card] = Card(
        idea="the candidates of the largest mean similarity to all task examples",
        paper="",
        cost="one search, as deep as the size",
        criterion="external: similarity to the mean",
        steps=2,
        ranks=True,
        **BY_EMBEDDINGS,
        metrics=("Cosine", "Euclid", "Dot"),
    )
    reasons: ClassVar[type[Reasons]] = ByDistance

    def begin(self, searcher: Searcher, task: Task) -> NeighborKnowledge:
        """The mean example; its list is not fetched yet."""
        searcher.preflight(task.vectors[0])
        mean = mean_example(task.vectors, task.weights, searcher.info.geometry)
        near = Neighborhoods(searcher, searched(mean, searcher.info))
        return MeanKnowledge(near, task.weights, examples=task.vectors)

    def resume(
        self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays
    ) -> NeighborKnowledge:
        """The list as it was stored."""
        near, weights = NeighborKnowledge.resumed(searcher, facts, arrays)
        return MeanKnowledge(near, weights, examples=arrays["examples"])

    def first_depth(self, size: int, lists: int) -> int:
        """The one list gives the whole ranking."""
        return max(size, FIRST_DEPTH)

    def ranked(self, known: NeighborKnowledge, size: int) -> Ranked:
        """By the distance to the mean example, which may be another than the one searched for."""
        near, info = known.neighborhoods, known.searcher.info
        assert isinstance(known, MeanKnowledge)
        if info.datatype == FLOAT32 or not info.recomputable:
            return nearest_to_any(near.lists, near.index.keys, size)
        mean, form = known.mean, normalized(near.queries, info.geometry)

        def exact(candidates: IntArray) -> FloatArray:
            ids = near.index.ids(candidates.tolist())
            has, rows = vectors_found(known.searcher.collection, ids, info)
            distances = np.full(len(ids), np.inf)
            distances[has] = distances_to(known.searcher, mean, ids, rows)[0]
            return distances

        return nearest_to_exact(
            near.lists,
            near.index.keys,
            size,
            exact=exact,
            off=float(np.linalg.norm(form - mean)),
            chords=info.metric != "Euclid",
        )

    def explain(
        self, known: NeighborKnowledge, preference: Preference, question: Question
    ) -> list[ByDistance]:
        """How far the mean example is, and how far it is from the last one selected."""
        return by_distance(known.neighborhoods, preference, question, mean=True)
