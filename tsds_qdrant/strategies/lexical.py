"""BM25: the candidates whose words score highest against those of the task.

The score is the mean over the sub-tasks of BM25 with the words of a sub-task (Yin, Rush 2024, arXiv
2410.16208, section on lexicon-based selection). A mean of BM25 scores is the score of the mean of
counts, so one sparse search gives it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.ids import PointIndex
from tsds_qdrant.collections.limits import check_depth
from tsds_qdrant.collections.matching import matching
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Filter, PointId
from tsds_qdrant.errors import InputError, UnsupportedCollectionError
from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.representations.base import Shown
from tsds_qdrant.represented.advice import first_command
from tsds_qdrant.represented.marks import all_kept, described
from tsds_qdrant.represented.opening import Here, Opened
from tsds_qdrant.represented.whole import check_whole
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.sparse import SparseRows
from tsds_qdrant.strategies.base import Arrays
from tsds_qdrant.strategies.card import Card
from tsds_qdrant.strategies.valued import ByValues, ValueKnowledge
from tsds_qdrant.strategies.wording import few_have
from tsds_qdrant.task.task import Task, members_of

KIND = "bm25"


class TermKnowledge(ValueKnowledge):
    """Scores of the whole pool; the inverse document frequencies in them are those of now.

    Attributes:
        vector: name of the sparse vectors.
        texts: M texts of the task examples.
        groups: M sub-tasks; empty where there is one.
    """

    vector = ""
    texts: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def view(self) -> Collection:
        """The collection with the sparse vectors searched."""
        return self.searcher.collection.at(self.vector)

    @property
    def where(self) -> Filter | None:
        """What makes a point a candidate: it has words too."""
        return joined(self.searcher.members.where, {"has_vector": self.vector})

    def read(self) -> None:
        """Number the pool from scratch, in the order of its ids."""
        self.index, self._left = PointIndex(), set()
        outside = self.searcher.members.outside
        for page in self.searcher.collection.scroll_ids(self.where):
            self.index.numbers([one for one in page if one not in outside])

    def update(self, came: Sequence[PointId], gone: Sequence[PointId]) -> RepairReport:
        """Take points out and in; it is said how many have no words."""
        self.check()
        return super().update(came, gone)

    def check(self) -> None:
        """Check that the words of all candidates were counted in one way.

        Raises:
            CollectionMismatchError: see :func:`~tsds_qdrant.represented.whole.check_whole`.
        """
        view = self.view
        check_whole(view, described(view), self.searcher.where)

    def having(self, ids: Sequence[PointId]) -> set[PointId]:
        """Which of the points ``ids`` have words."""
        return matching(self.searcher.collection, self.where, ids)

    def learn(self) -> FloatArray:
        """Scores of all candidates, by one sparse search; 0 for those that share no word."""
        values = np.full(len(self.index), np.nan)
        values[self.present] = 0.0
        query, most = self.query(), max(1, int(self.present.sum()))
        check_depth(most, self.searcher.info.limits, self.where, self.searcher.info.name)
        hits = self.view.search_sparse(query, limit=most, where=self.where)
        numbers = self.index.lookup(hits.ids)
        seen = numbers >= 0
        values[numbers[seen]] = hits.scores[seen]
        return values

    def query(self) -> SparseRows:
        """The mean over the sub-tasks of the mean counts of their texts."""
        view = self.view
        made = Opened(view, described(view), Here())
        rows = made.queries([Shown(text) for text in self.texts]).rows
        assert isinstance(rows, SparseRows)
        members = members_of(self.groups, len(self.texts))
        shares = np.empty(len(self.texts))
        for own in members.values():
            shares[own] = self.query_weights[own] / self.query_weights[own].sum() / len(members)
        scaled = rows.values * np.repeat(shares * len(rows), rows.lengths).astype(np.float32)
        return replace(rows, values=scaled).mean()

    def retarget(self, task: Task) -> None:
        """Take other task examples."""
        check_texts(task)
        super().retarget(task)
        self.texts, self.groups, self._values = task.texts, task.groups, None

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """As of values, and what makes the query."""
        facts, arrays = super().stored()
        own = {"texts": list(self.texts), "groups": list(self.groups), "vector": self.vector}
        return {**facts, **own}, arrays


def check_texts(task: Task) -> None:
    """Check that all task examples have texts.

    Raises:
        InputError: one has none.
    """
    if len(task.texts) == len(task.vectors) and all(task.texts):
        return
    what = "the task examples have no texts"
    if any(task.texts):
        number = [*map(bool, task.texts), False].index(False)
        what = f"task example {number} has no text"
    raise InputError(
        f"the strategy 'bm25' compares words, and {what}; give records with texts as task "
        f"examples, or use another strategy"
    )


def words_of(collection: Collection, wanted: str | None) -> str:
    """The name of the sparse vectors that ``represent bm25`` made.

    Raises:
        UnsupportedCollectionError: there are none, or several and none is ``wanted``, or these are
            others.
    """
    info = described(collection)
    spaces, kept = collection.spaces, all_kept(info)
    found = [
        name
        for name, one in sorted(kept.items())
        if one.kind == KIND and name in spaces and spaces[name].kind == "sparse"
    ]
    if wanted is not None and wanted not in found:
        raise UnsupportedCollectionError(
            f"'{wanted}' of collection '{info.name}' is not of 'represent bm25'; "
            f"{'name ' + ' or '.join(found) if found else 'make some'}"
        )
    if len(found) != 1 and wanted is None:
        several = f"several vectors of words, {', '.join(found)}; choose one with --words"
        none = f"no vectors of words; make them: {first_command(info, KIND)}"
        raise UnsupportedCollectionError(
            f"collection '{info.name}' has {several if found else none}"
        )
    return wanted or found[0]


@dataclass(frozen=True)
class Bm25(ByValues):
    """Strategy bm25

    Attributes:
        words: name of the sparse vectors.
    """

    name: ClassVar[str] = "bm25"
    card: ClassVar[Card] = Card(
        idea="the candidates whose words score highest against those of the task",
        paper="Robertson, Zaragoza 2009; Yin, Rush 2024, arXiv 2410.16208",
        cost="one sparse search, and one read of all ids; again whenever the pool changes",
        features="lexical indicators",
        criterion="external: BM25 with the texts of the task",
        task_aware=True,
        trained_models=0,
        passes="none",
        steps=2,
        model_free=True,
        dataset_free=True,
        needs_vectors=False,
        needs_texts=True,
        reads_all=True,
        needs=KIND,
        ranks=True,
    )
    value_name: ClassVar[str] = "BM25"

    words: str | None = setting(
        None, "Vectors of 'represent bm25', if there are several.", metavar="NAME"
    )

    def begin(self, searcher: Searcher, task: Task) -> TermKnowledge:
        """The ids of the pool; scores are asked for when they are needed.

        Raises:
            UnsupportedCollectionError: see :func:`words_of`.
            InputError: a task example has no text, or no candidate has words.
        """
        check_texts(task)
        known = TermKnowledge(searcher, task.vectors, task.weights)
        known.vector = words_of(searcher.collection, self.words)
        known.texts, known.groups = task.texts, task.groups
        known.check()
        known.read()
        if not known.pool:
            raise InputError(
                f"no candidate of collection '{searcher.info.name}' has vectors '{known.vector}'; "
                f"make them with 'represent bm25', or change --filter"
            )
        known.count()
        return known

    def resume(self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays) -> TermKnowledge:
        """Scores as they were stored."""
        known: TermKnowledge = TermKnowledge.resume(searcher, facts, arrays)
        known.vector = facts["vector"]
        known.texts, known.groups = tuple(facts["texts"]), tuple(facts["groups"])
        return known

    def too_few(self, known: TermKnowledge, there: int, size: int) -> str:
        """That some candidates have no words, where that is why."""
        if not known.lacking:
            return super().too_few(known, there, size)
        return few_have(f"a vector '{known.vector}'", there, size)

    def ordered(self, values: FloatArray) -> FloatArray:
        """The highest first."""
        return -values
