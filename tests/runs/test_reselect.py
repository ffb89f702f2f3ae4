"""A repaired selection equals one from scratch, after any history of changes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from backends import Backend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pool_oracle import random_rows, same
from profiles import examples

from tsds_qdrant.collections import create_collection, open_collection
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.scanning import Scanning
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import CollectionMismatchError, OutputError, SupportError
from tsds_qdrant.runs.begin import Keeping, begin_run
from tsds_qdrant.runs.reselect import Reselection, reselect
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.selection.select import select
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings

METRICS = ("Cosine", "Euclid", "Manhattan")


class History:
    """A live collection, its task, and chance; every step changes something."""

    def __init__(self, collection: Collection, seed: int, dimension: int, grid: bool) -> None:
        self.collection = collection
        self.rng = np.random.default_rng(seed)
        self.dimension = dimension
        self.grid = grid
        self.ids: list[PointId] = []
        self.add(int(self.rng.integers(20, 120)))
        self.queries = self.vectors(int(self.rng.integers(1, 6)))

    def vectors(self, count: int) -> np.ndarray[Any, Any]:
        return random_rows(self.rng, (count, self.dimension), self.grid)

    def add(self, count: int) -> None:
        new = [self.rng.integers(0, 2**40) for _ in range(count)]
        self.ids += [int(i) for i in new]
        if count:
            self.collection.upsert([int(i) for i in new], self.vectors(count))

    def step(self) -> None:
        self.add(int(self.rng.integers(0, 6)))
        updated = self.some(3)
        if updated:
            self.collection.upsert(updated, self.vectors(len(updated)))
        deleted = self.some(3)
        self.collection.delete(deleted)
        self.ids = [i for i in self.ids if i not in set(deleted)]

    def some(self, most: int) -> list[PointId]:
        count = int(self.rng.integers(0, most + 1))
        return [self.ids[k] for k in self.rng.permutation(len(self.ids))[:count]]


def follow(history: History, directory: Path, wanted: SelectionSettings, steps: int) -> int:
    """Play ``steps`` and compare after each; return how many comparisons were made."""
    collection = history.collection
    try:
        state, _ = begin_run(
            directory / "run",
            collection,
            history.queries,
            wanted,
            keeping=Keeping(detect_updates=True),
        )
    except SupportError:
        return 0
    for step in range(steps):
        history.step()
        if step % 2:
            history.queries = np.concatenate([history.queries[1:], history.vectors(1)])
        try:
            scratch = select(collection, history.queries, wanted)
        except SupportError:
            with pytest.raises(SupportError):
                reselect(state, collection=collection, queries=history.queries)
            return step
        done = reselect(state, collection=collection, queries=history.queries)
        same(done.selection, scratch)
    return steps


@pytest.mark.slow
@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    dimension=st.integers(2, 16),
    grid=st.booleans(),
    metric=st.sampled_from(METRICS),
    alpha=st.sampled_from([None, 0.1, 0.5, 0.9]),
    bandwidth=st.sampled_from([0.0, 0.4, 1.5]),
    regularizer=st.sampled_from(["kde", "kde", "uniform"]),
    device=st.sampled_from(["cpu", "engine"]),
    filed=st.booleans(),
)
def test_any_history(
    seed: int,
    dimension: int,
    grid: bool,
    metric: Any,
    alpha: float | None,
    bandwidth: float,
    regularizer: Any,
    device: str,
    filed: bool,
) -> None:
    """Pools are scanned by the engine or in numpy, from a file that follows them or without."""
    wanted = SelectionSettings.of(
        sizes=(3,),
        alpha=alpha,
        cost_scale=1.0,
        bandwidth=bandwidth,
        regularizer=regularizer,
        exact=True,
    )
    with TemporaryDirectory() as directory:
        collection = create_collection(
            directory,
            "pool",
            dimension=dimension,
            metric=metric,
            connection=Connection(scanning=Scanning(device)),
        )
        if not filed:
            collection.upsert([10**6], np.ones((1, dimension), dtype=np.float32))
            collection._known.files.drop()  # type: ignore[attr-defined]
            collection.delete([10**6])
        try:
            follow(History(collection, seed, dimension, grid), Path(directory), wanted, steps=3)
        finally:
            collection.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("regularizer", ["kde", "uniform", "tv"])
def test_every_engine(backend: Backend, tmp_path: Path, seed: int, regularizer: Any) -> None:
    collection = backend.create("pool", dimension=4, metric="Euclid", metadata=None)
    wanted = SelectionSettings.of(
        sizes=(3,), alpha=0.5, cost_scale=1.0, bandwidth=0.8, regularizer=regularizer, exact=True
    )
    history = History(collection, seed, 4, grid=seed % 2 == 0)
    assert follow(history, tmp_path, wanted, steps=3) == 3
    collection.close()


def test_a_filter_that_points_enter_and_leave(backend: Backend, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    collection = backend.create("pool", dimension=3, metric="Euclid", metadata=None)
    vectors = rng.normal(size=(80, 3)).astype(np.float32)
    payloads = [{"lang": "en" if k % 2 else "de"} for k in range(80)]
    collection.upsert(range(80), vectors, payloads)
    where = {"must": [{"key": "lang", "match": {"value": "en"}}]}
    wanted = SelectionSettings.of(
        sizes=(5,), alpha=0.3, cost_scale=1.0, bandwidth=1.0, exact=True, where=where
    )
    queries = rng.normal(size=(4, 3)).astype(np.float32)
    state, first = begin_run(tmp_path / "run", collection, queries, wanted)
    leaving = int(first.selected_ids[0])
    collection.upsert([leaving], vectors[leaving : leaving + 1], [{"lang": "fr"}])
    collection.upsert([2], queries[:1] + 0.01, [{"lang": "en"}])
    done = reselect(state, collection=collection)
    same(done.selection, select(collection, queries, wanted))
    assert leaving in done.difference.removed
    assert 2 in dict(zip(done.selection.ids, done.selection.probabilities, strict=True))
    collection.close()


def test_a_change_in_place_is_seen_where_a_density_was_measured(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    collection = create_collection(str(tmp_path), "pool", dimension=3, metric="Euclid")
    collection.upsert(range(200), rng.normal(size=(200, 3)).astype(np.float32))
    queries = rng.normal(size=(5, 3)).astype(np.float32)
    wanted = SelectionSettings.of(sizes=(5,), alpha=0.5, cost_scale=1.0, bandwidth=0.5, exact=True)
    state, first = begin_run(tmp_path / "run", collection, queries, wanted)
    moved = first.selected_ids[0]
    collection.upsert([moved], rng.normal(size=(1, 3)).astype(np.float32))
    done = reselect(state, collection=collection)
    assert done.changes.came == [moved]
    same(done.selection, select(collection, queries, wanted))
    collection.close()


def test_a_collection_made_again_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    queries = rng.normal(size=(5, 3)).astype(np.float32)
    wanted = SelectionSettings.of(sizes=(5,), alpha=0.5, cost_scale=1.0, bandwidth=0.5)
    for name, number in (("old", 1), ("new", 2)):
        collection = create_collection(str(tmp_path / name), "pool", dimension=3, metric="Euclid")
        pool = np.random.default_rng(number).normal(size=(200, 3)).astype(np.float32)
        collection.upsert(range(200), pool)
        if name == "old":
            state, _ = begin_run(tmp_path / "run", collection, queries, wanted)
        else:
            with pytest.raises(CollectionMismatchError, match="made again"):
                reselect(state, collection=collection)
        collection.close()


@pytest.mark.parametrize("way", ["ids", "field", "named"])
@pytest.mark.parametrize("strategy", ["tsds", "random"])
def test_a_collection_made_again_with_other_ids_is_refused(
    tmp_path: Path, way: str, strategy: str
) -> None:
    """Nothing identifies it, and no vector is left to be compared: none of its points is stored."""
    rng = np.random.default_rng(3)
    queries = rng.normal(size=(5, 3)).astype(np.float32)
    wanted = SelectionSettings.of(strategy, sizes=(5,))
    collection = create_collection(str(tmp_path / "store"), "pool", dimension=3, metric="Euclid")
    payloads = [{"at": k} for k in range(200)]
    collection.upsert(range(200), rng.normal(size=(200, 3)).astype(np.float32), payloads)
    keeping = Keeping(since_field="at" if way == "field" else None)
    state, _ = begin_run(tmp_path / "run", collection, queries, wanted, keeping=keeping)
    before = state.path.read_bytes()
    collection.delete(list(range(200)))
    others = rng.normal(size=(200, 3)).astype(np.float32)
    collection.upsert(range(1000, 1200), others, [{"at": 200 + k} for k in range(200)])
    delivered: list[Any] = []
    named = [1000, 1001] if way == "named" else None
    with pytest.raises(CollectionMismatchError, match="is stored any more: it was made again"):
        reselect(state, collection=collection, named=named, deliver=delivered.append)
    assert (delivered, state.path.read_bytes()) == ([], before)
    collection.close()


def test_a_run_goes_on_where_little_of_its_pool_is_left(tmp_path: Path) -> None:
    """All points in use left, and others that it has seen are stored."""
    rng = np.random.default_rng(3)
    pool = rng.normal(size=(200, 3)).astype(np.float32)
    pool[150:] += 100.0
    queries = rng.normal(size=(5, 3)).astype(np.float32)
    wanted = SelectionSettings.of(sizes=(5,), alpha=0.5, cost_scale=1.0, bandwidth=0.5)
    collection = create_collection(str(tmp_path / "store"), "pool", dimension=3, metric="Euclid")
    collection.upsert(range(200), pool)
    state, _ = begin_run(tmp_path / "run", collection, queries, wanted)
    collection.delete(list(range(199)))
    others = rng.normal(size=(60, 3)).astype(np.float32)
    collection.upsert(range(1000, 1060), others)
    done = reselect(state, collection=collection)
    assert len(done.changes.came) == 60
    same(done.selection, select(collection, queries, wanted))
    collection.close()


def test_nothing_changed_means_no_search_and_the_same_selection(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    collection = create_collection(str(tmp_path), "pool", dimension=3, metric="Euclid")
    collection.upsert(range(200), rng.normal(size=(200, 3)).astype(np.float32))
    wanted = SelectionSettings.of(sizes=(5, 20))
    queries = rng.normal(size=(5, 3)).astype(np.float32)
    state, first = begin_run(tmp_path / "run", collection, queries, wanted)
    done = reselect(RunState(state.path), collection=collection)
    assert done.run["searches"] == 0
    assert done.difference.added == done.difference.removed == []
    assert done.difference.forced == pytest.approx(0.0, abs=1e-9)
    same(done.selection, first)
    assert [run["kind"] for run in state.runs()] == ["select"]
    collection.close()


def test_a_pool_that_something_else_scans_is_asked_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    collection = create_collection(str(tmp_path), "pool", dimension=8)
    collection.upsert(range(300), rng.normal(size=(300, 8)).astype(np.float32))
    queries = rng.normal(size=(5, 8)).astype(np.float32)
    wanted = SelectionSettings.of(sizes=(5,), alpha=0.5, cost_scale=1.0, bandwidth=0.5, exact=True)
    state, _ = begin_run(tmp_path / "run", collection, queries, wanted)
    collection.close()
    engine = Connection(scanning=Scanning("engine"))
    collection = open_collection(str(tmp_path), "pool", connection=engine)
    collection.upsert([300], rng.normal(size=(1, 8)).astype(np.float32))
    done = reselect(state, collection=collection)
    scratch = select(collection, queries, wanted)
    assert done.run["searches"] >= scratch.counts.neighbor_searches
    assert dict(zip(done.selection.ids, done.selection.probabilities, strict=True)) == dict(
        zip(scratch.ids, scratch.probabilities, strict=True)
    )
    again = reselect(state, collection=collection)
    assert again.run["searches"] == 0
    collection.close()


def test_much_that_came_is_asked_again_with_the_same_result(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    collection = create_collection(str(tmp_path), "pool", dimension=3, metric="Euclid")
    collection.upsert(range(50), rng.normal(size=(50, 3)).astype(np.float32))
    queries = rng.normal(size=(5, 3)).astype(np.float32)
    wanted = SelectionSettings.of(sizes=(5,), alpha=0.5, cost_scale=1.0, bandwidth=0.5, exact=True)
    state, _ = begin_run(tmp_path / "run", collection, queries, wanted)
    collection.upsert(range(50, 200), rng.normal(size=(150, 3)).astype(np.float32))
    done = reselect(state, collection=collection)
    assert done.repaired.from_scratch
    same(done.selection, select(collection, queries, wanted))
    collection.close()


def test_a_delivery_comes_before_the_state(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    collection = create_collection(str(tmp_path), "pool", dimension=3, metric="Euclid")
    collection.upsert(range(50), rng.normal(size=(50, 3)).astype(np.float32))
    queries = rng.normal(size=(5, 3)).astype(np.float32)
    wanted = SelectionSettings.of(sizes=(5,), alpha=0.5, cost_scale=1.0, bandwidth=0.5, exact=True)

    def fail(_: object) -> None:
        raise OutputError("no room")

    with pytest.raises(OutputError, match="no room"):
        begin_run(tmp_path / "run", collection, queries, wanted, keeping=Keeping(deliver=fail))
    assert not (tmp_path / "run").exists()
    first: list[Selection] = []
    state, selection = begin_run(
        tmp_path / "run", collection, queries, wanted, keeping=Keeping(deliver=first.append)
    )
    assert first == [selection]
    collection.upsert(range(50, 55), queries + 0.01)
    facts, arrays = state.facts(), state.arrays()
    with pytest.raises(OutputError, match="no room"):
        reselect(state, collection=collection, deliver=fail)
    assert state.facts() == facts
    assert all((kept == arrays[name]).all() for name, kept in state.arrays().items())
    told: list[tuple[Reselection, int]] = []
    done = reselect(
        state, collection=collection, deliver=lambda new: told.append((new, len(state.runs())))
    )
    ((found, runs),) = told
    assert (found, runs) == (done, 1)
    assert (done.number, done.changes.came) == (2, [50, 51, 52, 53, 54])
    assert done.difference.added
    collection.close()
