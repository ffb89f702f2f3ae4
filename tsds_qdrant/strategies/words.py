"""Strategies that compare words: importance weights of hashed n-grams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.ids import id_order
from tsds_qdrant.collections.values import PointId, Record
from tsds_qdrant.errors import InputError
from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.pool.texts import point_template
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.representations.words.ngrams import HashedTexts, hashed, log_importance
from tsds_qdrant.strategies.base import Preference
from tsds_qdrant.strategies.card import UNTRAINED, Card
from tsds_qdrant.strategies.chance import ByChance, WeightedChance, ranks_by_weights
from tsds_qdrant.strategies.pool_knowledge import PoolKnowledge
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.task.task import Task

TEXT_PAGE = 1_000


class WordKnowledge(PoolKnowledge):
    """The hashed texts of a pool and of a task, and the weights that follow.

    A weight depends on the words of the whole pool, so whenever points come, change or leave, or
    the task does, all texts are read again. What is stored are the weights.

    Attributes:
        texts: M texts of the task examples.
        template: how the text of a candidate is made, where the collection does not say.
    """

    texts: tuple[str, ...] = ()
    template = TextTemplate()
    _way = TextTemplate()
    _hashed: HashedTexts | None = None
    _weights: FloatArray | None = None
    _weighed: frozenset[int] = frozenset()

    @classmethod
    def begin(cls, searcher: Searcher, task: Task) -> WordKnowledge:
        """Check the texts of the task; those of the pool are read when they are needed."""
        _check_texts(task.texts, len(task.vectors))
        known: WordKnowledge = super().begin(searcher, task)
        known.texts, known.template = task.texts, task.template
        return known

    @classmethod
    def resume(
        cls, searcher: Searcher, facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> WordKnowledge:
        """The weights as they were stored."""
        known: WordKnowledge = super().resume(searcher, facts, arrays)
        known.texts = tuple(facts["texts"])
        known.template = TextTemplate.from_dict(facts["template"])
        known._weights = arrays["log_weights"]
        known._weighed = known._excluded
        return known

    @property
    def log_weights(self) -> FloatArray:
        """(c,) log importance weights of ``candidates``."""
        if self._weights is None or self._excluded != self._weighed:
            pool = self._read_texts()
            kept = self.present & ~self.index.excluded
            scale = len(self.texts) * self.query_weights
            self._weights = log_importance(pool.of(kept), hashed(self.texts), scale)
            self._weighed = self._excluded
        return self._weights

    def update(self, came: Sequence[PointId], gone: Sequence[PointId]) -> RepairReport:
        """Take points out and in; if there are any, the weights are forgotten."""
        if came or gone:
            self._hashed = self._weights = None
        return replace(super().update(came, gone), from_scratch=bool(came or gone))

    def retarget(self, task: Task) -> None:
        """Take other task examples; how texts are made stays, unless they say it."""
        _check_texts(task.texts, len(task.vectors))
        super().retarget(task)
        self.texts, self._weights = task.texts, None
        if task.template.to_dict():
            self.template = task.template

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Keys and weights of the pool, and what is needed to weigh again."""
        weights = self.log_weights
        facts, arrays = super().stored()
        own = {"texts": list(self.texts), "template": self.template.to_dict()}
        return {**facts, **own}, {**arrays, "log_weights": weights}

    @property
    def _excluded(self) -> frozenset[int]:
        return frozenset(np.flatnonzero(self.index.excluded).tolist())

    def _read_texts(self) -> HashedTexts:
        """Hashed texts of all points by number, fetched page by page; "" for those that left."""
        way = self._decided()
        if self._hashed is not None and way == self._way:
            return self._hashed
        searcher, there = self.searcher, self.present
        ids = self.index.ids(range(len(there)))
        parts: list[HashedTexts] = []
        for start in range(0, len(ids), TEXT_PAGE):
            page = range(start, min(start + TEXT_PAGE, len(ids)))
            wanted = [ids[number] for number in page if there[number]]
            stored = searcher.collection.retrieve(wanted)
            texts = {record.id: self._text_of(record, way) for record in stored}
            self._left |= {number for number in page if ids[number] not in texts}
            parts.append(hashed([texts.get(ids[number], "") for number in page]))
            searcher.progress("texts", page.stop, len(ids))
        self._way, self._hashed = way, HashedTexts.joined(parts)
        return self._hashed

    def _decided(self) -> TextTemplate:
        """How texts are made: as the collection says, as given, or by the usual shape."""
        way = point_template(self.searcher.collection, self.template, shared=True)
        if way.to_dict():
            return way
        candidates = self.candidates
        first = candidates[id_order(self.index.keys[candidates])[:1]]
        for record in self.searcher.collection.retrieve(self.index.ids(first.tolist())):
            with self._no_text(record):
                return way.decide(record.content)
        return way

    def _text_of(self, record: Record, way: TextTemplate) -> str:
        with self._no_text(record):
            return way.render(record.content)

    @contextmanager
    def _no_text(self, record: Record) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            raise InputError(
                f"the strategy 'dsir' compares words, and point {record.id} of collection "
                f"'{self.searcher.info.name}' has no text: {error}"
            ) from None


def _check_texts(texts: Sequence[str], queries: int) -> None:
    """Check the texts of the task examples.

    Raises:
        InputError: some are missing.
    """
    lacking = ""
    if not any(texts):
        lacking = "the task examples have no texts"
    elif len(texts) != queries:
        lacking = f"{queries} task examples have {len(texts)} texts"
    elif not all(texts):
        lacking = f"task example {[bool(text) for text in texts].index(False)} has no text"
    if lacking:
        raise InputError(
            f"the strategy 'dsir' compares words, and {lacking}; give records with texts as task "
            f"examples, or use another strategy"
        )


@dataclass(frozen=True)
class ByWords(ByChance):
    """How much the words of a point weigh.

    Attributes:
        log_weight: its log importance weight; None where it was not weighed.
        heavier: how many candidates have a larger one.
    """

    log_weight: float | None = None
    heavier: int | None = None

    def in_words(self, *, arrived: bool = False) -> list[str]:
        """The weight, and how many are larger."""
        if self.log_weight is None:
            return []
        return [f"log importance weight {self.log_weight:.4g}: {self.heavier} candidates have more"]


@dataclass(frozen=True)
class Dsir(WeightedChance):
    """Strategy dsir"""

    name: ClassVar[str] = "dsir"
    card: ClassVar[Card] = Card(
        idea="chances follow how much more the task uses a text's words than the pool does",
        paper="Xie, Santurkar, Ma, Liang, NeurIPS 2023, arXiv 2302.03169",
        cost="one read of all texts; again whenever the pool or the task changes",
        features="lexical indicators",
        criterion="external: density ratio of hashed n-grams",
        task_aware=True,
        steps=3,
        **UNTRAINED,
        needs_vectors=False,
        needs_texts=True,
        reads_all=True,
    )
    knowledge: ClassVar[type[PoolKnowledge]] = WordKnowledge
    reasons: ClassVar[type[Reasons]] = ByWords

    def log_weights(self, known: WordKnowledge) -> FloatArray:
        """Log importance weights of the texts."""
        return known.log_weights

    def explain(
        self, known: WordKnowledge, preference: Preference, question: Question
    ) -> list[ByWords]:
        """The weight of each point, and its rank in the order by weighted chance."""
        weights = known.log_weights
        ranks = ranks_by_weights(known, weights, question.seed)
        weight_of = dict(zip(known.candidates.tolist(), weights.tolist(), strict=True))
        return [
            ByWords(
                rank=int(ranks[number]),
                log_weight=weight_of[number],
                heavier=int(np.count_nonzero(weights > weight_of[number])),
            )
            if number in weight_of
            else ByWords("not read")
            for number in known.index.lookup([record.id for record in question.records]).tolist()
        ]
