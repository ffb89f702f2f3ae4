"""Rankings of neighbour lists against naive ones over the whole distance matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Array, full_lists, pairwise_distances
from pool_oracle import METRICS, clustered_rows, edge_pool, near_queries
from profiles import examples

from tsds_qdrant import SelectionSettings, select
from tsds_qdrant.collections.ids import point_keys
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import InputError, SettingsError, UnsupportedCollectionError
from tsds_qdrant.solver.lists import NeighborLists
from tsds_qdrant.strategies.rankings import mean_example, nearest_to_any, round_robin

ROWS = clustered_rows(600, 6, 20)
ROWS[300:340] = ROWS[:40]  # exact copies, so that there are ties
QUERIES = near_queries(ROWS, 9)
FEW = settings(max_examples=examples(50), deadline=None)


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
    """(M, N) distances as the engine gives them, candidate numbers being ids."""
    hits = pool.search(QUERIES.astype(np.float32), limit=len(ROWS), exact=True)
    distances = np.empty((len(QUERIES), len(ROWS)))
    distances[np.repeat(np.arange(len(QUERIES)), hits.counts), hits.ids] = hits.distances
    return distances


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("size", [1, 7, 150, 600])
def test_choices_equal_brute_force(metric: Metric, size: int) -> None:
    with edge_pool(ROWS, metric) as pool:
        distances = searched_distances(pool)
        by_max = select(
            pool, QUERIES, SelectionSettings.of("similarity-max", sizes=(size,), near_copies="keep")
        )
        assert by_max.selected_ids == naive_nearest_to_any(distances, size)
        in_turn = select(pool, QUERIES, SelectionSettings.of("round-robin", sizes=(size,)))
        assert in_turn.selected_ids == naive_round_robin(distances, size)
    best = pairwise_distances(QUERIES, ROWS, metric)
    for found in (by_max, in_turn):
        rows = list(found.sample_rows(size))
        assert [row["id"] for row in rows] == found.selected_ids
        apart = best.min(axis=0)[found.selected_ids]
        assert [row["distance"] for row in rows] == pytest.approx(apart, abs=1e-5)
        assert [row["query"] for row in rows] == best.argmin(axis=0)[found.selected_ids].tolist()
        assert {row["probability"] for row in rows} == {None}
        with pytest.raises(SettingsError, match="gives an order and no probabilities; use tsds"):
            _ = found.probabilities


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
        asked = SelectionSettings.of("similarity-mean", sizes=(size,), near_copies="keep")
        found = select(pool, queries, asked, query_weights=weights)
        assert found.counts.neighbor_searches <= 3
    assert len(set(found.selected_ids)) == size
    assert mean[found.selected_ids] == pytest.approx(np.sort(mean)[:size], abs=1e-4)


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
        asked = SelectionSettings.of("round-robin", sizes=(len(QUERIES),))
        found = select(pool, QUERIES, asked)
        assert sorted(found.selected_ids) == list(range(2_000, 2_000 + len(QUERIES)))
        assert found.counts.neighbor_searches == len(QUERIES)
        deep = select(
            pool, QUERIES, SelectionSettings.of("similarity-max", sizes=(900,), near_copies="keep")
        )
        assert deep.counts.hits < len(QUERIES) * len(near) / 3


def test_identical_task_examples_share_their_list() -> None:
    with edge_pool(ROWS) as pool:
        same = np.repeat(QUERIES[:1], 30, axis=0)
        alone = select(pool, QUERIES[:1], SelectionSettings.of("round-robin", sizes=(200,)))
        shared = select(pool, same, SelectionSettings.of("round-robin", sizes=(200,)))
        nearest_first = select(
            pool, same, SelectionSettings.of("similarity-max", sizes=(200,), near_copies="keep")
        )
    assert alone.selected_ids == shared.selected_ids == nearest_first.selected_ids
