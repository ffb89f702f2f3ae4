"""Runs of pools that shrink to one candidate, or whose sizes are those of the pool."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from conftest import MakeCollection
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marked import marks
from plain_strategies import PLAIN
from pool_oracle import edge_pool, random_rows, same
from profiles import examples

from tsds_qdrant import SelectionSettings, begin_run, explain, reselect, select
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.errors import SupportError
from tsds_qdrant.runs.reopen import reopen
from tsds_qdrant.runs.settings import WatchSettings
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.watch import watch
from tsds_qdrant.selection.quotas import Quota
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.task.examples import TaskExamples

ROWS = random_rows(np.random.default_rng(2), (20, 3), grid=False)
TEXTS = [{"text": f"w{k % 4} x", "kind": "a", **marks(k)} for k in range(20)]
TASK = TaskExamples(ROWS[:2] + np.float32(0.1), ["w1 x", "w2 y"], np.ones(2))
SETTLED = {"cost_scale": 1.0, "bandwidth": 0.5}


@pytest.fixture
def pool() -> Iterator[EdgeCollection]:
    with edge_pool(ROWS, "Cosine", payloads=TEXTS) as made:
        made.update_metadata({"text": {"text_field": "text"}})
        yield made


def given_of(name: str, size: int, **more: Any) -> SelectionSettings:
    settled = SETTLED if name == "tsds" else {}
    return SelectionSettings.of(name, sizes=(size,), **settled, **more)


def agree(found: Selection, wanted: Selection) -> None:
    assert found.selected_ids == wanted.selected_ids
    if wanted.strategy == "tsds":
        same(found, wanted)
        assert found.transport.alpha == pytest.approx(wanted.transport.alpha, rel=1e-9)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("bounds", [{}, {"quotas": (Quota("kind", 1.0),)}])
def test_a_pool_that_shrinks_to_one(
    pool: EdgeCollection, name: str, bounds: dict[str, Any], tmp_path: Path
) -> None:
    given = given_of(name, 1, **bounds)
    state, first = begin_run(tmp_path / "r.run", pool, TASK, given)
    (drawn,) = first.selected_ids
    left = 19 if drawn != 19 else 18
    pool.delete([k for k in range(20) if k != left])
    done = reselect(state, collection=pool)
    assert done.selection.selected_ids == [left]
    assert (done.difference.added, done.difference.removed) == ([left], [drawn])
    agree(done.selection, select(pool, TASK, given))
    if name == "tsds":
        assert done.selection.probability(done.selection.samples[1].candidates[0]) == 1.0
    again = reopen(state, pool)
    assert again.selection.selected_ids == [left]
    (explained,) = explain(again, [left]).points
    assert explained.verdict == "drawn"
    assert explained.rank == 0
    pool.upsert([drawn], ROWS[[drawn]], [TEXTS[drawn]])
    back = reselect(state, collection=pool)
    agree(back.selection, select(pool, TASK, given))


@pytest.mark.parametrize("name", PLAIN)
def test_a_run_of_the_whole_pool_is_reopened_after_a_candidate_has_left(
    pool: EdgeCollection, name: str, tmp_path: Path
) -> None:
    state, first = begin_run(tmp_path / "r.run", pool, TASK, given_of(name, 20))
    pool.delete([5])
    again = reopen(state, pool)
    assert again.selection.selected_ids == first.selected_ids
    with pytest.raises(SupportError, match=r"the pool has 19; ask for at most 19$"):
        reselect(state, collection=pool)
    pool.upsert([50], ROWS[[5]], [TEXTS[5]])
    agree(reselect(state, collection=pool).selection, select(pool, TASK, given_of(name, 20)))


@pytest.mark.parametrize("count", [1, 9])
def test_a_few_points_that_were_all_replaced_are_the_same_collection(
    count: int, tmp_path: Path
) -> None:
    with edge_pool(ROWS[:count]) as pool:
        given = given_of("tsds", 1)
        state, _ = begin_run(tmp_path / "r.run", pool, TASK, given)
        pool.upsert(range(100, 110), ROWS[:10])
        pool.delete(list(range(count)))
        agree(reselect(state, collection=pool).selection, select(pool, TASK, given))


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(25))
@example(247764)
@given(st.integers(0, 10**9))
def test_reselecting_near_the_size_of_the_pool_is_selecting_afresh(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 25))
    rows = random_rows(rng, (count, 3), grid=bool(seed % 2))
    task = random_rows(rng, (2, 3), grid=False)
    size = int(rng.integers(max(1, count - 4), count + 1))
    given = given_of("tsds", size)
    with TemporaryDirectory() as directory, edge_pool(rows) as pool:
        state, _ = begin_run(Path(directory) / "r.run", pool, task, given)
        for step in range(3):
            pool.upsert([100 + step], random_rows(rng, (1, 3), grid=bool(seed % 2)))
            if rng.random() < 0.5:
                pool.delete([int(rng.integers(count))])
            left = sum(map(len, pool.scroll_ids()))
            if left < size:
                return
            done = reselect(state, collection=pool).selection
            assert len(set(done.selected_ids)) == size
            agree(done, select(pool, task, given))
            agree(reopen(state, pool).selection, done)


def test_a_share_of_what_a_run_finds_is_kept(pool: EdgeCollection, tmp_path: Path) -> None:
    given = SelectionSettings.of(ratio=1.0)
    state, first = begin_run(tmp_path / "r.run", pool, TASK, given)
    assert len(first.selected_ids) == 20
    pool.delete([3, 4])
    done = reselect(state, collection=pool).selection
    assert sorted(map(int, done.selected_ids)) == [k for k in range(20) if k not in (3, 4)]
    assert reopen(state, pool).selection.selected_ids == done.selected_ids


def test_a_watch_of_equal_candidates_goes_on(tmp_path: Path) -> None:
    collection = EdgeCollection.create(str(tmp_path), "pool", dimension=3, metric="Cosine")
    collection.upsert(range(6), np.ones((6, 3), dtype=np.float32), TEXTS[:6])
    _, first = begin_run(tmp_path / "r.run", collection, TASK, given_of("tsds", 4))
    assert first.probabilities.tolist() == pytest.approx([1 / 6] * 6)
    assert len(set(first.probabilities.tolist())) == 1
    collection.delete([0, 1])
    collection.close()
    once = WatchSettings(once=True)
    (event,) = watch(RunState(tmp_path / "r.run"), once, threading.Event())
    assert event["event"] == "changed"
    assert event["support"] == 4
    assert 0 < event["alpha"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("strategy", PLAIN)
def test_equal_candidates_are_selected_on_every_engine(
    make_collection: MakeCollection, strategy: str, count: int, tmp_path: Path
) -> None:
    """Also of the task example itself, which is then at distance 0 from them all."""
    pool = make_collection(vectors=np.full((count, 3), 0.5), payloads=TEXTS[:count])
    far = TaskExamples(ROWS[:2], ["w1 x", "w2 y"], np.ones(2))
    near = TaskExamples(np.full((1, 3), 0.5, np.float32), ["w1 x"], np.ones(1))
    for number, task in enumerate((far, near)):
        for size in {1, count}:
            given = SelectionSettings.of(strategy, sizes=(size,))
            state, found = begin_run(tmp_path / f"{number}-{size}.run", pool, task, given)
            assert len(set(found.selected_ids)) == size
            (point,) = explain(reopen(state, pool), found.selected_ids[:1]).points
            assert point.verdict == "drawn"
        with pytest.raises(SupportError, match=f"the pool has {count}; ask for at most {count}"):
            select(pool, task, SelectionSettings.of(strategy, sizes=(count + 1,)))
