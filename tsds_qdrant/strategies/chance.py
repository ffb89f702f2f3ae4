"""Chance: an order by weights and a hash of the seed and the id, and strategies that give it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.ids import KeyArray, id_order, uniform_noise
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.strategies.base import Arrays, Ask, Preference, Strategy
from tsds_qdrant.strategies.pool_knowledge import PoolKnowledge
from tsds_qdrant.strategies.reasons import Reasons
from tsds_qdrant.task.task import Task

NOISE_STREAM = 0x5EED << 32
"""Added to the seed, so that chance here has nothing to do with that of a TSDS sample."""


def weighted_order(log_weights: FloatArray, keys: KeyArray, size: int, seed: int) -> IntArray:
    """(size,) candidates drawn one after the other, without repeats, by their weights.

    Gumbel top-k: the largest log weights after noise that depends on the seed and the id alone.

    Args:
        log_weights: (N,) logarithms of the weights, up to a constant.
        keys: (N, 3) id keys.
        size: how many.
        seed: the same seed gives the same order.
    """
    noise = uniform_noise(keys, seed + NOISE_STREAM)
    rank = np.log(-np.log(noise)) - log_weights
    order: IntArray = id_order(keys, rank)[:size]
    return order


def shares(log_weights: FloatArray) -> FloatArray:
    """(N,) the weights scaled to sum 1: the chances of the first draw.

    *subtle*: they are summed in ascending order, so that a share does not depend on how the
    candidates are numbered.
    """
    weights = np.exp(log_weights - log_weights.max())
    scaled: FloatArray = weights / np.sort(weights).sum()
    return scaled


def ranks_by_weights(known: PoolKnowledge, log_weights: FloatArray, seed: int) -> IntArray:
    """(n,) rank of each candidate seen in the order of the whole pool; -1 where it has left."""
    candidates = known.candidates
    order = weighted_order(log_weights, known.index.keys[candidates], len(candidates), seed)
    ranks = np.full(len(known.index), -1, dtype=np.int64)
    ranks[candidates[order]] = np.arange(len(order))
    return ranks


@dataclass(frozen=True)
class ByChance(Reasons):
    """A rank that chance gave."""

    VERDICTS: ClassVar = {"not read": "it was not in the pool when the run read it"}

    def in_words(self, *, arrived: bool = False) -> list[str]:
        """That chance alone decides."""
        return [] if self.rank is None else ["chance alone decides, the same for all candidates"]


@dataclass(frozen=True)
class WeightedChance(Strategy):
    """A strategy that gives every candidate a weight, and leaves the order to chance.

    Attributes:
        knowledge: what is learned of the pool.
    """

    knowledge: ClassVar[type[PoolKnowledge]] = PoolKnowledge
    reasons: ClassVar[type[Reasons]] = ByChance
    has_chances: ClassVar[bool] = True

    @abstractmethod
    def log_weights(self, known: Any) -> FloatArray:
        """(c,) logarithms of the weights of ``known.candidates``, up to a constant."""

    def begin(self, searcher: Searcher, task: Task) -> Any:
        """The ids of the pool, and what else the weights need."""
        return self.knowledge.begin(searcher, task)

    def resume(self, searcher: Searcher, facts: Mapping[str, Any], arrays: Arrays) -> Any:
        """The same as it was stored."""
        return self.knowledge.resume(searcher, facts, arrays)

    def prefer(self, known: Any, ask: Ask) -> Preference:
        """An order by chance, after the weights."""
        candidates, log_weights = known.candidates, self.log_weights(known)
        size = len(candidates) if ask.whole else ask.reach or ask.size
        order = weighted_order(log_weights, known.index.keys[candidates], size, ask.seed)
        p = np.zeros(len(known.index))
        p[candidates] = shares(log_weights)
        return Preference(candidates[order], p, ordered=True)
