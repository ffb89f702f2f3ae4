"""What the catalogue says of a strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

PASSES = ("none", "forward", "forward and backward")
"""What a language model must do with every candidate."""
UNTRAINED: Mapping[str, Any] = MappingProxyType(
    {"trained_models": 0, "passes": "none", "model_free": True, "dataset_free": True}
)
"""Terms of a strategy that no language model takes part in."""
BY_EMBEDDINGS: Mapping[str, Any] = MappingProxyType(
    {"features": "embeddings", "task_aware": True, **UNTRAINED}
)
"""The same of one that goes by vectors of candidates and task examples."""


@dataclass(frozen=True)
class Card:
    """What the catalogue says of a strategy.

    Terms of the survey (Zhou et al. 2024, arXiv 2406.14115) that are None or "" have not been
    said; :attr:`unsaid` names them, and every strategy of the catalogue has to say all.

    Attributes:
        idea: one sentence.
        paper: where it was published, with its arXiv number.
        cost: what it takes, in searches and reads.
        features: what it looks at (first stage of the survey).
        criterion: how it judges (second stage): "internal: ..", by what the example and a model
            say; "external: ..", by something else; "none: ..".
        task_aware: whether task examples matter to it.
        trained_models: language models that must be trained for it.
        passes: of ``PASSES``.
        steps: of the algorithm, from the texts to the selection.
        model_free: one selection serves every model that is to be trained.
        dataset_free: nothing is trained or tuned on the pool or the task before.
        needs_vectors: vectors of candidates.
        needs_texts: texts of candidates and of task examples.
        reads_all: every candidate of the pool is read.
        metrics: distances that it works with; empty for all.
        fields: payload fields that it goes by where no others are named; one of each group is
            needed.
        kinds: of ``represent``, whose vectors are searched where none are named and the collection
            has some; empty for the default ones.
        ranks: it is a pure ranking, of which near copies would all be taken.
        needs: the kind of ``represent`` that it cannot do without; "" for none.
    """

    idea: str
    paper: str
    cost: str
    features: str
    criterion: str
    task_aware: bool | None = None
    trained_models: int | None = None
    passes: str = ""
    needs_vectors: bool = True
    needs_texts: bool = False
    reads_all: bool = False
    metrics: tuple[str, ...] = ()
    fields: tuple[tuple[str, ...], ...] = ()
    kinds: tuple[str, ...] = ()
    needs: str = ""
    ranks: bool = False
    steps: int | None = None
    model_free: bool | None = None
    dataset_free: bool | None = None

    @property
    def unsaid(self) -> tuple[str, ...]:
        """Names of the terms of the survey that are missing."""
        terms = ("task_aware", "trained_models", "passes", "steps", "model_free", "dataset_free")
        stages = ("features", "criterion")
        return tuple(one for one in (*stages, *terms) if getattr(self, one) in (None, ""))

    @property
    def needs_kinds(self) -> bool:
        """Whether it searches vectors of its ``kinds`` alone, where no others are named."""
        return self.needs in self.kinds
