"""Which texts use the words of the task: importance weights from hashed n-grams.

Data selection by importance resampling (DSIR; Xie, Santurkar, Ma, Liang 2023, arXiv 2302.03169):
words and pairs of words are hashed into ``BUCKETS`` buckets, a multinomial over the buckets is
fitted to the task texts and another to the pool, and a text weighs as much more as the first
gives it than the second: log w = sum over its n-grams of log p_task - log p_pool.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import BoolArray, FloatArray, IntArray

BUCKETS = 10_000
SMOOTHING = 1.0
"""Added to the count of every bucket, so that an unseen word is unlikely and not impossible."""
BLOCK_TEXTS = 10_000
WORDS_REMEMBERED = 1 << 18

BucketArray = npt.NDArray[np.uint16]

_WORD = re.compile(r"\w+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class HashedTexts:
    """The n-grams of n texts, as buckets.

    Attributes:
        buckets: (g,) those of the first text first.
        counts: (n,) n-grams of each text.
    """

    buckets: BucketArray
    counts: IntArray

    @classmethod
    def joined(cls, parts: Sequence[HashedTexts]) -> HashedTexts:
        """All texts of ``parts``, which are at least one."""
        return cls(
            np.concatenate([part.buckets for part in parts]),
            np.concatenate([part.counts for part in parts]),
        )

    def of(self, kept: BoolArray) -> HashedTexts:
        """Those of the texts that ``kept`` (n,) marks."""
        return HashedTexts(self.buckets[np.repeat(kept, self.counts)], self.counts[kept])

    def chances(self, weights: FloatArray | None = None) -> FloatArray:
        """(BUCKETS,) the smoothed multinomial of all texts, which count by ``weights`` (n,)."""
        counts: FloatArray = np.zeros(BUCKETS)
        for texts, grams in self.blocks():
            heft = None if weights is None else np.repeat(weights[texts], self.counts[texts])
            counts += np.bincount(self.buckets[grams], weights=heft, minlength=BUCKETS)
        return smoothed(counts)

    def blocks(self) -> list[tuple[slice, slice]]:
        """Slices of texts, and of their n-grams, so short that sums over them fit in memory."""
        ends = np.concatenate([[0], np.cumsum(self.counts)]).tolist()
        cuts = [*range(0, len(self.counts), BLOCK_TEXTS), len(self.counts)]
        return [
            (slice(start, stop), slice(ends[start], ends[stop])) for start, stop in pairwise(cuts)
        ]


def smoothed(counts: FloatArray) -> FloatArray:
    """(BUCKETS,) the multinomial of ``counts`` (BUCKETS,), in which no bucket is impossible."""
    chances: FloatArray = (counts + SMOOTHING) / (counts.sum() + SMOOTHING * BUCKETS)
    return chances


def hashed(texts: Sequence[str]) -> HashedTexts:
    """Unigrams and bigrams of the lower-cased words of ``texts``; the same on every machine."""
    words = [_WORD.findall(text.lower()) for text in texts]
    lengths = np.array([len(found) for found in words], dtype=np.int64)
    codes = np.fromiter(
        map(_code, chain.from_iterable(words)), dtype=np.uint64, count=int(lengths.sum())
    )
    text = np.repeat(np.arange(len(texts)), lengths)
    paired = text[1:] == text[:-1]
    pairs = (codes[:-1] << np.uint64(32) | codes[1:])[paired]
    buckets = np.concatenate([codes, pairs]) * _MULTIPLIER >> np.uint64(32)
    owners = np.concatenate([text, text[1:][paired]])
    order = np.argsort(owners, kind="stable")
    return HashedTexts(
        (buckets % np.uint64(BUCKETS)).astype(np.uint16)[order],
        np.bincount(owners, minlength=len(texts)),
    )


def log_importance(
    pool: HashedTexts, task: HashedTexts, task_weights: FloatArray | None = None
) -> FloatArray:
    """(n,) log importance weights of the texts of ``pool``.

    Args:
        pool: n texts.
        task: M texts of the task examples.
        task_weights: (M,) how often each of them counts; once by default.
    """
    gain = np.log(task.chances(task_weights)) - np.log(pool.chances())
    weights = np.zeros(len(pool.counts))
    for texts, grams in pool.blocks():
        owners = np.repeat(np.arange(texts.stop - texts.start), pool.counts[texts])
        weights[texts] = np.bincount(
            owners, weights=gain[pool.buckets[grams]], minlength=texts.stop - texts.start
        )
    return weights


@lru_cache(maxsize=WORDS_REMEMBERED)
def _code(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))
