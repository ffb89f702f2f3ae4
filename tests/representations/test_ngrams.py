"""Hashed n-grams and importance weights against a naive computation."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples

from tsds_qdrant.representations.words.ngrams import BUCKETS, HashedTexts, hashed, log_importance

GOLDEN_BUCKETS = [9587, 1196, 9587, 1196, 5498, 7686, 5498, 6297, 1104, 7336]
WORDS = ("red", "green", "blue", "sea", "sky", "Über", "x1", "the", "of", "and")
FEW = settings(max_examples=examples(50), deadline=None)


def naive_buckets(text: str) -> list[int]:
    codes = [zlib.crc32(word.encode()) for word in re.findall(r"\w+", text.lower())]
    grams = codes + [a << 32 | b for a, b in pairwise(codes)]
    return [(gram * 0x9E3779B97F4A7C15 % 2**64 >> 32) % BUCKETS for gram in grams]


def naive_log_importance(pool: list[str], task: list[str], weights: list[float]) -> list[float]:
    of_task, of_pool = Counter[int](), Counter[int]()
    for text, weight in zip(task, weights, strict=True):
        for bucket in naive_buckets(text):
            of_task[bucket] += weight  # type: ignore[assignment]
    for text in pool:
        of_pool.update(naive_buckets(text))

    def log_chance(counts: Counter[int], bucket: int) -> float:
        return math.log((counts[bucket] + 1) / (sum(counts.values()) + BUCKETS))

    return [
        sum(log_chance(of_task, b) - log_chance(of_pool, b) for b in naive_buckets(text))
        for text in pool
    ]


TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), min_size=1, max_size=9)


@FEW
@given(TEXTS, TEXTS, st.integers(1, 4))
def test_importance_equals_a_naive_computation(
    pool: list[str], task: list[str], parts: int
) -> None:
    weights = np.arange(1.0, len(task) + 1)
    pages = [hashed(list(page)) for page in np.array_split(np.array(pool, dtype=object), parts)]
    found = log_importance(HashedTexts.joined(pages), hashed(task), weights)
    assert found == pytest.approx(naive_log_importance(pool, task, weights.tolist()), abs=1e-9)


def test_importance_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" ".join(WORDS[: k % 10]) for k in range(57)]
    whole = log_importance(hashed(texts), hashed(texts[:3]))
    monkeypatch.setattr("tsds_qdrant.representations.words.ngrams.BLOCK_TEXTS", 10)
    assert log_importance(hashed(texts), hashed(texts[:3])) == pytest.approx(whole, abs=1e-12)


def test_hashes_never_change() -> None:
    found = hashed(["The sea, the SEA.", "", "Über x1"])
    assert found.buckets.tolist() == GOLDEN_BUCKETS
    assert found.counts.tolist() == [7, 0, 3]
