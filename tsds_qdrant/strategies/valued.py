"""What rankings have in common that give every candidate of the pool one value."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.ids import id_order
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.strategies.base import Arrays, Ask, Preference, Strategy
from tsds_qdrant.strategies.evidence import Evidence
from tsds_qdrant.strategies.pool_knowledge import PoolKnowledge
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.task.task import Task


class ValueKnowledge(PoolKnowledge):
    """All candidates that have a value, by number, and these values."""

    _values: FloatArray | None = None

    @abstractmethod
    def learn(self) -> FloatArray:
        """(n,) the values of all candidates by number; NaN for those that have none now."""

    @abstractmethod
    def having(self, ids: Sequence[PointId]) -> set[PointId]:
        """Which of the points ``ids`` have a value."""

    def count(self) -> None:
        """Have those that have a value count as the candidates that there are."""
        self.searcher.candidates = int(self.present.sum())

    @property
    def lacking(self) -> int:
        """Points that would be candidates if they had a value; 0 where that is not known."""
        return max(0, self.searcher.members.count - int(self.present.sum()))

    @property
    def values(self) -> FloatArray:
        """(n,) the value of each candidate seen; NaN where it has none."""
        if self._values is None:
            self._values = self.learn()
        return self._values

    @classmethod
    def resume(
        cls, searcher: Searcher, facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> Any:
        """The values as they were stored."""
        known = super().resume(searcher, facts, arrays)
        known._values = arrays["values"]
        return known

    def update(self, came: Sequence[PointId], gone: Sequence[PointId]) -> RepairReport:
        """Take points out and in; if there are any, all values are learnt again."""
        having = self.having(came) if came else set()
        without = [one for one in came if one not in having]
        report = super().update([one for one in came if one in having], [*gone, *without])
        if came or gone:
            self._values = None
        self.count()
        return replace(report, from_scratch=bool(came or gone))

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Keys and values of the pool."""
        values = self.values
        facts, arrays = super().stored()
        return facts, {**arrays, "values": values[self.present]}


@dataclass(frozen=True)
class ByValue(Reasons):
    """The value of a point, and that of the last one selected.

    Attributes:
        value: None for what was not looked at.
        last: of the last candidate of the largest sample; None where none was drawn.
        what: the value's name.
        aim: which values were asked for, in words; "" for the highest.
    """

    VERDICTS: ClassVar[Mapping[str, str]] = {
        "not preferred": "other candidates come first",
        "not read": "it had no value when the run read the pool",
    }

    value: float | None = None
    last: float | None = None
    what: str = "value"
    aim: str = ""

    def in_words(self, *, arrived: bool = False) -> list[str]:
        """Both values, and which were asked for."""
        if self.value is None:
            return []
        parts = [f"{self.what} {self.value:.4g}"]
        if self.aim:
            parts.append(f"{self.aim} come first")
        if self.last is not None:
            parts.append(f"the last one selected has {self.last:.4g}")
        return ["; ".join(parts)]


@dataclass(frozen=True)
class ValueEvidence(Evidence):
    """Which values were asked for, and which the first candidates in the order have.

    Attributes:
        what: the value's name.
        aim: in words.
        least, most: among the first candidates, as many as were asked for; None for nobody.
    """

    what: str
    aim: str
    least: float | None = None
    most: float | None = None

    def in_words(self) -> list[str]:
        """One line; none where nothing is to be said of the aim."""
        if not self.aim:
            return []
        line = f"by {self.what}: {self.aim}"
        if self.least is None:
            return [line]
        return [f"{line}; the first ones have {self.least:.4g} to {self.most:.4g}"]


@dataclass(frozen=True)
class ByValues(Strategy):
    """A ranking of the whole pool by one value of each candidate."""

    reasons: ClassVar[type[Reasons]] = ByValue
    value_name: ClassVar[str] = "value"

    @abstractmethod
    def begin(self, searcher: Searcher, task: Task) -> Any:
        """The ids of the pool; values are learnt when they are needed."""

    @abstractmethod
    def resume(self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays) -> Any:
        """The values as they were stored."""

    @abstractmethod
    def ordered(self, values: FloatArray) -> FloatArray:
        """(c,) what orders candidates of ``values`` (c,), the smallest first; inf: left out."""

    def aim(self, values: FloatArray) -> str:
        """Which of the ``values`` (c,) of all candidates come first, in words; "" if plain."""
        return ""

    def ranking(self, known: ValueKnowledge) -> IntArray:
        """(c,) candidates that can be drawn, best first; ties go by id."""
        candidates = known.candidates
        values = known.values[candidates]
        candidates = candidates[~np.isnan(values)]
        places = self.ordered(known.values[candidates])
        keys = known.index.keys[candidates]
        order = id_order(keys, places)
        found: IntArray = candidates[order][np.isfinite(places[order])]
        return found

    def prefer(self, known: ValueKnowledge, ask: Ask) -> Preference:
        """The ranking; the pool is known, so nothing is fetched but values that are not known."""
        ranking = self.ranking(known)
        size = len(ranking) if ask.whole else ask.reach or ask.size
        first = known.values[ranking[: ask.size]]
        least, most = (float(first.min()), float(first.max())) if len(first) else (None, None)
        evidence = ValueEvidence(self.value_name, self._aim(known), least, most)
        scores = known.values.copy()
        return Preference(ranking[:size], None, ordered=True, evidence=evidence, scores=scores)

    def _aim(self, known: ValueKnowledge) -> str:
        values = known.values[known.candidates]
        return self.aim(values[~np.isnan(values)])

    def explain(
        self, known: ValueKnowledge, preference: Preference, question: Question
    ) -> list[ByValue]:
        """The value of each point, and its rank in the whole pool."""
        values, ranks = known.values, np.full(len(known.index), -1, dtype=np.int64)
        ranking, drawn = self.ranking(known), question.ranks
        ranks[ranking] = np.arange(len(ranking))
        last = float(values[max(drawn, key=lambda one: drawn[one])]) if drawn else None
        aim, found = self._aim(known), []
        preferred = set(preference.candidates.tolist())
        for number in known.index.lookup([one.id for one in question.records]).tolist():
            if number < 0 or np.isnan(values[number]):
                found.append(ByValue("not read"))
                continue
            found.append(
                ByValue(
                    "" if number in preferred else "not preferred",
                    rank=int(ranks[number]) if ranks[number] >= 0 else None,
                    value=float(values[number]),
                    last=last,
                    what=self.value_name,
                    aim=aim,
                )
            )
        return found
