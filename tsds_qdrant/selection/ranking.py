"""Rankings of the simpler methods over a collection: fetched once, drawn from by any seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.ids import KeyArray, point_ids, point_keys
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import DepthError, InputError, SupportError
from tsds_qdrant.neighbors.deepening import FIRST_DEPTH
from tsds_qdrant.neighbors.neighborhoods import Neighborhoods
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.representations.ngrams import HashedTexts, hashed, log_importance
from tsds_qdrant.strategies.baselines import (
    Baseline,
    Ranked,
    mean_example,
    nearest_to_any,
    round_robin,
    shares,
    weighted_order,
)
from tsds_qdrant.strategies.tsds.problem import Task

TEXT_PAGE = 1_000


@dataclass(frozen=True)
class TaskTexts:
    """What the method ``dsir`` reads.

    Attributes:
        texts: M texts of the task examples; empty where there are none.
        template: how the text of a candidate is made, where the collection does not tell.
    """

    texts: Sequence[str] = ()
    template: TextTemplate = field(default_factory=TextTemplate)


@dataclass(frozen=True)
class Ranking:
    """The candidates of one method.

    Attributes:
        keys: (c, 3) id keys: those chosen, best first, or all of the pool where chance decides.
        log_weights: (c,) of the chances; None where nothing is left to chance.
    """

    keys: KeyArray
    log_weights: FloatArray | None = None

    def rows(self, size: int, seed: int) -> IntArray:
        """(size,) rows of ``keys`` that are chosen, best first; small sizes are inside large."""
        if self.log_weights is None:
            return np.arange(size)
        return weighted_order(self.log_weights, self.keys, size, seed)

    def ids(self, rows: IntArray) -> list[PointId]:
        """The ids behind ``rows`` of ``keys``."""
        return point_ids(self.keys[rows])

    @property
    def probabilities(self) -> FloatArray | None:
        """(c,) chances of the first draw, sum 1; None where nothing is left to chance."""
        return None if self.log_weights is None else shares(self.log_weights)


def rank(task: Task, method: Baseline, size: int, words: TaskTexts) -> Ranking:
    """Rank the pool of ``task`` by ``method``, far enough to choose ``size``.

    Args:
        task: begun; its lists are deepened as far as the method needs them.
        method: one of ``BASELINES``.
        size: how many will be chosen at most.
        words: texts, for ``dsir``.

    Raises:
        SupportError: the pool is smaller than ``size``.
        InputError: ``dsir``, and task examples or candidates have no text.
        UnsupportedCollectionError: ``similarity-mean`` under Manhattan.
        DepthError: neighbour lists would not fit into memory.
    """
    searcher = task.neighborhoods.searcher
    if size > searcher.candidates:
        raise SupportError(
            f"{size} candidates are wanted but the pool has only {searcher.candidates}; "
            f"ask for at most {searcher.candidates}"
        )
    if method == "random":
        keys = _keys_of_pool(searcher)
        return Ranking(keys, np.zeros(len(keys)))
    if method == "dsir":
        return _by_words(task, words)
    neighborhoods = task.neighborhoods
    if method == "similarity-mean":
        metric = searcher.info.metric
        mean = mean_example(neighborhoods.queries, task.query_weights, metric)
        neighborhoods = Neighborhoods(searcher, mean)
        neighborhoods.deepen(np.array([0]), np.array([max(size, FIRST_DEPTH)]))
    candidates = _settled(neighborhoods, method, size)
    return Ranking(neighborhoods.index.keys[candidates])


def _settled(neighborhoods: Neighborhoods, method: Baseline, size: int) -> IntArray:
    """(size,) candidate numbers, best first; lists are deepened until the ranking is final."""
    while True:
        ranked = _ranked(neighborhoods, method, size)
        if not len(ranked.short):
            break
        try:
            neighborhoods.deepen(ranked.short, 2 * neighborhoods.depths[ranked.short])
        except DepthError as error:
            raise DepthError(
                f"the method '{method}' needs deeper neighbour lists for {size} candidates than "
                f"can be fetched ({error}); lower the size, or give fewer task examples"
            ) from None
    if len(ranked.candidates) < size:
        raise SupportError(
            f"{size} candidates are wanted but only {len(ranked.candidates)} have a vector "
            f"'{neighborhoods.searcher.info.vector}'; ask for at most as many"
        )
    return ranked.candidates


def _ranked(neighborhoods: Neighborhoods, method: Baseline, size: int) -> Ranked:
    if method == "round-robin":
        return round_robin(neighborhoods.lists, size)
    return nearest_to_any(neighborhoods.lists, neighborhoods.index.keys, size)


def _keys_of_pool(searcher: Searcher) -> KeyArray:
    pages = searcher.collection.scroll_ids(searcher.where)
    return np.concatenate([point_keys(page) for page in pages])


def _by_words(task: Task, words: TaskTexts) -> Ranking:
    lacking = _lacking(words.texts, len(task.query_weights))
    if lacking:
        raise InputError(
            f"the method 'dsir' compares words, and {lacking}; give records with texts as task "
            f"examples, or use another method"
        )
    keys, pool = _pool_texts(task.neighborhoods.searcher, words.template)
    scale = len(words.texts) * task.query_weights
    return Ranking(keys, log_importance(pool, hashed(words.texts), scale))


def _lacking(texts: Sequence[str], queries: int) -> str:
    """What is wrong with the texts of so many task examples; "" if nothing is."""
    if not any(texts):
        return "the task examples have no texts"
    if len(texts) != queries:
        return f"{queries} task examples have {len(texts)} texts"
    if not all(texts):
        return f"task example {[bool(text) for text in texts].index(False)} has no text"
    return ""


def _pool_texts(searcher: Searcher, template: TextTemplate) -> tuple[KeyArray, HashedTexts]:
    """Id keys (N, 3) and hashed texts of the whole pool, fetched page by page."""
    stored = searcher.info.metadata.get("text", {})
    if stored:
        template = TextTemplate.from_dict(stored)
    keys: list[KeyArray] = []
    parts: list[HashedTexts] = []
    done = 0
    for page in searcher.collection.scroll_ids(searcher.where):
        for start in range(0, len(page), TEXT_PAGE):
            texts, found = [], []
            for record in searcher.collection.retrieve(page[start : start + TEXT_PAGE]):
                try:
                    template = template.decide(record.content)
                    texts.append(template.render(record.content))
                except InputError as error:
                    raise InputError(
                        f"the method 'dsir' compares words, and point {record.id} of collection "
                        f"'{searcher.info.name}' has no text: {error}"
                    ) from None
                found.append(record.id)
            keys.append(point_keys(found))
            parts.append(hashed(texts))
            done += len(found)
            searcher.progress("texts", done, searcher.candidates)
    return np.concatenate(keys), HashedTexts.joined(parts)
