"""BM25 against brute force over words, rank_bm25's numbers, and searches of real collections."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import qdrant_edge
from conftest import MakeCollection
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples

from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.representations.base import OK, Shown
from tsds_qdrant.representations.words.bm25 import Bm25
from tsds_qdrant.sparse import SparseRows, checked_sparse

LETTERS = ["a b b", "a c", "d", "c c d e", "f"]
"""Five documents of 2.2 words on average."""


def shown(texts: Sequence[str]) -> list[Shown]:
    return [Shown(text) for text in texts]


def fitted(texts: Sequence[str], **settings: object) -> Bm25:
    made = Bm25(**settings)  # type: ignore[arg-type]
    half = len(texts) // 2
    made.fit(lambda: (shown(part) for part in (texts[:half], texts[half:])), len(texts))
    return made


def dense(rows: SparseRows) -> list[dict[int, float]]:
    return [dict(zip(*pair, strict=True)) for pair in rows.pairs()]


def index_of(made: Bm25, word: str) -> int:
    (index,) = made.counts([word]).indices.tolist()
    return int(index)


def naive_scores(
    texts: Sequence[str], query: Counter[str], k1: float = 1.2, b: float = 0.75
) -> list[float]:
    """BM25 of words as they stand, with Qdrant's idf; texts without words are no documents."""
    words = [Counter(re.findall(r"\w+", text.lower())) for text in texts]
    average = sum(sum(own.values()) for own in words) / len(texts)
    filled = sum(bool(own) for own in words)
    scores = []
    for own in words:
        score = 0.0
        for word, count in query.items():
            df = sum(word in other for other in words)
            idf = math.log(1 + (filled - df + 0.5) / (df + 0.5))
            tf, length = own[word], sum(own.values())
            score += count * idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / average) or 1)
        scores.append(score)
    return scores


def test_the_numbers_of_rank_bm25() -> None:
    """With its idf, ln((N - df + .5) / (df + .5)), in the place of the collection's."""
    made = fitted(LETTERS, k1=1.5)
    assert made.arrays()["average_length"] == [2.2]
    rare, common = math.log(4.5 / 1.5), math.log(3.5 / 2.5)
    idf = {index_of(made, letter): rare if letter in "bef" else common for letter in "abcdef"}
    documents = dense(made.candidates(shown(LETTERS)).rows)  # type: ignore[arg-type]

    def scores(query: SparseRows) -> list[float]:
        (own,) = dense(query)
        return [
            sum(own.get(i, 0) * idf[i] * value for i, value in document.items())
            for document in documents
        ]

    queries = made.targets(shown(["b c", "c d"])).rows
    assert isinstance(queries, SparseRows)
    assert scores(queries.part(0, 1)) == pytest.approx([1.4052, 0.3508, 0, 0.3806, 0], abs=1e-4)
    assert scores(queries.part(1, 2)) == pytest.approx([0, 0.3508, 0.4459, 0.6265, 0], abs=1e-4)
    mean = queries.mean()
    assert dense(mean) == [
        {index_of(made, "b"): 0.5, index_of(made, "c"): 1.0, index_of(made, "d"): 0.5}
    ]
    assert scores(mean) == pytest.approx([0.7026, 0.3508, 0.2230, 0.5035, 0], abs=1e-4)


WORDS = ("red", "Green", "blue", "sea", "sky", "Über", "naïve", "x1", "42", "the")
TEXTS = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), min_size=1, max_size=9
).filter(lambda texts: any(texts))


@settings(max_examples=examples(50), deadline=None)
@given(
    TEXTS, st.sampled_from(["word", "multilingual", "whitespace"]), st.floats(0, 3), st.floats(0, 1)
)
def test_weights_equal_those_of_counted_words(
    texts: list[str], tokenizer: str, k1: float, b: float
) -> None:
    made = fitted(texts, tokenizer=tokenizer, k1=k1, b=b)
    words = [Counter(text.lower().split()) for text in texts]
    average = sum(map(len, [text.split() for text in texts])) / len(texts)
    rows = made.candidates(shown(texts)).rows
    assert isinstance(rows, SparseRows)
    checked_sparse(rows)
    for own, found in zip(words, dense(rows), strict=True):
        wanted = {
            index_of(made, word): tf * (k1 + 1) / (tf + k1 * (1 - b + b * own.total() / average))
            for word, tf in own.items()
        }
        assert found == pytest.approx(wanted, rel=1e-6)
    counted = dense(made.targets(shown(texts)).rows)  # type: ignore[arg-type]
    assert counted == [{index_of(made, word): tf for word, tf in own.items()} for own in words]


@pytest.mark.parametrize("language", ["", "english", "german"])
def test_documents_are_those_of_the_engine(language: str) -> None:
    texts = ["The running dogs' runs, the RUN", "Die Häuser der Straße", "x " * 90_000, "a_b c-d"]
    made = fitted(texts, language=language, tokenizer="word", k1=1.5, b=0.6)
    none = {"stopwords": qdrant_edge.StopwordsSet(), "stemmer": qdrant_edge.DisabledStemmer()}
    config = qdrant_edge.Bm25Config(
        k=1.5,
        b=0.6,
        avg_len=float(made.arrays()["average_length"][0]),
        tokenizer=qdrant_edge.TokenizerType.Word,
        **({"language": language} if language else none),
    )
    engine = qdrant_edge.Bm25(config)
    found = dense(made.candidates(shown(texts)).rows)  # type: ignore[arg-type]
    for text, own in zip(texts, found, strict=True):
        wanted = engine.embed_document(text)
        assert own == pytest.approx(dict(zip(wanted.indices, wanted.values, strict=True)), rel=1e-5)
        query = engine.embed_query(text)
        assert set(made.counts([text]).indices.tolist()) == set(query.indices)


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("The SEA, the sea!", "sea the", 2),
        ("été", "ÉTÉ ete", 1),
        ("自然言語処理は", "処理は", 2),
        ("我喜欢自然语言", "自然", 1),
        ("สวัสดีครับ", "ครับ", 1),
        ("नमस्ते दुनिया", "दुनिया", 1),
        ("مرحبا بالعالم", "مرحبا", 1),
        ("Привет, МИР", "мир", 1),
        ("3.5 of 2024", "2024 5 3", 3),
        ("第3章 2024年", "3 2024", 2),
        ("１２", "12", 1),
        ("x1 y2", "1 2", 0),
        ("x_1 -7", "1 7", 2),
        ("a1b2", "2", 0),
        ("😀 ok", "ok", 1),
        ("a\x00b", "b", 1),
        ("half \ud800 pair", "pair half", 2),
        ("", "a", 0),
    ],
)
def test_words_of_all_scripts(one: str, other: str, shared: int) -> None:
    made = Bm25()
    first, second = (set(made.counts([text]).indices.tolist()) for text in (one, other))
    assert len(first & second) == shared


def test_numbers_are_counted_once_each() -> None:
    made = Bm25()
    assert sorted(made.counts(["7 apples, 7 pears and 12 more, x7"]).values.tolist()) == [
        *[1.0] * 6,
        2.0,
    ]
    assert made.counts(["7 " * 50_000 + "a " * 70_000]).values.tolist() == [70_000, 50_000]


def test_languages_leave_stop_words_out_and_take_endings_off() -> None:
    english, german = Bm25(language="english"), Bm25(language="german")
    assert english.counts(["the and of"]).lengths.tolist() == [0]
    assert english.counts(["runs", "running"]).indices.tolist() == [index_of(english, "run")] * 2
    assert german.counts(["Haus und der Hauses"]).values.tolist() == [2]
    assert Bm25(language="English").manifest() == english.manifest()
    assert len({m.manifest()["tokens"] for m in (Bm25(), english, german)}) == 3


def corpus(count: int) -> list[str]:
    rng = np.random.default_rng(3)
    vocabulary = [f"w{number}" for number in range(60)]
    chances = 1 / np.arange(1, 61)
    chances /= chances.sum()
    texts = [" ".join(rng.choice(vocabulary, rng.integers(1, 30), p=chances)) for _ in range(count)]
    texts[7] = texts[8] = "?!"
    return texts


def test_a_search_ranks_as_brute_force(make_collection: MakeCollection, tmp_path: Path) -> None:
    texts, tasks = corpus(200), ["w3 w3 w40 w41", "w59 w3", "absent w12 words"]
    made = fitted(texts, k1=1.4, b=0.6)
    assert made.idf
    collection = make_collection(vectors=np.ones((220, 2)))  # twenty have no such vector
    collection.add_space(Space.sparse("bm25", idf=True))
    rows = made.candidates(shown(texts)).rows
    assert isinstance(rows, SparseRows)
    filled = np.flatnonzero(rows.lengths)
    collection.set_vectors(filled, rows.take(filled.tolist()), space="bm25")
    queries = made.targets(shown(tasks)).rows
    assert isinstance(queries, SparseRows)
    view = collection.at("bm25")
    for query, counts in (
        *((queries.part(k, k + 1), Counter(task.split())) for k, task in enumerate(tasks)),
        (
            queries.mean(),
            Counter({w: n / 3 for w, n in Counter(" ".join(tasks).split()).items()}),  # type: ignore[arg-type]
        ),
    ):
        wanted = naive_scores(texts, counts, 1.4, 0.6)
        hits = view.search_sparse(query, limit=300)
        assert set(hits.ids) == {k for k, score in enumerate(wanted) if score}
        assert hits.scores == pytest.approx([wanted[k] for k in hits.ids], rel=1e-5)
        order = sorted(hits.ids, key=lambda k: -wanted[k])
        assert [wanted[k] for k in hits.ids] == pytest.approx([wanted[k] for k in order], rel=1e-5)


def test_the_average_length_of_many_is_that_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = corpus(3_000)
    every = fitted(texts).arrays()["average_length"]
    assert every == pytest.approx([np.mean([len(t.replace("?!", "").split()) for t in texts])])
    monkeypatch.setattr("tsds_qdrant.representations.words.bm25.LENGTHS_OF", 900)
    made = Bm25()
    made.fit(lambda: (shown(texts[k : k + 7]) for k in range(0, 3_000, 7)), 3_000)
    assert made.arrays()["average_length"] == fitted(texts).arrays()["average_length"]
    assert made.arrays()["average_length"] != every
    assert made.arrays()["average_length"] == pytest.approx(every, rel=0.05)


def test_what_was_learnt_is_kept() -> None:
    made, again = fitted(LETTERS), Bm25()
    done: list[int] = []
    assert not again.fitted
    with pytest.raises(InputError, match="'bm25' has not learnt anything"):
        again.candidates(shown(LETTERS))
    again.restore(made.arrays())
    assert again.fitted
    assert again.manifest() == made.manifest()
    found = again.candidates(shown(LETTERS), done.append)
    assert done == [5]
    assert found.status == [OK] * 5
    assert dense(found.rows) == dense(made.candidates(shown(LETTERS)).rows)  # type: ignore[arg-type]
    assert len(again.candidates([]).rows) == 0  # type: ignore[arg-type]
    others = [Bm25(k1=1), Bm25(b=0.5), Bm25(language="french"), Bm25(tokenizer="word")]
    assert all(other.manifest() != made.manifest() for other in others)


def test_texts_without_words_and_settings_out_of_range() -> None:
    for texts in (["", "?!"], ["…"], []):
        with pytest.raises(InputError, match=f"no word was found in {len(texts)} texts"):
            fitted(texts)
    with pytest.raises(InputError, match="--tokenizer word; choose another one of multilingual"):
        fitted(["😀"], tokenizer="word")
    for wrong, message in (
        ({"k1": -1.0}, "--k1 is -1"),
        ({"k1": math.nan}, "--k1 is nan"),
        ({"b": 1.1}, "--b is 1.1; give a number from 0 to 1"),
        ({"b": math.nan}, "--b is nan"),
        ({"language": "klingon"}, "--language is 'klingon'; choose one of arabic, .*, turkish"),
        ({"language": "en"}, "--language is 'en'; choose one of arabic"),
        ({"tokenizer": "bpe"}, "--tokenizer is 'bpe'; choose one of multilingual, word"),
    ):
        with pytest.raises(SettingsError, match=message):
            Bm25(**wrong)  # type: ignore[arg-type]
