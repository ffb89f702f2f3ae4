"""The selections that are trained on: strategies over a pool in Qdrant, and two ceilings."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from bench.pools import normalized
from bench.training.texts import Drawn, Text
from threadpoolctl import threadpool_limits

from tsds_qdrant import SelectionSettings, create_collection, select

COPY_DISTANCES = (0.02, 0.3)
"""How far copies lie from their originals, at least and at most: as texts do in which one word in
twenty has changed (scripts/README.md, "Copies of test items")."""
RAW: Mapping[str, Any] = {"near_copies": "keep"}
TASK_ALONE, CLASS = "task examples alone", "class"
CEILINGS = (TASK_ALONE, CLASS)


@dataclass(frozen=True)
class Method:
    """A strategy with settings of its own, over one kind of vectors."""

    strategy: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    over: Literal["texts", "hidden", "gradients"] = "texts"


METHODS: Mapping[str, Method] = {
    "random": Method("random"),
    "similarity-mean": Method("similarity-mean", RAW),
    "similarity-max": Method("similarity-max", RAW),
    "near-duplicates dropped, then similarity-max": Method("similarity-max"),
    "round-robin": Method("round-robin", RAW),
    "tsds": Method("tsds"),
    "tsds without density": Method("tsds", {"regularizer": "uniform"}),
    "tarot": Method("tarot", RAW),
    "rds": Method("rds", RAW, over="hidden"),
    "less": Method("less", RAW, over="gradients"),
    "perplexity": Method("perplexity", {"score": "loss", "near_copies": "keep"}, over="hidden"),
}
NAMES = (*METHODS, *CEILINGS)
LONG = ("less",)
"""Methods that are tried only where they are named: gradients of all texts take their time."""
WITH_COPIES = (*list(METHODS)[:7], "tarot")
"""Methods that are tried on pools with copies."""


@dataclass(frozen=True)
class Picked:
    """What a method selected.

    Attributes:
        ids: best first; those from the number of texts on are copies.
        seconds: of one thread that it took, without making vectors.
        mass: share of its probabilities that falls on the copied texts and their copies; that of
            its ids where it has no probabilities.
    """

    ids: list[int]
    seconds: float
    mass: float


@dataclass(frozen=True)
class Pool:
    """Candidates of one task.

    Attributes:
        ids: of the candidates.
        vectors: (n, D) theirs.
        payloads: of each, its tokens among them.
        copied: ids of copied texts and of their copies.
    """

    ids: Sequence[int]
    vectors: Any
    payloads: Sequence[dict[str, Any]]
    copied: frozenset[int] = frozenset()

    def selected(self, method: Method, queries: Any, budget: int, seed: int) -> Picked:
        """What ``method`` selects for the task examples ``queries`` (M, D)."""
        asked = SelectionSettings.of(
            method.strategy,
            token_budget=budget,
            token_field="tokens",
            seed=seed,
            exact=True,
            **method.settings,
        )
        with tempfile.TemporaryDirectory() as place:
            dimension = self.vectors.shape[1]
            with create_collection(place, "pool", dimension=dimension) as candidates:
                candidates.upsert(self.ids, self.vectors, self.payloads)
                with threadpool_limits(1):  # others on the machine would make several spin
                    started = time.process_time()
                    found = select(candidates, queries, asked)
                    seconds = time.process_time() - started
        ids = [int(one) for one in found.selected_ids]
        p = found.preference.probabilities
        mass = float(np.mean([one in self.copied for one in ids]))
        if p is not None:
            mass = float(p[[one in self.copied for one in found.ids]].sum())
        return Picked(ids, seconds, mass)


def pool_of(
    texts: Sequence[Text],
    vectors: Any,
    drawing: Drawn,
    *,
    originals: Sequence[int] = (),
    copies: int = 0,
    seed: int = 0,
    losses: Any = None,
) -> Pool:
    """The candidates of a drawing, and ``copies`` near-copies of each of the ``originals``.

    The k-th copy of all has the id n + k, and its original is ``originals[k // copies]``.
    """
    rows = drawing.pool
    payloads: list[dict[str, Any]] = [{"tokens": len(texts[row].ids)} for row in rows]
    if losses is not None:
        for payload, row in zip(payloads, rows, strict=True):
            payload["loss"] = float(losses[row])
    rng = np.random.default_rng([seed, copies])
    sources = np.repeat(originals, copies)
    noise = normalized(rng.standard_normal((len(sources), vectors.shape[1]), dtype=np.float32))
    far = rng.uniform(*COPY_DISTANCES, (len(sources), 1)).astype(np.float32)
    made = normalized(vectors[sources] + far * noise)
    ids = list(range(len(texts), len(texts) + len(sources)))
    return Pool(
        [*rows, *ids],
        np.concatenate([vectors[rows], made]),
        [*payloads, *({"tokens": len(texts[row].ids)} for row in sources.tolist())],
        frozenset([*originals, *ids]),
    )


def without_selecting(name: str, drawing: Drawn, texts: Sequence[Text], budget: int) -> Picked:
    """What needs no selection: the task examples as often as the budget allows, or their class."""
    rows = drawing.task if name == TASK_ALONE else drawing.others
    ids: list[int] = []
    while budget > 0:
        for row in rows:
            if budget > 0:
                ids.append(row)
                budget -= len(texts[row].ids)
    return Picked(ids, 0.0, 0.0)
