"""Hashed n-grams as sparse vectors: the weights of DSIR by one search."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from conftest import MakeCollection
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples

from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.representations.base import OK, Shown
from tsds_qdrant.representations.words.ngram_counts import Ngrams, bucket_counts, log_ratio
from tsds_qdrant.representations.words.ngrams import BUCKETS, hashed, log_importance
from tsds_qdrant.sparse import SparseRows, checked_sparse

WORDS = ("red", "green", "blue", "sea", "sky", "Über", "x1", "the", "of", "and", "海")
TEXTS = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join), min_size=1, max_size=12
)


def counted(texts: list[str]) -> SparseRows:
    encoded = Ngrams().candidates([Shown(text) for text in texts])
    assert encoded.status == [OK] * len(texts)
    assert isinstance(encoded.rows, SparseRows)
    return checked_sparse(encoded.rows)


@settings(max_examples=examples(60), deadline=None)
@given(TEXTS, st.integers(1, 13))
def test_counts_are_those_of_the_buckets(texts: list[str], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tsds_qdrant.representations.words.ngram_counts.BLOCK_TEXTS", block)
        rows = counted(texts)
    for text, (indices, values) in zip(texts, rows.pairs(), strict=True):
        wanted = Counter(hashed([text]).buckets.tolist())
        assert dict(zip(indices, values, strict=True)) == wanted


@settings(max_examples=examples(40), deadline=None)
@given(TEXTS, TEXTS)
def test_products_with_the_log_ratio_are_importance_weights(
    pool: list[str], task: list[str]
) -> None:
    weights = np.arange(1.0, len(task) + 1)
    rows = counted(pool)
    query = log_ratio(bucket_counts(counted(task), weights), bucket_counts(rows))
    found = [float(query.values[i] @ np.array(v)) for i, v in rows.pairs()]
    assert found == pytest.approx(log_importance(hashed(pool), hashed(task), weights), abs=1e-4)


def test_numbers_by_hand() -> None:
    task, pool = np.zeros(BUCKETS), np.zeros(BUCKETS)
    task[:4], pool[:4] = [3, 1, 0, 0], [2, 2, 4, 2]
    gain = log_ratio(task, pool).values
    total = (4 + BUCKETS, 10 + BUCKETS)
    for bucket, (mine, theirs) in enumerate([(4, 3), (2, 3), (1, 5), (1, 3), (1, 1)]):
        wanted = math.log(mine / total[0]) - math.log(theirs / total[1])
        assert gain[bucket] == pytest.approx(wanted, abs=1e-6)


def test_one_search_weighs_a_whole_collection(make_collection: MakeCollection) -> None:
    rng = np.random.default_rng(5)
    vocabulary = [f"word{number}" for number in range(300)]
    lengths = rng.integers(0, 60, 250)
    pool = [
        " ".join(rng.choice(vocabulary[: 300 if k % 5 else 10], length))
        for k, length in enumerate(lengths)
    ]
    task = [" ".join(rng.choice(vocabulary[:10], 300)) for _ in range(20)]
    rows = counted(pool)
    made = make_collection(vectors=np.ones((250, 2)))
    made.add_space(Space.sparse("ngrams"))
    made.set_vectors(range(250), rows, space="ngrams")
    parts = [bucket_counts(rows.part(k, min(k + 70, 250))) for k in range(0, 250, 70)]
    targets = Ngrams().targets([Shown(text) for text in task]).rows
    assert isinstance(targets, SparseRows)
    query = log_ratio(bucket_counts(targets), np.sum(parts, axis=0))
    hits = made.at("ngrams").search_sparse(query, limit=300)
    wanted = log_importance(hashed(pool), hashed(task))
    assert wanted.min() < -1
    assert wanted.max() > 1
    found = np.zeros(250)  # whatever has no n-gram is not found, and weighs as much as nothing
    found[hits.ids] = hits.scores
    assert set(range(250)) - set(hits.ids) == {k for k, text in enumerate(pool) if not text}
    assert found == pytest.approx(wanted, rel=1e-5, abs=1e-4)
    assert hits.ids[0] == int(wanted.argmax())


def test_nothing_and_texts_without_words() -> None:
    assert len(counted([])) == 0
    assert counted(["", "?!", "a"]).lengths.tolist() == [0, 0, 1]
    done: list[int] = []
    Ngrams().candidates([Shown("a b")] * 2_500, done.append)
    assert done == [1_000, 1_000, 500]
    assert Ngrams(name="words").manifest() == Ngrams().manifest()
    assert Ngrams().fitted
