"""Drawing a sample from the probabilities.

``thinned``      the default: best first, and near-duplicates thinned out; nothing is left to chance
                 (:mod:`tsds_qdrant.selection.thinning`).
``stable``       a fixed number, no repeats, by successive sampling proportional to p: candidates
                 are ranked by E_j / p_j, where E_j is an exponential variate made from a hash of
                 (seed, point id). One seed gives one order, so budgets are nested, and a small
                 change of p moves the sample only a little (Gumbel-top-k; Kool et al. 2019,
                 arXiv 1903.06059, in the equivalent form of an exponential race).
``multinomial``  with replacement, as in the paper; the counts are weights.
``top``          the most probable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.collections.ids import KeyArray, id_order, uniform_noise
from tsds_qdrant.errors import SettingsError, SupportError
from tsds_qdrant.selection.thinning import thinned
from tsds_qdrant.solver.spread import PLAIN, Spread
from tsds_qdrant.strategies.likeness import Likeness

Sampler = Literal["thinned", "stable", "multinomial", "top"]
SAMPLERS: tuple[Sampler, ...] = ("thinned", "stable", "multinomial", "top")
DEFAULT_SAMPLER: Sampler = "thinned"
BY_CHANCE: tuple[Sampler, ...] = ("stable", "multinomial")
"""Of these another seed gives another sample."""
DIFFERENT, EFFECTIVE = 1.5, 30.0
"""What ``thinned`` chooses n from: that number of different candidates times n, or that effective
sample size where copies keep p from it; measured by scripts/bench/samplers.py."""
HALF = 0.5
"""But no more than this part of the pool, for sizes that leave it that."""


def spread_of(sampler: Sampler, size: int, pool: int) -> Spread:
    """How far p must spread for ``size`` candidates out of ``pool``."""
    if sampler != "thinned" or not size:
        return PLAIN
    return Spread(max(1.0, min(DIFFERENT, HALF * pool / size)), EFFECTIVE)


@dataclass(frozen=True)
class Met:
    """A bound that a sample has met.

    Attributes:
        name: of the bound.
        most: what it allows.
        used: how much of that the sample takes; None where that differs from place to place.
        refused: how many candidates were passed over because of it.
    """

    name: str
    most: int
    used: int | None
    refused: int


@dataclass(frozen=True)
class Sample:
    """A drawn sample.

    Attributes:
        candidates: (n,) candidate numbers, best rank first.
        weights: (n,) how often each was drawn; 1 but for ``multinomial``.
        tokens: what they sum up to; None where tokens are not counted.
        met: bounds that kept candidates out, the one that kept out most first.
    """

    candidates: IntArray
    weights: IntArray
    tokens: int | None = None
    met: tuple[Met, ...] = ()


def draw(
    probabilities: FloatArray, keys: KeyArray, size: int, *, sampler: Sampler, seed: int
) -> Sample:
    """Draw ``size`` candidates.

    Args:
        probabilities: (N,) p, sum 1.
        keys: (N, 3) id keys of the candidates: chance and ties depend on the ids alone.
        size: how many; for ``multinomial`` how many draws.
        sampler: one of ``SAMPLERS``.
        seed: the same seed gives the same sample.

    Raises:
        SettingsError: a size below 1 or an unknown sampler.
        SupportError: fewer than ``size`` candidates have p > 0.
    """
    if size < 1:
        raise SettingsError(f"size is {size}; ask for at least one candidate")
    support = np.flatnonzero(probabilities > 0)
    if sampler == "multinomial":
        return _multinomial(probabilities, keys, support, size, seed)
    if sampler not in SAMPLERS:
        raise SettingsError(f"'{sampler}' is no sampler; choose one of {', '.join(SAMPLERS)}")
    if size > len(support):
        raise SupportError(
            f"{size} candidates are wanted but only {len(support)} have a positive probability"
        )
    order = ranked(probabilities, keys, sampler=sampler, seed=seed)[:size]
    return Sample(order, np.ones(size, dtype=np.int64))


def ranked(
    probabilities: FloatArray,
    keys: KeyArray,
    *,
    sampler: Sampler,
    seed: int,
    likeness: Likeness | None = None,
) -> IntArray:
    """(support,) the candidates with p > 0 in the order in which they are drawn.

    Args:
        probabilities, keys, seed: see :func:`draw`.
        sampler: one that draws each candidate once.
        likeness: of the candidates with p > 0, for ``thinned``; None: each is its own.
    """
    support = np.flatnonzero(probabilities > 0)
    p, k = probabilities[support], keys[support]
    if sampler == "thinned":
        best_first: IntArray = support[thinned(likeness or Likeness.none(p), k)]
        return best_first
    rank = -p if sampler == "top" else -np.log(uniform_noise(k, seed)) / p
    order: IntArray = support[id_order(k, rank)]
    return order


def _multinomial(
    probabilities: FloatArray, keys: KeyArray, support: IntArray, size: int, seed: int
) -> Sample:
    k = keys[support]
    by_id = support[id_order(k)]
    p = probabilities[by_id]
    counts = np.random.default_rng(seed % 2**64).multinomial(size, p / p.sum())
    drawn = np.flatnonzero(counts)
    order = drawn[np.argsort(-counts[drawn], kind="stable")]
    return Sample(by_id[order], counts[order])


def inclusion_probabilities(probabilities: FloatArray, size: int) -> FloatArray:
    """(N,) chance of each candidate to be in a ``stable`` sample of ``size``, closely.

    A candidate is drawn if its exponential variate falls below p_j t, with t such that ``size``
    are drawn on average: 1 - exp(-p_j t).
    """
    if size >= np.count_nonzero(probabilities):
        return (probabilities > 0).astype(np.float64)
    low, high = 0.0, 1.0
    while -np.expm1(-probabilities * high).sum() < size:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if -np.expm1(-probabilities * middle).sum() < size:
            low = middle
        else:
            high = middle
    chances: FloatArray = -np.expm1(-probabilities * high)
    return chances
