"""What every strategy is: settings, what it needs, and how it comes to a preference.

It is asked, by :mod:`tsds_qdrant.selection.select`, for more and more until the sample within
guards and bounds is full; it never draws, and never looks at test items, quotas or budgets itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.representations.base import Way
from tsds_qdrant.settings.fields import changed
from tsds_qdrant.solver.spread import PLAIN, Spread
from tsds_qdrant.strategies.card import Card
from tsds_qdrant.strategies.evidence import Evidence
from tsds_qdrant.strategies.likeness import Likeness
from tsds_qdrant.strategies.reasons import Question, Reasons
from tsds_qdrant.strategies.wording import too_few
from tsds_qdrant.task.task import Task

Arrays = Mapping[str, npt.NDArray[Any]]
Clean = Callable[[IntArray], bool]
"""Excludes what of some candidates copies a test item, and says whether anything does."""


@dataclass(frozen=True)
class Ask:
    """What a strategy is asked for.

    Attributes:
        size: how many will be drawn; 0 where none are, or a budget says how many.
        reach: how many candidates there must be to choose from; None: as the size asks for.
        whole: the whole pool.
        own: as many as the strategy chooses; ``reach`` may ask for more beside these.
        spread: how far p must spread for ``size``, where a sampler draws by p.
        seed: of whatever is left to chance.
    """

    size: int
    reach: int | None = None
    whole: bool = False
    seed: int = 0
    own: bool = False
    spread: Spread = PLAIN


@dataclass(frozen=True)
class Preference:
    """Which candidates a task prefers, by their numbers in the knowledge's index.

    Attributes:
        candidates: (c,) those that can be drawn: in order of their numbers where they have
            probabilities to be drawn by, else best first.
        probabilities: (n,) p of the n candidates seen, sum at most 1; None where nothing is left
            to chance.
        ordered: the candidates are an order already, and are not drawn by p.
        reached: there may be more where more is asked for.
        evidence: what it rests on.
        nearest: (n,) number of the nearest task example of each (-1: not known), and (n,) its
            distance; None where they are still to be measured.
        scores: (n,) by which they are ordered, NaN where not known; None where there are none.
        size: how many of them the strategy chose, where it was asked to.
        weights: (c,) how often each counts where it is drawn; None: once.
        drawn: (c,) the candidates in the order in which they are drawn; None where they come again,
            and as long as no sampler has looked.
    """

    candidates: IntArray
    probabilities: FloatArray | None
    ordered: bool
    reached: bool = True
    evidence: Evidence = field(default_factory=Evidence)
    nearest: tuple[IntArray, FloatArray] | None = None
    scores: FloatArray | None = None
    size: int | None = None
    weights: IntArray | None = None
    drawn: IntArray | None = None


@dataclass(frozen=True)
class Strategy(ABC):
    """A rule that says which candidates a task prefers; its fields are its settings.

    Attributes:
        name: in the catalogue.
        card: what the catalogue says of it.
        samples, has_chances: it gives probabilities, which a sampler draws from; or by itself.
        sizes_itself: it chooses how many where no size is given.
        any_length: under Dot it goes by products of any length, and rows by directions.
        reasons: what :meth:`explain` answers; without arguments for what is no candidate.
    """

    name: ClassVar[str]
    card: ClassVar[Card]
    samples: ClassVar[bool] = False
    has_chances: ClassVar[bool] = False
    sizes_itself: ClassVar[bool] = False
    any_length: ClassVar[bool] = False
    reasons: ClassVar[type[Reasons]] = Reasons

    @property
    def way(self) -> Way:
        """How vectors are made of task examples that are records."""
        return "targets"

    @property
    def follows_size(self) -> bool:
        """Whether how far it goes follows from the size that is asked for."""
        return True

    @property
    def repeats_rows(self) -> bool:
        """Whether some rows count more than once."""
        return False

    def check_near_duplicates(self) -> None:
        """Check that near-duplicates can be one group.

        Raises:
            SettingsError: they cannot; the message says what would do.
        """
        raise SettingsError(
            f"the strategy '{self.name}' does not know near-duplicates; name a payload field that "
            f"gives the group, or use the strategy tsds"
        )

    def check_sized(self) -> None:  # noqa: B027
        """Check that the settings go with a size, a ratio or a token budget.

        Raises:
            SettingsError: one of them says how much is selected without.
        """

    @abstractmethod
    def begin(self, searcher: Searcher, task: Task) -> Any:
        """What is known before anything is asked: the knowledge of ``task``.

        Raises:
            TsdsError: the task or the collection lacks what the strategy needs.
        """

    @abstractmethod
    def resume(self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays) -> Any:
        """Knowledge from what :meth:`~.known.Knowledge.stored` gave.

        Raises:
            KeyError: a part is missing.
        """

    def settle(self, known: Any, clean: Clean | None) -> None:  # noqa: B027
        """Settle what follows from the surroundings of the task, free of copies of test items."""

    def settled(self, facts: Mapping[str, Any], arrays: Arrays) -> dict[str, Any]:
        """Settings of a run for a person, from what :meth:`~.known.Knowledge.stored` gave."""
        return changed(self)

    @abstractmethod
    def prefer(self, known: Any, ask: Ask) -> Preference:
        """Which candidates the task prefers, fetching only what is not known yet.

        Raises:
            DepthError: neighbour lists would not fit into memory.
        """

    def sharpened(
        self, known: Any, preference: Preference, seed: int, before: Mapping[str, Any] | None
    ) -> bool:
        """Repeat searches where ``preference`` is less exact than was asked for.

        Returns:
            Whether any were, so that it is asked for again. Arguments: see :meth:`concluded`.
        """
        return False

    def concluded(
        self, known: Any, preference: Preference, seed: int, before: Mapping[str, Any] | None
    ) -> Preference:
        """``preference`` with its evidence complete.

        Args:
            known: what it rests on.
            preference: the last one asked for.
            seed: of samples that are measured.
            before: what :meth:`Evidence.stored` gave before a repair; None for a first selection.
        """
        return preference

    def likeness(self, known: Any, preference: Preference) -> Likeness:
        """How far the candidates of ``preference``, which has probabilities, stand for each other.

        Here each stands for itself.
        """
        assert preference.probabilities is not None
        return Likeness.none(preference.probabilities[preference.candidates])

    def near_duplicates(self, known: Any, candidates: IntArray) -> tuple[IntArray, float]:
        """(e, 2) pairs of places among ``candidates`` that are near-duplicates, and within what.

        Each pair stands there in both orders.
        """
        return np.empty((0, 2), dtype=np.int64), 0.0

    def more(self, known: Any, preference: Preference) -> str:
        """What a user can do to give bounds more to choose from; "" where they had it all."""
        return "" if len(preference.candidates) >= known.pool else "ask for more"

    def everything(self, known: Any) -> IntArray:
        """Numbers of all candidates there are.

        Raises:
            DepthError: there are more than can be fetched.
        """
        return self.prefer(known, Ask(known.pool, whole=True)).candidates

    def advice(self, known: Any, preference: Preference, size: int) -> str:
        """One sentence on a size beyond what can be drawn."""
        return self.too_few(known, len(preference.candidates), size)

    def too_few(self, known: Any, there: int, size: int) -> str:
        """One sentence on a size beyond the candidates that ``there`` are."""
        return too_few(known, there, size)

    @abstractmethod
    def explain(self, known: Any, preference: Preference, question: Question) -> Sequence[Reasons]:
        """Why each of the points of ``question`` is preferred, or is not; what is asked is kept.

        Args:
            known: what the preference rests on.
            preference: of the selection, concluded.
            question: the points, and what else the answer needs.
        """

    def with_settings(self, **changes: Any) -> Any:
        """The same strategy with other settings."""
        return replace(self, **changes)
