"""What each strategy has to make of all candidates before it can choose, and what that takes.

Costs are shares of a training epoch of the same model over the whole pool (6 P tau N FLOPs): a
forward pass takes 2 P tau N, so 1/3, and a gradient 1. For LESS, Yin and Rush 2025
(arXiv 2410.16208) count 1.8: a warm-up of 4 epochs on 5 % of the pool, and 1.6 for the gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tsds_qdrant.planning.budget_settings import Choosing
from tsds_qdrant.strategies.card import Card
from tsds_qdrant.strategies.catalog import strategy_class

FORWARD = 1 / 3
WARM_UP = 0.2
PUBLISHED_GRADIENTS = 1.6
ANSWERS_ALONE = "hidden, answers alone"
"""Hidden states whose pass read the answers without their prompts, too."""
Work = Literal["nothing", "words", "embedding", "forward", "gradients"]


@dataclass(frozen=True)
class Need:
    """What a strategy has to have of all candidates.

    Attributes:
        work: what makes it.
        kinds: of representations any of which holds it.
        place: among those worth their cost, where nothing was measured; the lowest first.
        warm_up: a model is trained for it before.
        answers: share of the tokens that are read once more, alone: 1 for all.
    """

    work: Work
    kinds: tuple[str, ...]
    place: int
    warm_up: bool = False
    answers: bool = False

    def share(self, choosing: Choosing, answered: float) -> float:
        """kappa: what making it for all candidates takes, as a share of an epoch, no warm-up.

        Args:
            choosing: says how many checkpoints, if gradients of each are counted in full.
            answered: tokens of answers as a share of all tokens.
        """
        if self.work == "gradients":
            usual = PUBLISHED_GRADIENTS if self.warm_up else 1.0
            return float(choosing.checkpoints or usual)
        if self.work in ("forward", "embedding"):
            return FORWARD * (1 + (answered if self.answers else 0))
        return 0.0


HIDDEN = ("hidden",)
GRADIENT = ("gradient", "bergson")
NEEDS: Mapping[str, Need] = {
    "rds": Need("forward", HIDDEN, 0),
    "less": Need("gradients", GRADIENT, 1, warm_up=True),
    "rose": Need("gradients", GRADIENT, 1, warm_up=True),
    "dsdm": Need("gradients", ("loss-gradient", "margin-gradient"), 1),
    "tarot": Need("gradients", (*GRADIENT, "loss-gradient"), 1),
    "gradex": Need("gradients", ("margin-gradient",), 1),
    "adapt": Need("gradients", GRADIENT, 2),
    "tsds": Need("embedding", ("text",), 3),
    "round-robin": Need("embedding", ("text",), 3),
    "similarity-max": Need("embedding", ("text",), 3),
    "similarity-mean": Need("embedding", ("text",), 3),
    "bm25": Need("words", ("bm25",), 4),
    "dsir": Need("words", ("ngrams",), 4),
    "window": Need("forward", HIDDEN, 5),
    "perplexity": Need("forward", HIDDEN, 5),
    "ifd": Need("forward", (ANSWERS_ALONE,), 5, answers=True),
    "random": Need("nothing", (), 6),
}
"""By strategy. Places: similarity of hidden states was as good as gradients on a newer pool and is
cheaper (arXiv 2602.14696); scores that know no task come last (arXiv 2410.16208)."""
WORDS: Mapping[Work, str] = {
    "nothing": "nothing is made",
    "words": "words are counted, which takes no model",
    "embedding": "texts are embedded",
    "forward": "a language model reads all candidates",
    "gradients": "gradients of all candidates are taken",
}


def known_need(strategy: str) -> Need:
    """What a strategy of the catalogue, or one that the table knows, has to have."""
    return NEEDS.get(strategy) or need_of(strategy_class(strategy).card)


def need_of(card: Card) -> Need:
    """What a strategy has to have by its ``card`` alone."""
    if card.passes.startswith("forward"):
        backward = "backward" in card.passes
        trained = bool(card.trained_models)
        return Need("gradients", GRADIENT, 2, trained) if backward else Need("forward", HIDDEN, 5)
    return Need("embedding", ("text",), 3) if card.needs_vectors else Need("words", (), 4)
