"""Best window selection: one stretch of an order by difficulty."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.strategies.base import Arrays, Ask, Preference, Strategy
from tsds_qdrant.strategies.card import Card
from tsds_qdrant.strategies.lacking import nobody_has
from tsds_qdrant.strategies.pool_fields import HIDDEN, Looked
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.strategies.window.evidence import WindowEvidence
from tsds_qdrant.strategies.window.knowledge import Judging, WindowKnowledge
from tsds_qdrant.strategies.window.ridge import PENALTY, STEP
from tsds_qdrant.strategies.wording import few_have, too_few
from tsds_qdrant.task.task import Task

DIFFICULTY = f"{HIDDEN}.loss"


@dataclass(frozen=True)
class ByWindow(Reasons):
    """Where a point stands in the order by difficulty.

    Attributes:
        difficulty: its number; None where it has none.
        place: share of the candidates of its class that are harder.
        window: where the window starts and ends, as such shares.
    """

    VERDICTS: ClassVar = {
        "not read": "it was not in the pool when the run read it",
        "no difficulty": "it has no number in the field that the order goes by",
    }

    difficulty: float | None = None
    place: float | None = None
    window: tuple[float, float] | None = None

    def in_words(self, *, arrived: bool = False) -> list[str]:
        """The place, and the window."""
        if self.place is None or self.window is None:
            return []
        start, end = self.window
        return [
            f"difficulty {self.difficulty:.4g}: {100 * self.place:.1f} % are harder; the window "
            f"goes from {100 * start:.1f} % to {100 * end:.1f} %"
        ]


@dataclass(frozen=True)
class Window(Strategy):
    """Strategy window

    Attributes:
        difficulty: payload field with a number, the larger the harder.
        classes: payload field; windows are taken within each of its values.
        width: of the window as a share of the order; by default the size says it.
        step: from one window to the next.
        penalty: of the ridge regression that judges windows.
    """

    name: ClassVar[str] = "window"
    card: ClassVar[Card] = Card(
        idea="one window of an order by difficulty, the one from which the task is learnt best",
        paper="Choi, Ki, Chung, ICML 2024, arXiv 2406.03057",
        cost="one read of a field and the vectors of the pool, and a ridge regression per window",
        features="loss, or any number; embeddings",
        criterion="internal: the score of a linear model on the task",
        task_aware=True,
        trained_models=0,
        passes="forward",
        steps=3,
        model_free=False,
        dataset_free=True,
        fields=((DIFFICULTY,),),
        reads_all=True,
    )
    reasons: ClassVar[type[Reasons]] = ByWindow

    difficulty: str = setting(
        DIFFICULTY, f"Field with a number, the larger the harder ({DIFFICULTY}).", metavar="FIELD"
    )
    classes: str | None = setting(
        None, "Take the window within each value of this field.", metavar="FIELD"
    )
    width: float | None = setting(
        None, "Width of the window, as a share of the pool; else as the size.", metavar="SHARE"
    )
    step: float = setting(STEP, "From one window to the next, as a share.", hidden=True)
    penalty: float = setting(PENALTY, "Of the ridge regression.", "--ridge-penalty", hidden=True)

    def __post_init__(self) -> None:
        if self.width is not None and not 0 < self.width <= 1:
            raise SettingsError(f"width is {self.width}; choose a share above 0, up to 1")
        if not 0 < self.step <= 1:
            raise SettingsError(f"step is {self.step}; choose a share above 0, up to 1")
        if not 0 < self.penalty < math.inf:
            raise SettingsError(f"the ridge penalty is {self.penalty}; it must be positive")

    @property
    def _looked(self) -> Looked:
        return Looked((self.difficulty,), self.classes or "")

    def begin(self, searcher: Searcher, task: Task) -> WindowKnowledge:
        """The difficulties of the pool.

        Raises:
            InputError: no candidate has one, or a class.
        """
        known: WindowKnowledge = WindowKnowledge.looking(searcher, task, self._looked)
        if not len(known.ranked):
            raise nobody_has(searcher, [self.difficulty], "a number", "--difficulty")
        if self.classes and not (known.labels != "").any():
            raise nobody_has(searcher, [self.classes], "a value", "--classes")
        known.warn()
        return known

    def resume(self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays) -> Any:
        """The same as it was stored."""
        known: WindowKnowledge = WindowKnowledge.resume_looking(
            searcher, facts, arrays, self._looked
        )
        known.resume_curves(facts["curves"])
        return known

    def prefer(self, known: WindowKnowledge, ask: Ask) -> Preference:
        """From the middle of the best window outwards."""
        ordered = known.ordered
        there = ordered.count
        width = ask.size or ask.reach or there
        if self.width is not None:
            width = math.ceil(self.width * there - 1e-9)
        width = max(1, min(width, there))
        curve = known.curve(width, Judging(self.step, self.penalty))
        size = there if ask.whole else ask.reach or ask.size
        order = ordered.candidates[ordered.from_middle(curve.start, width)]
        evidence = WindowEvidence(self.difficulty, curve, there, known.pool - there)
        return Preference(order[:size], None, ordered=True, evidence=evidence)

    def too_few(self, known: WindowKnowledge, there: int, size: int) -> str:
        """That some candidates have no difficulty, where that is why."""
        if there == known.pool:
            return too_few(known, there, size)
        return few_have(f"a number in '{self.difficulty}'", there, size)

    def explain(
        self, known: WindowKnowledge, preference: Preference, question: Question
    ) -> list[ByWindow]:
        """Where each point stands in the order, and the window."""
        evidence, ordered = preference.evidence, known.ordered
        assert isinstance(evidence, WindowEvidence)
        curve = evidence.curve
        out = ordered.from_middle(curve.start, curve.width)
        rank = np.full(len(known.index), -1, dtype=np.int64)
        rank[ordered.candidates[out]] = np.arange(len(out))
        place = np.full(len(known.index), np.nan)
        place[ordered.candidates] = ordered.ranks / ordered.counts[ordered.classes]
        ends = np.full((len(known.index), 2), np.nan)
        ends[ordered.candidates] = ordered.ends(curve.start, curve.width).T[ordered.classes]
        numbers, there = known.numbers_of(self.difficulty), set(known.candidates.tolist())
        found = []
        for number in known.index.lookup([record.id for record in question.records]).tolist():
            if number not in there:
                found.append(ByWindow("not read"))
            elif rank[number] < 0:
                found.append(ByWindow("no difficulty"))
            else:
                where = float(place[number])
                score = float(numbers[number])
                start, end = ends[number].tolist()
                found.append(ByWindow("", int(rank[number]), score, where, (start, end)))
        return found
