"""What was estimated of sources: a table, and what it says of a selection or of a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from tsds_qdrant.strategies.evidence import Evidence
from tsds_qdrant.strategies.gradex.choosing import Choice
from tsds_qdrant.strategies.gradex.labels import names_in_words
from tsds_qdrant.strategies.reasons import Reasons


@dataclass(frozen=True)
class Judged:
    """The sources in the order of preference.

    Attributes:
        names: of all sources; the chosen ones come first.
        chosen: how many were.
        scores: of each, in that order: the estimated loss of the task with it alone (greedy), or
            the mean over the random subsets that it was part of (ensemble); None where it was in
            none.
        counts: candidates of each.
        curve: estimated losses: with none, and as the chosen ones were added.
        facts: what else there is to be said, for the manifest.
    """

    names: tuple[str, ...]
    chosen: int
    scores: tuple[float | None, ...]
    counts: tuple[int, ...]
    curve: tuple[float, ...]
    facts: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        choice: Choice,
        names: Sequence[str],
        counts: Sequence[int],
        solved: int,
        margins_known: tuple[bool, bool],
    ) -> Judged:
        """By ``choice`` among ``names``; whether margins of task and candidates are known."""
        scores = [choice.scores[one] for one in choice.order]
        return cls(
            tuple(names[one] for one in choice.order),
            choice.chosen,
            tuple(float(one) if np.isfinite(one) else None for one in scores),
            tuple(counts[one] for one in choice.order),
            choice.curve,
            {
                "choice": "ensemble" if "subsets" in choice.facts else "greedy",
                **choice.facts,
                "estimates": solved,
                "margins": "known" if all(margins_known) else "taken as 0",
            },
        )

    def stored(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def restored(cls, stored: Mapping[str, Any]) -> Judged:
        """What :meth:`stored` gave.

        Raises:
            KeyError: a part is missing.
        """
        return cls(
            tuple(stored["names"]),
            stored["chosen"],
            tuple(stored["scores"]),
            tuple(stored["counts"]),
            tuple(stored["curve"]),
            stored["facts"],
        )


@dataclass(frozen=True)
class SourceEvidence(Evidence):
    """What was estimated of the sources.

    Attributes:
        judged: all of it.
        wanted: how many candidates were asked for.
    """

    judged: Judged
    wanted: int = 0

    @property
    def held(self) -> int:
        """How many candidates the chosen sources hold."""
        return sum(self.judged.counts[: self.judged.chosen])

    def facts(self) -> dict[str, Any]:
        """The part ``sources`` of the manifest."""
        judged = self.judged
        listed = zip(judged.names, judged.scores, judged.counts, strict=True)
        table = [
            {"source": name, "chosen": rank < judged.chosen, "score": score, "candidates": count}
            for rank, (name, score, count) in enumerate(listed)
        ]
        return {"sources": {**judged.facts, "losses": list(judged.curve), "table": table}}

    def figures(self) -> dict[str, Any]:
        """Which sources were chosen."""
        return {"sources": list(self.judged.names[: self.judged.chosen])}

    def in_words(self) -> list[str]:
        """The chosen sources, the estimated losses, and what to mind."""
        judged = self.judged
        names = names_in_words(judged.names[: judged.chosen])
        lines = [
            f"{judged.chosen} of {len(judged.names)} sources chosen ({names}): estimated loss of "
            f"the task {judged.curve[-1]:.4g}, before training {judged.curve[0]:.4g}"
        ]
        if judged.curve[-1] >= judged.curve[0]:
            lines.append("no chosen source is estimated to lower the loss of the task")
        if judged.facts["margins"] != "known":
            lines.append("margins of candidates or task examples are not known and were taken as 0")
        if self.wanted > self.held:
            lines.append(
                f"the chosen sources hold {self.held} candidates; {self.wanted - self.held} more "
                f"come from the next best ones"
            )
        return lines


@dataclass(frozen=True)
class BySource(Reasons):
    """What was estimated of a point's source, and of the point.

    Attributes:
        source: its name, "" for none; None for what is no candidate.
        source_rank: among the sources, from 0.
        source_chosen: whether it was chosen.
        source_score: its estimated loss; None where there is none.
        gain: by how much the loss falls in proportion to a small step on the point alone.
    """

    VERDICTS: ClassVar = {
        "not preferred": "other sources, or candidates of its own, come before it",
        "not read": "it was not in the pool when the run read it",
    }

    source: str | None = None
    source_rank: int | None = None
    source_chosen: bool = False
    source_score: float | None = None
    gain: float | None = None

    def in_words(self, *, arrived: bool = False) -> list[str]:
        """Both."""
        if self.source is None or self.source_rank is None:
            return []
        chosen = "chosen" if self.source_chosen else "not chosen"
        score = "" if self.source_score is None else f", estimated loss {self.source_score:.4g}"
        lines = [
            f"source {self.source or '(none)'}: number {self.source_rank + 1} of the order, "
            f"{chosen}{score}"
        ]
        return lines if self.gain is None else [*lines, f"gain by the point alone {self.gain:.4g}"]
