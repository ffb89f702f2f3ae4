"""The simpler methods against naive ones over the whole distance matrix."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from conftest import MakeCollection
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from oracles import Array, full_lists, pairwise_distances
from pool_oracle import METRICS, clustered_rows, edge_pool, near_queries
from profiles import examples

from tsds_qdrant.collections.ids import point_keys
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import InputError, SettingsError, SupportError, UnsupportedCollectionError
from tsds_qdrant.neighbors.geometry import distance_blocks, near_duplicate_share, nearest
from tsds_qdrant.planning.quality import measure
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.representations.ngrams import BUCKETS, HashedTexts, hashed, log_importance
from tsds_qdrant.selection.choose import choose
from tsds_qdrant.selection.sampling import draw
from tsds_qdrant.selection.settings import SelectionSettings
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.strategies.baselines import (
    BASELINES,
    Baseline,
    mean_example,
    nearest_to_any,
    round_robin,
    shares,
    weighted_order,
)

ROWS = clustered_rows(600, 6, 20)
ROWS[300:340] = ROWS[:40]  # exact copies, so that there are ties
QUERIES = near_queries(ROWS, 9)
FEW = hypothesis_settings(deadline=None, max_examples=examples(50))
GOLDEN_BUCKETS = [9587, 1196, 9587, 1196, 5498, 7686, 5498, 6297, 1104, 7336]
WORDS = ("red", "green", "blue", "sea", "sky", "Über", "x1", "the", "of", "and")


def naive_nearest_to_any(distances: Array, size: int) -> list[int]:
    best = distances.min(axis=0)
    return sorted(range(distances.shape[1]), key=lambda k: (best[k], k))[:size]


def naive_round_robin(distances: Array, size: int) -> list[int]:
    left = set(range(distances.shape[1]))
    taken: list[int] = []
    while len(taken) < min(size, distances.shape[1]):
        for row in distances[: size - len(taken)]:
            if left:
                taken.append(min(left, key=lambda k: (row[k], k)))
                left.remove(taken[-1])
    return taken


def cut(distances: Array, depth: int) -> NeighborLists:
    """Lists of ``depth`` with those tied at the cut left out, as a search gives them."""
    whole = full_lists(distances)
    kept = []
    for row in np.sort(distances, axis=1):
        inside = row[:depth] < row[depth] if depth < len(row) else np.full(len(row), True)
        kept.append(max(int(inside.sum()), 0) or int((row <= row[0]).sum()))
    starts = whole.offsets[:-1]
    return NeighborLists.from_rows(
        [whole.candidates[s : s + n] for s, n in zip(starts, kept, strict=True)],
        [whole.distances[s : s + n] for s, n in zip(starts, kept, strict=True)],
        [n == distances.shape[1] for n in kept],
    )


@FEW
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 30), st.integers(1, 30))
def test_rankings_over_whole_lists(seed: int, queries: int, candidates: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    distances = rng.integers(0, 6, size=(queries, candidates)) / 4
    lists, keys = full_lists(distances), point_keys(range(candidates))
    ranked = nearest_to_any(lists, keys, size)
    assert ranked.candidates.tolist() == naive_nearest_to_any(distances, size)
    assert not len(ranked.short)
    turns = round_robin(lists, size)
    assert turns.candidates.tolist() == naive_round_robin(distances, size)
    assert not len(turns.short)


@FEW
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30))
def test_short_lists_are_named_or_do_not_matter(seed: int, depth: int, size: int) -> None:
    distances = np.random.default_rng(seed).integers(0, 12, size=(4, 30)) / 4
    lists, keys = cut(distances, depth), point_keys(range(30))
    ranked = nearest_to_any(lists, keys, size)
    if not len(ranked.short):
        assert ranked.candidates.tolist() == naive_nearest_to_any(distances, size)
    turns = round_robin(lists, size)
    # As far as it goes it is right, even where a list was too short to go on.
    assert turns.candidates.tolist() == naive_round_robin(distances, len(turns.candidates))
    assert len(turns.candidates) == size or len(turns.short)
    for found in (ranked, turns):
        assert not lists.complete[found.short].any()


def searched_distances(pool: Collection) -> Array:
    """(M, N) distances as the engine tells them, candidate numbers being ids."""
    hits = pool.search(QUERIES.astype(np.float32), limit=len(ROWS), exact=True)
    distances = np.empty((len(QUERIES), len(ROWS)))
    distances[np.repeat(np.arange(len(QUERIES)), hits.counts), hits.ids] = hits.distances
    return distances


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("size", [1, 7, 150, 600])
def test_choices_equal_brute_force(metric: Metric, size: int) -> None:
    settings = SelectionSettings(sizes=(size,))
    with edge_pool(ROWS, metric) as pool:
        distances = searched_distances(pool)
        by_max = choose(pool, QUERIES, settings, "similarity-max")
        assert by_max.ids == naive_nearest_to_any(distances, size)
        in_turn = choose(pool, QUERIES, settings, "round-robin")
        assert in_turn.ids == naive_round_robin(distances, size)
    best = pairwise_distances(QUERIES, ROWS, metric)
    for found in (by_max, in_turn):
        assert found.nearest_distance == pytest.approx(best.min(axis=0)[found.ids], abs=1e-5)
        assert found.nearest_query.tolist() == best.argmin(axis=0)[found.ids].tolist()
        assert found.probabilities is None


@pytest.mark.parametrize("metric", ["Cosine", "Euclid", "Dot"])
@pytest.mark.parametrize("size", [1, 40, 600])
def test_the_mean_similarity_ranks_by_one_search(metric: Metric, size: int) -> None:
    unit = metric == "Dot"
    rows = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True) if unit else ROWS
    queries = QUERIES / np.linalg.norm(QUERIES, axis=1, keepdims=True) if unit else QUERIES
    weights = np.arange(1.0, len(queries) + 1)
    distances = pairwise_distances(queries, rows, "Cosine" if unit else metric)
    mean = np.average(np.square(distances), axis=0, weights=weights)
    with edge_pool(rows, metric) as pool:
        settings = SelectionSettings(sizes=(size,))
        chosen = choose(pool, queries, settings, "similarity-mean", query_weights=weights)
        assert chosen.counts.neighbor_searches <= len(queries) + 3
    assert len(set(chosen.ids)) == size
    assert mean[chosen.ids] == pytest.approx(np.sort(mean)[:size], abs=1e-4)


def test_a_mean_that_is_none_is_refused() -> None:
    opposite = np.array([[1, 0], [-1, 0]], dtype=np.float32)
    with pytest.raises(InputError, match="no direction to look in; use similarity-max"):
        mean_example(opposite, np.array([0.5, 0.5]), "Cosine")
    assert not mean_example(opposite, np.array([0.5, 0.5]), "Euclid").any()
    with pytest.raises(UnsupportedCollectionError, match="cannot rank by the metric Manhattan"):
        mean_example(opposite, np.array([0.5, 0.5]), "Manhattan")


def test_lists_are_fetched_no_deeper_than_needed() -> None:
    near = np.concatenate([clustered_rows(2_000, 6, 40), QUERIES])
    with edge_pool(near) as pool:
        settings = SelectionSettings(sizes=(len(QUERIES),))
        chosen = choose(pool, QUERIES, settings, "round-robin")
        assert sorted(chosen.ids) == list(range(2_000, 2_000 + len(QUERIES)))
        assert chosen.counts.neighbor_searches == len(QUERIES)
        deep = choose(pool, QUERIES, SelectionSettings(sizes=(900,)), "similarity-max")
        assert deep.counts.hits < len(QUERIES) * len(near) / 3


def test_identical_task_examples_share_their_list() -> None:
    with edge_pool(ROWS) as pool:
        same = np.repeat(QUERIES[:1], 30, axis=0)
        alone = choose(pool, QUERIES[:1], SelectionSettings(sizes=(200,)), "round-robin")
        shared = choose(pool, same, SelectionSettings(sizes=(200,)), "round-robin")
        nearest_first = choose(pool, same, SelectionSettings(sizes=(200,)), "similarity-max")
    assert alone.ids == shared.ids == nearest_first.ids


def test_random_is_seeded_nested_and_filtered(make_collection: MakeCollection) -> None:
    words = [{"colour": "red" if k % 2 else "blue"} for k in range(200)]
    pool = make_collection(vectors=ROWS[:200], payloads=words, metric="Euclid")
    large = choose(pool, QUERIES, SelectionSettings(sizes=(20, 80), seed=1), "random")
    small = choose(pool, QUERIES, SelectionSettings(sizes=(20,), seed=1), "random")
    other = choose(pool, QUERIES, SelectionSettings(sizes=(20,), seed=2), "random")
    assert len(set(large.ids)) == 80
    assert small.ids == large.ids[:20] != other.ids
    rows = list(large.sample_rows(20))
    assert [row["id"] for row in rows] == small.ids
    assert {row["probability"] for row in rows} == {1 / 200}
    where = {"must": [{"key": "colour", "match": {"value": "red"}}]}
    only = choose(pool, QUERIES, SelectionSettings(sizes=(50,), where=where), "random")
    assert only.candidates == 100
    assert all(int(k) % 2 for k in only.ids)


def test_equal_weights_give_equal_chances() -> None:
    keys = point_keys(range(200))
    picks = Counter(k for s in range(900) for k in weighted_order(np.zeros(200), keys, 80, s))
    # 80 in 200, drawn 900 times: 360 expected each, with a standard deviation of 14.7.
    assert len(picks) == 200
    assert max(abs(count - 360) for count in picks.values()) < 5 * 14.7


def test_the_weighted_order_follows_the_weights() -> None:
    keys = point_keys(range(50))
    log_weights = np.log(np.arange(1.0, 51.0)) - 900.0
    firsts = [int(weighted_order(log_weights, keys, 1, seed)[0]) for seed in range(4_000)]
    expected = shares(log_weights)
    assert expected == pytest.approx(np.arange(1.0, 51.0) / 1275)
    counts = np.bincount(firsts, minlength=50)
    squares = np.square(counts - 4_000 * expected) / (4_000 * expected)
    assert squares.sum() < 49 + 4 * math.sqrt(2 * 49)
    whole = weighted_order(log_weights, keys, 50, 3)
    assert sorted(whole.tolist()) == list(range(50))
    assert whole[:7].tolist() == weighted_order(log_weights, keys, 7, 3).tolist()


def test_chance_is_not_that_of_a_tsds_sample() -> None:
    keys = point_keys(range(2_000))
    theirs = draw(np.full(2_000, 1 / 2_000), keys, 200, sampler="stable", seed=4).candidates
    ours = weighted_order(np.zeros(2_000), keys, 200, 4)
    assert len(set(ours.tolist()) & set(theirs.tolist())) < 50


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
    monkeypatch.setattr("tsds_qdrant.representations.ngrams.BLOCK_TEXTS", 10)
    assert log_importance(hashed(texts), hashed(texts[:3])) == pytest.approx(whole, abs=1e-12)


def test_hashes_never_change() -> None:
    found = hashed(["The sea, the SEA.", "", "Über x1"])
    assert found.buckets.tolist() == GOLDEN_BUCKETS
    assert found.counts.tolist() == [7, 0, 3]


def test_dsir_finds_a_planted_vocabulary(make_collection: MakeCollection) -> None:
    rng = np.random.default_rng(5)
    common = [f"w{k}" for k in range(60)]
    cooking = ["flour", "oven", "butter", "dough", "whisk"]
    texts = [" ".join(rng.choice(common, 12)) for _ in range(300)]
    for k in range(0, 300, 10):
        texts[k] = " ".join([*rng.choice(common, 6), *rng.choice(cooking, 6)])
    task = [" ".join([*rng.choice(common, 6), *rng.choice(cooking, 6)]) for _ in range(20)]
    pool = make_collection(
        vectors=rng.normal(size=(300, 4)),
        payloads=[{"body": text, "_tsds_seq": 1} for text in texts],
        metadata={"text": {"text_field": "body"}},
    )
    given: dict[str, Any] = {"texts": task, "template": TextTemplate(text_field="prompt")}
    settings = SelectionSettings(sizes=(10, 30), seed=2)
    chosen = choose(pool, rng.normal(size=(20, 4)), settings, "dsir", **given)
    assert sorted(chosen.ids) == list(range(0, 300, 10))
    small = choose(
        pool, rng.normal(size=(20, 4)), SelectionSettings(sizes=(10,), seed=2), "dsir", **given
    )
    assert small.ids == chosen.ids[:10]
    assert chosen.probabilities is not None
    assert 0.99 < chosen.probabilities.sum() <= 1


def test_dsir_without_texts_is_refused() -> None:
    settings = SelectionSettings(sizes=(5,))
    payloads: list[dict[str, Any]] = [{"text": "one"}, {"text": "two"}, {"title": "three"}]
    with edge_pool(ROWS[:3], payloads=payloads) as pool:
        for texts, told in (
            ((), "the task examples have no texts"),
            (("", ""), "the task examples have no texts"),
            (("a", *[""] * 8), "task example 1 has no text"),
            (("a", "b"), "9 task examples have 2 texts"),
        ):
            with pytest.raises(InputError, match=f"{told}; give records with texts"):
                choose(pool, QUERIES, replace(settings, sizes=(2,)), "dsir", texts=texts)
        one_each = ("a",) * len(QUERIES)
        with pytest.raises(InputError, match=r"point 2 of collection 'pool' has no text: .*'text'"):
            choose(pool, QUERIES, replace(settings, sizes=(2,)), "dsir", texts=one_each)


@pytest.mark.parametrize("method", BASELINES)
def test_more_than_there_are_is_refused(method: Baseline) -> None:
    with edge_pool(ROWS[:8]) as pool:
        one_each = ("a",) * len(QUERIES)
        with pytest.raises(SupportError, match="9 candidates are wanted but the pool has only 8"):
            choose(pool, QUERIES, SelectionSettings(sizes=(9,)), method, texts=one_each)


def test_settings_that_a_method_does_not_know_are_refused() -> None:
    with edge_pool(ROWS[:8]) as pool:
        for given_settings, told in (
            ({"alpha": 0.5}, "alpha is 0.5, which the method 'random' does not know"),
            ({"sampler": "top"}, "sampler is top"),
            ({"bandwidth": 0.0}, "bandwidth is 0.0"),
        ):
            settings = SelectionSettings(sizes=(2,), **given_settings)  # type: ignore[arg-type]
            with pytest.raises(SettingsError, match=told):
                choose(pool, QUERIES, settings, "random")
        with pytest.raises(SettingsError, match="'best' is no simpler method; choose one of"):
            choose(pool, QUERIES, SelectionSettings(sizes=(2,)), "best")  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="no size is given"):
            choose(pool, QUERIES, SelectionSettings(), "random")


@pytest.mark.parametrize("metric", [*METRICS, "Dot"])
def test_measures_equal_brute_force(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsds_qdrant.neighbors.geometry.BLOCK_ENTRIES", 100)
    rows, queries = ROWS[290:345].astype(np.float32), QUERIES.astype(np.float32)
    if metric == "Dot":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    plain = "Cosine" if metric == "Dot" else metric
    between = pairwise_distances(queries, rows, plain)
    inside = pairwise_distances(rows, rows, plain)
    np.fill_diagonal(inside, np.inf)
    weights = np.arange(1.0, 10.0) / 45
    typical, radius = float(np.median(between.min(axis=1))) + 1e-3, float(np.median(inside.min(1)))
    found = measure(rows, queries, weights, metric, typical=typical, bandwidth=radius + 1e-3)
    assert found.coverage == pytest.approx(weights @ between.min(axis=1), abs=1e-6)
    assert found.covered == pytest.approx(weights @ (between.min(axis=1) <= typical))
    assert found.distance == pytest.approx(between.min(axis=0).mean(), abs=1e-6)
    assert found.near_duplicates == np.mean(inside.min(axis=1) <= radius + 1e-3)
    assert near_duplicate_share(rows, 0.0, metric) == 0.0
    which, distance = nearest(rows, queries, metric)
    assert which.tolist() == between.argmin(axis=0).tolist()
    assert distance == pytest.approx(between.min(axis=0), abs=1e-6)
    blocks = [block for _, block in distance_blocks(queries, rows, metric)]
    assert len(blocks) > 1
    assert np.concatenate(blocks) == pytest.approx(between, abs=1e-5)


def test_distances_far_from_the_origin_keep_their_digits() -> None:
    rows = (ROWS[:20] + 1e4).astype(np.float32)
    found = np.concatenate([block for _, block in distance_blocks(rows, rows, "Euclid")])
    assert found == pytest.approx(pairwise_distances(rows, rows, "Euclid"), abs=1e-6)
