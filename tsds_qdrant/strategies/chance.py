"""Chance: an order by weights and a hash of the seed and the id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.ids import KeyArray, id_order, uniform_noise
from tsds_qdrant.strategies.base import Ask, Preference
from tsds_qdrant.strategies.pool_knowledge import PoolKnowledge
from tsds_qdrant.strategies.reasons import Reasons

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


def drawn_by_weights(known: PoolKnowledge, log_weights: FloatArray, ask: Ask) -> Preference:
    """The preference that weights (c,) of ``known.candidates`` give, as far as ``ask`` goes."""
    candidates = known.candidates
    size = len(candidates) if ask.whole else ask.reach or ask.size
    order = weighted_order(log_weights, known.index.keys[candidates], size, ask.seed)
    p = np.zeros(len(known.index))
    p[candidates] = shares(log_weights)
    return Preference(candidates[order], p, ordered=True)


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
