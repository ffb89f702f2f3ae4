"""What a datamodel says of a selection, and of single points."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.strategies.dsdm.knowledge import DatamodelKnowledge
from tsds_qdrant.strategies.evidence import Evidence
from tsds_qdrant.strategies.reasons import Reasons

LARGE = 1e5
"""A condition number by which the rounding of float32 grows to about a hundredth."""


def _above(number: float) -> float:
    """``number`` rounded up to one digit."""
    unit = 10.0 ** math.floor(math.log10(number))
    return math.ceil(number / unit) * unit


@dataclass(frozen=True)
class DatamodelEvidence(Evidence):
    """The kernel that candidates were judged by, and what they are predicted to add.

    Attributes:
        scores: (n,) tau of the candidates that were looked at; NaN of the others.
        objective: ``loss`` of the task, which tau lowers, or its ``margin``, which it raises.
        kernel: facts of the kernel, for the manifest.
    """

    scores: FloatArray
    objective: str
    kernel: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, known: DatamodelKnowledge, scores: FloatArray, ridge: float) -> DatamodelEvidence:
        """Of what is known once candidates were looked for."""
        kernel = known.kernel
        assert kernel is not None
        facts = {
            "version": kernel.version,
            "points": kernel.points,
            "summed": kernel.summed,
            "products": "float32" if kernel.rough else "float64",
            "checkpoints": kernel.blocks,
            "ridge": ridge,
            "lambda": kernel.lambdas(ridge).tolist(),
            "condition_at_most": kernel.condition(ridge),
            "changed_since": known.changed_share,
        }
        return cls(scores, known.objective, facts)

    def facts(self) -> dict[str, Any]:
        """The part ``datamodel`` of the manifest."""
        return {"datamodel": {"objective": self.objective, "kernel": self.kernel}}

    def of_sample(self, candidates: IntArray) -> dict[str, Any]:
        """What training on ``candidates`` is predicted to change, up to a constant and a scale."""
        total = float(np.sum(self.scores[candidates]))
        if self.objective == "margin":
            return {"predicted_margin_change": total}
        return {"predicted_loss_change": -total}

    def figures(self) -> dict[str, Any]:
        """Which kernel it was."""
        return {"kernel": self.kernel["version"], "changed_since": self.kernel["changed_since"]}

    def in_words(self) -> list[str]:
        """The kernel, and how much has changed since it was summed."""
        kernel = self.kernel
        sampled = "" if kernel["summed"] == kernel["points"] else f" (from {kernel['summed']})"
        line = (
            f"datamodel of the {self.objective}: kernel {kernel['version']} of {kernel['points']} "
            f"candidates{sampled}, condition number at most {kernel['condition_at_most']:.3g}"
        )
        if kernel["changed_since"]:
            line += f", of which {kernel['changed_since']:.1%} have changed since it was summed"
        if kernel["condition_at_most"] <= LARGE:
            return [line]
        enough = kernel["ridge"] * kernel["condition_at_most"] / LARGE
        return [
            line,
            f"with a condition number that large scores may fit noise and rounding: raise --ridge, "
            f"to {_above(enough):g} say",
        ]


@dataclass(frozen=True)
class ByDatamodel(Reasons):
    """What training on a point is predicted to add to the target.

    Attributes:
        adds: to the loss of the task (below 0 is better); None for what is no candidate.
        last: the same of the last candidate of the largest sample; None where none was drawn.
        objective: ``loss``, or ``margin``, whose sign is turned.
    """

    VERDICTS: ClassVar = {
        "not preferred": "others are predicted to lower the loss more",
        "not read": "it was not in the pool when the run read it",
    }

    adds: float | None = None
    last: float | None = None
    objective: str = "loss"

    def in_words(self, *, arrived: bool = False) -> list[str]:
        """Both numbers."""
        if self.adds is None:
            return []
        what = "minus the margin" if self.objective == "margin" else "the loss"
        line = f"predicted to add {self.adds:.4g} to {what} of the task"
        return [line if self.last is None else f"{line}; the last one selected, {self.last:.4g}"]
