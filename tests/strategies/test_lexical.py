"""BM25 against its formula, sub-tasks, filters, and collections that lack it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import plain_pool, represent_words
from profiles import examples

from tsds_qdrant import SelectionSettings, TaskExamples, begin_run, explain, reselect, select
from tsds_qdrant.errors import InputError, UnsupportedCollectionError
from tsds_qdrant.runs.begin import new_run

FEW = settings(max_examples=examples(20), deadline=None)
DOCUMENTS = ["a b b", "a c", "d", "c c d e", "f"]
AVERAGE = 4.0  # as represent_words has it


def task_of(texts: Sequence[str], groups: Sequence[str] = (), weights: Any = None) -> TaskExamples:
    rows = np.ones((len(texts), 2), dtype=np.float32)
    weights = np.ones(len(texts)) if weights is None else np.asarray(weights, dtype=float)
    return TaskExamples(rows, list(texts), weights, groups=list(groups))


def bm25(documents: Sequence[str], query: str) -> Any:
    """(N,) scores by the formula: k1 1.2, b .75, and the inverse document frequency of Qdrant."""
    bags = [Counter(text.split()) for text in documents]
    scores = np.zeros(len(bags))
    for word in query.split():
        df = sum(word in bag for bag in bags)
        idf = np.log(1 + (len(bags) - df + 0.5) / (df + 0.5))
        for k, bag in enumerate(bags):
            saturation = 1.2 * (0.25 + 0.75 * sum(bag.values()) / AVERAGE)
            scores[k] += idf * bag[word] * 2.2 / (bag[word] + saturation)
    return scores


def scored(pool: Any, task: TaskExamples, size: int, **more: Any) -> dict[Any, float]:
    given_ = {"sizes": (size,), "near_copies": "keep", **more}
    found = select(pool, task, SelectionSettings.of("bm25", **given_))
    return {row["id"]: row["score"] for row in found.sample_rows(size)}


def pool_of(texts: Sequence[str]) -> Any:
    return plain_pool(len(texts), [{"text": text, "odd": k % 2} for k, text in enumerate(texts)])


def represented(pool: Any, texts: Sequence[str], first: int = 0) -> None:
    payloads = [{"text": text} for text in texts]
    represent_words(pool, range(first, first + len(texts)), payloads)


def test_documents_of_letters() -> None:
    """{b, c} and {c, d}: the mean is one search with the counts b .5, c 1, d .5."""
    with pool_of(DOCUMENTS) as pool:
        represented(pool, DOCUMENTS)
        both = scored(pool, task_of(["b c", "c d"]), 5)
        one, other = scored(pool, task_of(["b c"]), 5), scored(pool, task_of(["c d"]), 5)
    for query, found in (("b c", one), ("c d", other)):
        assert [found[k] for k in range(5)] == pytest.approx(bm25(DOCUMENTS, query), abs=1e-5)
    assert {k: (one[k] + other[k]) / 2 for k in both} == pytest.approx(both, abs=1e-5)
    assert list(one)[-2:] == [2, 4]  # without a common word: the score is 0, and ties go by id
    assert one[4] == 0


@FEW
@given(seed=st.integers(0, 2**32))
def test_sub_tasks_count_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice([*"abcdefgh"], size=rng.integers(1, 7))) for _ in range(30)]
    shots = [" ".join(rng.choice([*"abcdefghij"], size=4)) for _ in range(5)]
    groups = rng.choice(["x", "y"], size=5).tolist()
    weights = rng.integers(1, 4, size=5).astype(float)
    each = np.array([bm25(texts, shot) for shot in shots])
    names = list(dict.fromkeys(groups))
    own = [np.array(groups) == name for name in names]
    wanted = np.mean([np.average(each[k], axis=0, weights=weights[k]) for k in own], axis=0)
    with pool_of(texts) as pool:
        represented(pool, texts)
        found = scored(pool, task_of(shots, groups, weights), 30)
        where = {"must": [{"key": "odd", "match": {"value": 1}}]}
        odd = scored(pool, task_of(shots, groups, weights), 15, where=where)
    assert [found[k] for k in range(30)] == pytest.approx(wanted, abs=1e-4)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    # The frequencies are those of the whole collection, so a filter keeps the order.
    assert list(odd) == [k for k in found if k % 2]
    assert odd == pytest.approx({k: found[k] for k in odd}, abs=1e-6)


def test_new_points_change_the_weights(tmp_path: Path) -> None:
    with pool_of(DOCUMENTS) as pool:
        represented(pool, DOCUMENTS)
        asked, task = SelectionSettings.of("bm25", sizes=(3,)), task_of(["b c", "d"])
        state, first = begin_run(tmp_path / "run", pool, task, asked)
        more = ["d d", "d e", "d b"]
        pool.upsert(range(5, 8), np.ones((3, 2), dtype=np.float32), [{"text": t} for t in more])
        lacking = reselect(state, collection=pool).selection
        assert lacking.selected_ids == first.selected_ids  # they have no words yet
        represented(pool, more, first=5)
        pool.delete([0])
        again = reselect(state, collection=pool, named=[5, 6, 7]).selection
        fresh = new_run(pool, task, asked)
        assert again.selected_ids == fresh.selection.selected_ids != first.selected_ids
        (point,) = explain(fresh, fresh.selection.selected_ids[:1]).points
        assert point.reasons.in_words()[0].startswith("BM25 ")


def test_what_is_lacking_is_said() -> None:
    asked = SelectionSettings.of("bm25", sizes=(1,))
    with pool_of(DOCUMENTS) as pool:
        with pytest.raises(
            UnsupportedCollectionError, match="has no vectors of words; make them: ts"
        ):
            select(pool, task_of(["a"]), asked)
        represented(pool, DOCUMENTS)
        with pytest.raises(InputError, match="compares words, and the task examples have no texts"):
            select(pool, np.ones((2, 2)), asked)
        with pytest.raises(InputError, match="compares words, and task example 1 has no text"):
            select(pool, task_of(["a", ""]), asked)
        other = SelectionSettings.of("bm25", sizes=(1,), words="ngrams")
        with pytest.raises(
            UnsupportedCollectionError, match="'ngrams' of collection 'pool' is not"
        ):
            select(pool, task_of(["a"]), other)
        nothing = SelectionSettings.of(
            "bm25", sizes=(1,), where={"must": [{"has_id": [0]}], "must_not": [{"has_id": [0]}]}
        )
        with pytest.raises(InputError, match="gives no candidate"):
            select(pool, task_of(["a"]), nothing)
