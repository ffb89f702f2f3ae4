"""Strategies by a score that a language model gave every candidate.

``perplexity``  the lowest, those around the median, or the highest (Yin, Rush 2024, arXiv
                2410.16208, whose code shuffles thirds; here the order is that of the score).
``ifd``         the highest instruction-following difficulty below 1 (Li et al. 2024, arXiv
                2308.12032): the prompt helps, and little; from 1 on it does not help.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Literal

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.ids import PointIndex
from tsds_qdrant.collections.reserved import MADE_FIELD
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import RequestRejectedError, SettingsError
from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.records.fields import number_at
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.strategies.base import Arrays
from tsds_qdrant.strategies.card import Card
from tsds_qdrant.strategies.lacking import Lack, nobody_has, tell_of
from tsds_qdrant.strategies.valued import ByValues, ValueKnowledge
from tsds_qdrant.strategies.wording import few_have
from tsds_qdrant.task.task import Task

Part = Literal["low", "middle", "high"]
PARTS: tuple[Part, ...] = ("low", "middle", "high")
PERPLEXITY = f"{MADE_FIELD}.hidden.perplexity"
IFD = f"{MADE_FIELD}.hidden.ifd"


class NumberKnowledge(ValueKnowledge):
    """The number that each candidate has in a payload field; those without are no candidates.

    Attributes:
        field: its path.
    """

    field = ""

    def read(self) -> None:
        """Number the candidates that have a number from scratch, in the order of their ids."""
        there = self.numbers_of_all()
        self.index, self._left = PointIndex(), set()
        for page in self.searcher.members.pages():
            self.index.numbers([one for one in page if one in there])
        self._values = self._filled(there)

    def update(self, came: Sequence[PointId], gone: Sequence[PointId]) -> RepairReport:
        """Take points out and in; it is said who has no number."""
        report = super().update(came, gone)
        self.warn()
        return report

    def warn(self) -> None:
        """Say how many candidates have no number."""
        lack = Lack("number", (self.field,), self.lacking)
        tell_of(self.searcher, [lack], self.searcher.members.count, "those cannot be selected")

    def having(self, ids: Sequence[PointId]) -> set[PointId]:
        """Which of the points ``ids`` have a number."""
        stored = self.searcher.collection.retrieve(ids, payloads=self._top)
        return {one.id for one in stored if not math.isnan(number_at(one.payload, self.field))}

    def learn(self) -> FloatArray:
        """The numbers of all candidates, read again."""
        return self._filled(self.numbers_of_all())

    def numbers_of_all(self) -> dict[PointId, float]:
        """Point -> its number: in the order of an index where there is one, else page by page."""
        searcher, collection = self.searcher, self.searcher.collection
        info, where = searcher.info, searcher.members.where
        mine = not is_server(info.location) and info.limits.writes
        with suppress(RequestRejectedError):
            if mine and self.field not in collection.info().payload_indexes:
                collection.index_payload(self.field, "float")
            pages = collection.scroll_ordered(self.field, where=where)
            return {i: float(value) for i, value in chain.from_iterable(pages)}
        found: dict[PointId, float] = {}
        for page in collection.scroll(self._top, where=where):
            numbers = ((one.id, number_at(one.payload, self.field)) for one in page)
            found |= {point_id: number for point_id, number in numbers if not math.isnan(number)}
        return found

    @property
    def _top(self) -> list[str]:
        return [self.field.partition(".")[0]]

    def _filled(self, there: Mapping[PointId, float]) -> FloatArray:
        ids = self.index.ids(range(len(self.index)))
        return np.array([there.get(one, np.nan) for one in ids], dtype=np.float64)


@dataclass(frozen=True)
class ByField(ByValues):
    """A ranking by the number in a payload field."""

    @property
    def field(self) -> str:
        """The path of the number."""
        raise NotImplementedError

    def begin(self, searcher: Searcher, task: Task) -> NumberKnowledge:
        """The numbers of the pool.

        Raises:
            InputError: no candidate has one.
        """
        known = NumberKnowledge(searcher, task.vectors, task.weights)
        known.field = self.field
        known.read()
        if not known.pool:
            raise nobody_has(searcher, [self.field], "a number", "--score")
        known.count()
        known.warn()
        return known

    def too_few(self, known: NumberKnowledge, there: int, size: int) -> str:
        """That some candidates have no number, where that is why."""
        if not known.lacking:
            return super().too_few(known, there, size)
        return few_have(f"a number in '{self.field}'", there, size)

    def resume(
        self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays
    ) -> NumberKnowledge:
        """Numbers as they were stored."""
        known: NumberKnowledge = NumberKnowledge.resume(searcher, facts, arrays)
        known.field = self.field
        return known


@dataclass(frozen=True)
class Perplexity(ByField):
    """Strategy perplexity

    Attributes:
        part: ``low``, ``middle`` or ``high``.
        score: payload field of the number.
    """

    name: ClassVar[str] = "perplexity"
    card: ClassVar[Card] = Card(
        idea="the lowest perplexity for a language model, that around the median, or the highest",
        paper="Yin, Rush 2024, arXiv 2410.16208",
        cost="one read of all numbers",
        features="perplexity for a language model",
        criterion="internal: perplexity",
        task_aware=False,
        trained_models=0,
        passes="forward",
        steps=2,
        model_free=False,
        dataset_free=True,
        needs_vectors=False,
        reads_all=True,
        needs="hidden",
        ranks=True,
    )
    value_name: ClassVar[str] = "perplexity"

    part: Part = setting("middle", "Which: low, middle (around the median) or high.")
    score: str = setting(PERPLEXITY, "Payload field of the number.", metavar="FIELD")

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise SettingsError(f"part is '{self.part}'; choose one of {', '.join(PARTS)}")

    @property
    def field(self) -> str:
        """As it was given."""
        return self.score

    def aim(self, values: FloatArray) -> str:
        """The part, and the median where that is its middle."""
        if self.part != "middle":
            return f"the {self.part}est"
        return f"those around the median {np.median(values):.4g}"

    def ordered(self, values: FloatArray) -> FloatArray:
        """By the value, or by the distance of its rank from the middle one."""
        if self.part == "low":
            return values
        if self.part == "high":
            return -values
        ascending = np.sort(values)
        first, last = (np.searchsorted(ascending, values, side=side) for side in ("left", "right"))
        return np.abs((first + last - 1) / 2.0 - (len(values) - 1) / 2.0)


@dataclass(frozen=True)
class Ifd(ByField):
    """Strategy ifd

    Attributes:
        score: payload field of the number.
    """

    name: ClassVar[str] = "ifd"
    card: ClassVar[Card] = Card(
        idea="the highest instruction-following difficulty below 1",
        paper="Li et al. 2024, arXiv 2308.12032",
        cost="one read of all numbers",
        features="losses of a language model with and without the prompt",
        criterion="internal: instruction-following difficulty",
        task_aware=False,
        trained_models=0,
        passes="forward",
        steps=2,
        model_free=False,
        dataset_free=True,
        needs_vectors=False,
        reads_all=True,
        needs="hidden",
        ranks=True,
    )
    value_name: ClassVar[str] = "IFD"

    score: str = setting(IFD, "Payload field of the number.", metavar="FIELD")

    @property
    def field(self) -> str:
        """As it was given."""
        return self.score

    def aim(self, values: FloatArray) -> str:
        """The highest that are allowed."""
        return "the highest below 1"

    def ordered(self, values: FloatArray) -> FloatArray:
        """The highest first; from 1 on they are left out."""
        return np.where(values < 1.0, -values, np.inf)

    def too_few(self, known: Any, there: int, size: int) -> str:
        """How many there are below 1."""
        if there == known.pool:
            return super().too_few(known, there, size)
        return (
            f"{size} candidates are wanted but only {there} of {known.pool} have an IFD below 1; "
            f"ask for at most {there}"
        )
