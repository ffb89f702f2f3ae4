"""Task examples that are in the pool are left out: as though they were not stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles import pairwise_distances
from pool_oracle import METRICS, clustered_rows, edge_pool, near_queries, same
from profiles import examples

from tsds_qdrant import (
    SelectionSettings,
    TaskExamples,
    begin_run,
    compare,
    reopen,
    reselect,
    select,
)
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import SupportError
from tsds_qdrant.neighbors.search import Searcher
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.neighbors.task_points import TaskPoints
from tsds_qdrant.planning.settings import CompareSettings
from tsds_qdrant.progress import notices_to
from tsds_qdrant.strategies.tsds.strategy import Tsds
from tsds_qdrant.strategies.tsds.trace import trace_path

ROWS = clustered_rows(400, 6, 12)


def shown(rows: Any, **more: Any) -> TaskExamples:
    """Examples as the command line reads them."""
    made: dict[str, Any] = {"in_pool": "out", **more}
    return TaskExamples(
        np.asarray(rows, dtype=np.float32), [""] * len(rows), np.ones(len(rows)), **made
    )


def stored(count: int, copies: int, seed: int) -> tuple[Any, Any]:
    """Rows of which ``count`` are task examples too, each with some copies, and the examples."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(ROWS), count, replace=False)
    rows = np.concatenate([ROWS, np.repeat(ROWS[chosen], copies, axis=0)])
    return rows, np.concatenate([ROWS[chosen], near_queries(ROWS, 3, seed=seed)])


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    metric=st.sampled_from(METRICS),
    count=st.integers(1, 6),
    copies=st.sampled_from([0, 1, 9]),
    strategy=st.sampled_from(["tsds", "similarity-max", "round-robin", "random"]),
)
def test_the_result_is_that_of_a_collection_without_them(
    seed: int, metric: Metric, count: int, copies: int, strategy: str
) -> None:
    rows, queries = stored(count, copies, seed)
    wanted = SelectionSettings.of(strategy, sizes=(15,), exact=True)
    own = pairwise_distances(rows, queries[:count], metric).min(axis=1) < 1e-6
    with edge_pool(rows, metric) as collection:
        found = select(collection, shown(queries), wanted)
        assert found.tasks.points is not None
        assert found.tasks.points.ids == {*np.flatnonzero(own).tolist()}
        assert found.tasks.points.examples == count
        kept = select(collection, shown(queries, in_pool="kept"), wanted)
        asked_nothing = select(collection, shown(queries, in_pool=""), wanted)
        assert kept.selected_ids == asked_nothing.selected_ids
        assert kept.tasks.points is not None
        assert kept.tasks.points.ids == found.tasks.points.ids
        collection.delete(np.flatnonzero(own).tolist())
        without = select(collection, shown(queries), wanted)
    assert without.tasks.points is not None
    assert not without.tasks.points.ids
    if strategy == "tsds":
        same(found, without)
    assert found.selected_ids == without.selected_ids


@pytest.mark.slow
@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1), strategy=st.sampled_from(["tsds", "similarity-max"]))
def test_a_repaired_run_is_that_from_scratch(
    seed: int, strategy: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Examples arrive and leave."""
    rows, queries = stored(5, 1, seed)
    wanted = SelectionSettings.of(strategy, sizes=(15,), exact=True)
    if strategy == "tsds":  # which a run derives once
        wanted = wanted.altered(cost_scale=1.8, bandwidth=0.8)
    path = tmp_path_factory.mktemp("run") / "task.run"
    with edge_pool(rows) as collection:
        _, first = begin_run(path, collection, shown(queries), wanted)
        assert reopen(path, collection).selection.selected_ids == first.selected_ids
        untouched = reselect(path, collection=collection)
        assert untouched.run["searches"] == 0
        assert untouched.selection.tasks == first.tasks
        arrivals = np.concatenate([queries[-3:], ROWS[:5] + np.float32(0.01)])
        collection.upsert(range(1_000, 1_000 + len(arrivals)), arrivals)
        assert first.tasks.points is not None
        left = sorted(first.tasks.points.ids)[:2]
        collection.delete(left)
        repaired = reselect(path, collection=collection).selection
        scratch = select(collection, shown(queries), wanted)
    assert repaired.tasks.points is not None
    assert scratch.tasks.points is not None
    assert repaired.tasks.points.ids == scratch.tasks.points.ids
    assert {1_000, 1_001, 1_002} <= repaired.tasks.points.ids
    assert repaired.selected_ids == scratch.selected_ids


def test_new_task_examples_are_looked_for_again(tmp_path: Path) -> None:
    wanted = SelectionSettings.of(sizes=(10,))
    with edge_pool(ROWS) as collection:
        begin_run(tmp_path / "task.run", collection, shown(ROWS[:4]), wanted)
        other = reselect(tmp_path / "task.run", collection=collection, queries=shown(ROWS[8:11]))
    assert other.selection.tasks.points is not None
    assert other.selection.tasks.points.ids == {8, 9, 10}
    assert not {8, 9, 10} & {*other.selection.selected_ids}


def test_a_size_that_only_the_examples_would_fill_is_refused() -> None:
    with edge_pool(ROWS[:20]) as collection:
        asked = SelectionSettings.of(sizes=(16,))
        said = r"5 of 20 candidates are task examples .* --size 15 or less.*--keep-task-examples"
        with pytest.raises(SupportError, match=said):
            select(collection, shown(ROWS[:5]), asked)
        assert len(select(collection, shown(ROWS[:5], in_pool="kept"), asked).selected_ids) == 16
        with pytest.raises(SupportError, match=r"20 of 20 candidates are task examples .* ingest"):
            select(collection, shown(ROWS[:20]), SelectionSettings.of(sizes=(1,)))


def test_points_that_are_known_count_though_the_search_finds_none() -> None:
    """As where task examples have other vectors than the same texts in the pool."""
    with edge_pool(ROWS, payloads=[{"n": n % 2} for n in range(len(ROWS))]) as collection:
        far = ROWS[:3] + np.float32(5)
        where = {"must": [{"key": "n", "match": {"value": 0}}]}
        asked = SelectionSettings.of(sizes=(10,), where=where)
        found = select(collection, shown(far, ids=frozenset({0, 1, 2, 9_999})), asked)
    assert found.tasks.points is not None
    assert found.tasks.points.ids == {0, 2}  # 1 does not match, 9,999 is not there


def test_more_copies_than_the_first_look_shows() -> None:
    rows = np.concatenate([ROWS, np.repeat(ROWS[:1], 70, axis=0)])
    with edge_pool(rows) as collection:
        found = TaskPoints.of(Searcher(collection), ROWS[:2])
    assert found.ids == {0, 1, *range(len(ROWS), len(rows))}
    assert found.examples == 2


def test_paths_and_comparisons_leave_them_out_too() -> None:
    rows, queries = stored(4, 1, 7)
    settings = SelectionSettings.of(sizes=(15,), exact=True)
    wanted = CompareSettings(methods=("tsds", "similarity-max", "random"), seeds=2)
    search = SearchSettings(exact=True)
    with edge_pool(rows) as collection:
        found = select(collection, shown(queries), settings)
        assert found.tasks.points is not None
        own = found.tasks.points.ids
        told = list[str]()
        with notices_to(told.append):
            path = trace_path(collection, shown(queries), Tsds(), search)
            compared = compare(collection, shown(queries), settings, wanted)
        assert [line.split(",")[0] for line in told] == [
            "4 of 7 task examples are in the pool (8 points)"
        ]
        collection.delete(sorted(own, key=int))
        assert path == replace(
            trace_path(collection, queries, Tsds(), search), distances=path.distances
        )
        without = compare(collection, queries, settings, wanted)
    assert compared.candidates == without.candidates == len(rows) - len(own)
    assert [run.ids for run in compared.runs] == [run.ids for run in without.runs]
    for name in ("coverage", "covered", "distance", "near_duplicates"):
        for method in compared.methods:
            assert compared.figure(method, name) == without.figure(method, name)
