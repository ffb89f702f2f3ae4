"""What the catalogue says of a strategy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """What the catalogue says of a strategy.

    Attributes:
        idea: one sentence.
        paper: where it was published, with its arXiv number.
        cost: what it takes, in searches and reads.
        features: what it looks at (first stage of the survey, arXiv 2406.14115).
        criterion: how it judges (second stage).
        task_aware: whether task examples matter to it.
        trained_models: language models that must be trained for it.
        passes: what a language model must do with every candidate: none, forward, or forward and
            backward.
        needs_vectors: vectors of candidates.
        needs_texts: texts of candidates and of task examples.
        reads_all: every candidate of the pool is read.
        metrics: distances that it works with; empty for all.
        kinds: of ``represent``, whose vectors are searched where none are named and the collection
            has some; empty for the default ones.
        needs: the kind of ``represent`` that it cannot do without; "" for none.
    """

    idea: str
    paper: str
    cost: str
    features: str
    criterion: str
    task_aware: bool = True
    trained_models: int = 0
    passes: str = "none"
    needs_vectors: bool = True
    needs_texts: bool = False
    reads_all: bool = False
    metrics: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    needs: str = ""
