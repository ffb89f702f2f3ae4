"""Feasibility of selection methods, as the survey of Zhou et al. 2024 counts it (arXiv 2406.14115).

Simplicity counts what is to be done, flexibility what a selection is bound to; both are costs, and
the ranks of both (equal costs share one, and none is left out) are added and ranked once more.
The formula is that of the survey's page, whose authors corrected their figure once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tsds_qdrant.strategies.card import Card

MANY_MODELS = 100
"""Trained models above which all methods are equally far from simple."""
LEAST_SIMPLE = 200.0


@dataclass(frozen=True)
class Effort:
    """What a method takes.

    Attributes:
        trained_models: language models that are trained for it.
        steps: of the algorithm.
        model_free: one selection serves every model that is to be trained.
        dataset_free: nothing is trained or tuned on the pool or the task before.
        has_code: its code can be had.
        chat_free: it asks no model that is a service.
        model_weight: what one trained model counts, in steps.
    """

    trained_models: int
    steps: int
    model_free: bool
    dataset_free: bool
    has_code: bool = True
    chat_free: bool = True
    model_weight: float = 2.0

    @property
    def simplicity(self) -> float:
        """The lower, the simpler."""
        if self.trained_models > MANY_MODELS:
            return LEAST_SIMPLE
        return self.model_weight * self.trained_models + self.steps + (not self.has_code)

    @property
    def flexibility(self) -> int:
        """The lower, the more flexible."""
        return 3 * (not self.model_free) + 2 * (not self.dataset_free) + (not self.chat_free)


def effort_of(card: Card) -> Effort | None:
    """The effort that a strategy's card says; None where it leaves a term out."""
    known = (card.trained_models, card.steps, card.model_free, card.dataset_free)
    if any(term is None for term in known):
        return None
    return Effort(*known)  # type: ignore[arg-type]


def feasibility(efforts: Mapping[str, Effort]) -> dict[str, int]:
    """Ranks from 1, the most feasible, of methods by name."""
    simple = dense_ranks([one.simplicity for one in efforts.values()])
    flexible = dense_ranks([one.flexibility for one in efforts.values()])
    sums = [one + other for one, other in zip(simple, flexible, strict=True)]
    return dict(zip(efforts, dense_ranks(sums), strict=True))


def dense_ranks(costs: Sequence[float]) -> list[int]:
    """Ranks from 1 of the lowest on; equal costs share one, and none is left out."""
    places = {cost: rank for rank, cost in enumerate(sorted(set(costs)), 1)}
    return [places[cost] for cost in costs]
