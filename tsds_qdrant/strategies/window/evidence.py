"""What a selection by windows says of the windows that it tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tsds_qdrant.strategies.curves import Curves
from tsds_qdrant.strategies.evidence import Evidence
from tsds_qdrant.strategies.window.order import Curve
from tsds_qdrant.strategies.window.ridge import first_ranks


@dataclass(frozen=True)
class WindowEvidence(Evidence):
    """The windows that were tried.

    Attributes:
        difficulty: the field.
        curve: their scores.
        ranked: candidates in the order.
        unranked: candidates without a difficulty, which are left out.
    """

    difficulty: str
    curve: Curve
    ranked: int
    unranked: int

    @property
    def ends(self) -> tuple[float, float]:
        """Where the window starts and ends, as shares of the order from the hardest.

        Within classes, each starts and ends at the candidate next to that.
        """
        counts, widths = np.array([self.ranked]), np.array([self.curve.width])
        begin = int(first_ranks(self.curve.start, widths, counts)[0])
        return begin / self.ranked, (begin + self.curve.width) / self.ranked

    def facts(self) -> dict[str, Any]:
        """The part ``window`` of the manifest."""
        start = self.curve.start
        return {
            "window": {
                "difficulty": self.difficulty,
                "start": start,
                "end": min(1.0, start + self.curve.width / self.ranked),
                "ranked": self.ranked,
                "unranked": self.unranked,
                "judged_by": self._judged_by,
                "curve": self._points,
            }
        }

    def figures(self) -> dict[str, Any]:
        """Where the window starts."""
        return {"window_start": self.curve.start}

    def in_words(self) -> list[str]:
        """The window, how it was chosen, and what is left out."""
        start, end = self.ends
        line = (
            f"window from {100 * start:.1f} % to {100 * end:.1f} % of {self.ranked} candidates by "
            f"'{self.difficulty}', the largest first"
        )
        if len(self.curve.scores) > 1:
            scores = self.curve.scores
            line += (
                f": {self._judged_by} {scores[self.curve.best]:.3f}, the best of {len(scores)} "
                f"windows (from {min(scores):.3f}, first {scores[0]:.3f}, last {scores[-1]:.3f})"
            )
        lines = [line]
        if self.unranked:
            lines.append(
                f"{self.unranked} candidates have no number in '{self.difficulty}' and are left out"
            )
        return lines

    def curves(self) -> tuple[Curves, ...]:
        """Score over the start of the window; none where one window was not judged."""
        if not self._points:
            return ()
        curve, judged_by = self.curve, self._judged_by
        pairs = tuple(zip(curve.starts, curve.scores, strict=True))
        return (
            Curves(
                "windows",
                "Which window was chosen",
                f"A ridge regression was fitted on each window of the order by "
                f"'{self.difficulty}', and judged by the task examples. The point marked is the "
                f"best window.",
                "start of the window, as a share of the order (the largest first)",
                judged_by,
                {judged_by: pairs},
                {judged_by: pairs[curve.best]},
            ),
        )

    @property
    def _points(self) -> list[list[float]]:
        """Start and score of each window; none where there is one, which is not judged."""
        pairs = zip(self.curve.starts, self.curve.scores, strict=True)
        return [list(pair) for pair in pairs] if len(self.curve.starts) > 1 else []

    @property
    def _judged_by(self) -> str:
        return "accuracy on the task" if self.curve.by_class else "share of the task given back"
