"""Strategies within a budget, side by side, the best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tsds_qdrant.errors import InputError
from tsds_qdrant.planning.budget_law import Law
from tsds_qdrant.planning.budget_passes import known_need
from tsds_qdrant.planning.budget_pool import Pool

Verdict = Literal["best", "worth it", "not worth it", "infeasible", "base line"]
BASE_LINE = "random"
ORDER: tuple[Verdict, ...] = ("best", "worth it", "base line", "not worth it", "infeasible")


@dataclass(frozen=True)
class Row:
    """One strategy within the budget.

    Attributes:
        strategy: or the name under which it was measured.
        choosing: FLOPs of choosing, the part of one task.
        training: FLOPs of training on what is affordable.
        size: n, how many candidates can be trained on; 0 where nothing is left.
        trainable: s, what is left of F as a share of a training on everything; below 0 where
            choosing alone takes more than F.
        spent: choosing as a share of F.
        verdict: in a word or two.
        reason: why, in a sentence.
        predicted: the score at that size; None where it was not measured.
    """

    strategy: str
    choosing: float
    training: float
    size: int
    trainable: float
    spent: float
    verdict: Verdict
    reason: str
    predicted: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For a machine to read."""
        return {
            "strategy": self.strategy,
            "selection_flops": self.choosing,
            "training_flops": self.training,
            "n": self.size,
            "trainable_share": self.trainable,
            "spent_on_choosing": self.spent,
            "predicted": self.predicted,
            "verdict": self.verdict,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Budget:
    """A plan.

    Attributes:
        total: F, in FLOPs.
        full: FLOPs of training on everything.
        pool: what is planned for.
        rows: best first.
        notes: sentences on what was assumed.
        laws: fitted curves by method.
    """

    total: float
    full: float
    pool: Pool
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    laws: Mapping[str, Law] = field(default_factory=dict)

    @property
    def best(self) -> Row | None:
        """The row that is recommended; None where nothing is feasible."""
        return next((row for row in self.rows if row.verdict == "best"), None)

    def as_dict(self) -> dict[str, Any]:
        """For a machine to read."""
        return {
            "flops": self.total,
            "full_training_flops": self.full,
            "budget_in_full_trainings": self.total / self.full,
            "pool": {
                "candidates": self.pool.candidates,
                "tokens": self.pool.tokens,
                "tokens_from": self.pool.tokens_from,
                "stored": dict(self.pool.stored),
            },
            "best": self.best and self.best.strategy,
            "strategies": [row.as_dict() for row in self.rows],
            "measured": {name: law.as_dict() for name, law in self.laws.items()},
            "notes": list(self.notes),
        }


def labels_of(laws: Mapping[str, Law], strategies: Sequence[str]) -> dict[str, str]:
    """Measured methods, each with the strategy that it is: of that name, or a variant of it.

    A variant has more words behind the name of the strategy, as in ``tsds-uniform``.

    Raises:
        InputError: a method is none of the strategies.
    """
    found = {}
    for label in laws:
        fitting = [name for name in strategies if f"{label}-".startswith(f"{name}-")]
        if not fitting:
            raise InputError(
                f"scores were measured of '{label}', which is no strategy here; name it as one of "
                f"{', '.join(strategies)}, or as a variant, like {strategies[0]}-mine"
            )
        found[label] = max(fitting, key=len)
    return found


def ranked(rows: Sequence[Row], based: Mapping[str, str], *, whole: bool) -> tuple[Row, ...]:
    """Best first: what was measured by its prediction, the rest by the rules.

    Where the budget pays for the ``whole`` pool and nothing was measured, choosing nothing is best.
    """
    floor = max((row.predicted or 0.0 for row in rows if row.strategy == BASE_LINE), default=0.0)
    weighed = [_against(row, floor) for row in rows]
    known = any(row.predicted is not None and row.strategy != BASE_LINE for row in weighed)

    def place(row: Row) -> tuple[int, float, int]:
        need = known_need(based[row.strategy]).place
        if known and row.predicted is not None and row.verdict != "not worth it":
            return 0, -row.predicted, need
        nothing_chosen = whole and not known and row.strategy == BASE_LINE
        return (0 if nothing_chosen else ORDER.index(row.verdict)), 0.0, need

    first, *others = sorted(weighed, key=place)
    chosen = first.verdict in ("worth it", "base line")
    return (replace(first, verdict="best") if chosen else first, *others)


def _against(row: Row, floor: float) -> Row:
    """The row, not worth it where it is predicted below chance."""
    if row.predicted is None or row.strategy == BASE_LINE or row.predicted >= floor:
        return row
    reason = f"predicted below {BASE_LINE} at the same budget; {row.reason}"
    return replace(row, verdict="not worth it", reason=reason)
