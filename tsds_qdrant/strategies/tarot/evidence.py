"""What a selection by TAROT rests on: layers or folds, and how far it is from the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tsds_qdrant.arrays import IntArray
from tsds_qdrant.strategies.curves import Curves
from tsds_qdrant.strategies.evidence import Evidence
from tsds_qdrant.strategies.tarot.exact import Transport
from tsds_qdrant.strategies.tarot.folds import Fold


@dataclass(frozen=True)
class TarotEvidence(Evidence):
    """Layers or folds, and the transport distance of what they gave.

    Attributes:
        size: how many candidates the figures are of: the first ones.
        candidates: in the pool.
        depths: (M,) how many nearest candidates of each task example were looked at.
        layers: how many layers these are in; 0 where folds chose.
        folds: that chose; empty where a size was given.
        transport: between the candidates, evenly weighted, and all task examples; None as long as
            it is not computed.
        nearest: mean distance from a task example to the nearest of them.
        repeats: how often the rows count in all, where they count several times; else None.
    """

    size: int
    candidates: int
    depths: IntArray
    layers: int = 0
    folds: tuple[Fold, ...] = ()
    transport: Transport | None = None
    nearest: float | None = None
    repeats: int | None = None

    def facts(self) -> dict[str, Any]:
        """The part ``transport`` of the manifest."""
        moved = self.transport
        told: dict[str, Any] = {
            "size": self.size,
            "ratio": self.size / self.candidates,
            "distance": None if moved is None else moved.value,
            "exact": None if moved is None else moved.exact,
            "converged": None if moved is None else moved.converged,
            "nearest_distance": self.nearest,
        }
        if self.layers:
            told["layers"] = self.layers
        if self.folds:
            told["folds"] = [fold.facts() for fold in self.folds]
        if self.repeats is not None:
            told["rows_with_repeats"] = self.repeats
        return {"transport": told}

    def figures(self) -> dict[str, Any]:
        """How many, and their transport distance."""
        distance = None if self.transport is None else self.transport.value
        return {"support": self.size, "transport_distance": distance}

    def terms(self) -> dict[str, Any]:
        """Layers or folds, as in the manifest."""
        told = self.facts()["transport"]
        return {name: told[name] for name in ("layers", "folds", "distance") if name in told}

    def in_words(self) -> list[str]:
        """What was chosen, and how far it is from the task."""
        lines = []
        if self.folds:
            nearest = [fold.chosen.nearest for fold in self.folds if fold.chosen]
            few, many = min(nearest), max(nearest)
            each = f"{few}" if few == many else f"{few} to {many}"
            lines.append(
                f"{len(self.folds)} folds of the task examples chose the {each} nearest of each: "
                f"{self.size} candidates, {self.size / self.candidates:.2%} of the pool"
            )
        elif self.layers:
            lines.append(f"{self.size} candidates in {self.layers} layers of nearest candidates")
        if self.transport is not None and self.nearest is not None:
            sure = "" if self.transport.exact else " (entropic)"
            if not self.transport.converged:
                sure = " (entropic, not converged)"
            lines.append(
                f"transport distance to the task {self.transport.value:.4f}{sure}, mean distance "
                f"from a task example to the nearest of them {self.nearest:.4f}"
            )
        return lines

    def curves(self) -> tuple[Curves, ...]:
        """Distance over k, a line for each fold."""
        if not self.folds:
            return ()
        named = {f"fold {number}": fold for number, fold in enumerate(self.folds) if fold.steps}
        return (
            Curves(
                "folds",
                "How many candidates the folds chose",
                "Each fold of the task examples took its k nearest candidates; the line is their "
                "transport distance to the other task examples. It was followed until it no "
                "longer fell, and the point marked was chosen. The selection is what all folds "
                "chose together.",
                "k: nearest candidates of each task example",
                "transport distance to the others",
                {
                    name: tuple((float(step.nearest), step.distance) for step in fold.steps)
                    for name, fold in named.items()
                },
                {
                    name: (float(fold.chosen.nearest), fold.chosen.distance)
                    for name, fold in named.items()
                    if fold.chosen
                },
            ),
        )
