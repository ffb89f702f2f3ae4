"""What a strategy is asked about points of a run, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from tsds_qdrant.collections.values import Record

GENERAL = ("verdict", "rank")
"""Fields of reasons that explanations of every strategy have."""


@dataclass(frozen=True)
class Question:
    """Which points are to be explained, and what the answer needs.

    Attributes:
        records: the points, with payload and vector; none is filtered out, lacks a vector that can
            be compared, or was kept out as a copy of a test item.
        texts: number of a task example -> its text, where that is known.
        text_of: gives the text of a point.
        ranks: candidate -> its rank in the largest sample.
        searches: at most about how many searches the answer may cost.
        seed: of whatever the selection left to chance.
    """

    records: Sequence[Record]
    texts: Mapping[int, str]
    text_of: Callable[[Record], str]
    ranks: Mapping[int, int]
    searches: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Reasons:
    """Why a strategy prefers one point, or does not; here: nothing beside its rank.

    Attributes:
        verdict: for a point that could not be drawn, what became of it: one of ``VERDICTS``.
        rank: in the order of the whole pool, from 0, where the strategy knows that.
    """

    VERDICTS: ClassVar[Mapping[str, str]] = {}
    """The verdicts that the strategy can give, and their words after "not selected,"."""

    verdict: str = ""
    rank: int | None = None

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON, without those that every explanation has."""
        return {name: value for name, value in asdict(self).items() if name not in GENERAL}

    def in_words(self, *, arrived: bool = False) -> list[str]:
        """Lines for a person.

        Args:
            arrived: the point came after the selection, so no search can have missed it.
        """
        return []
