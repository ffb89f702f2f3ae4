"""Writers side by side, killed and stopped anywhere: no run ever misses a stored candidate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeCollection
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import NUMBER_FIELD, WRITER_FIELD, Stamp, stamp_of
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.collections.server.session import Connection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import RequestRejectedError
from tsds_qdrant.ingestion.items import Item
from tsds_qdrant.ingestion.writer import Writer
from tsds_qdrant.runs.begin import begin_run
from tsds_qdrant.runs.changes import find_changes, first_mark
from tsds_qdrant.runs.marks import Mark
from tsds_qdrant.runs.reselect import reselect
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.writers import restored_readings, stored_readings
from tsds_qdrant.selection.select import select
from tsds_qdrant.selection.settings import SelectionSettings

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local")
ROWS = np.random.default_rng(3).normal(size=(4_000, 4)).astype(np.float32)
METADATA = {"identity": "1", "sequence": 0}


class Killed(BaseException):
    """The writer is no more."""


@dataclass
class Stepped:
    """A writer in a thread of its own, which takes a step when it is let.

    A step ends before a request that would write, so that it can be stopped or killed there.
    """

    collection: Collection
    parts: list[list[PointId]]
    number: int = 0
    killed: bool = False
    _turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _done: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self._done.acquire()

    def step(self) -> None:
        if self.thread.is_alive():
            self._turn.release()
            self._done.acquire()

    def kill(self) -> None:
        self.killed = True
        self.step()

    def _run(self) -> None:
        with suppress(Killed):
            self._pause()
            writer = Writer(Pausing(self.collection, self._pause))  # type: ignore[arg-type]
            for ids in self.parts:
                known = {one.id: one for one in self.collection.retrieve(ids)}
                self._pause()
                rows = ROWS[[int(i) + 500 * self.number for i in ids]]
                writer.write([Item(i, "", {"n": 1}, 0) for i in ids], rows, known)
            writer.close()
        self._done.release()

    def _pause(self) -> None:
        self._done.release()
        self._turn.acquire()
        if self.killed:
            raise Killed


class Pausing:
    """A collection that lets others go first before each request that writes."""

    def __init__(self, collection: Collection, pause: Any) -> None:
        self._collection = collection
        self._pause = pause

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def upsert(self, ids: Any, vectors: Any, payloads: Any) -> None:
        # A request over several shards is not stored at once.
        half = len(ids) // 2
        for own in (slice(half), slice(half, None)):
            self._pause()
            if ids[own]:
                self._collection.upsert(ids[own], vectors[own], payloads[own])

    def amend(self, *args: Any) -> None:
        self._pause()
        self._collection.amend(*args)

    def set_payload(self, *args: Any) -> None:
        self._pause()
        self._collection.set_payload(*args)


def in_memory() -> Collection:
    return ServerCollection.create(
        ":memory:",
        "pool",
        dimension=4,
        metric="Euclid",
        metadata=METADATA,
        connection=Connection(client=QdrantClient(":memory:")),
    )


def parts_of(writer: int) -> st.SearchStrategy[list[list[PointId]]]:
    """Parts of own points and of some that all writers write."""
    own = st.integers(0, 30).map(lambda k: 100 * writer + k)
    ids = st.lists(own | st.integers(900, 910), min_size=1, max_size=4, unique=True)
    return st.lists(ids, min_size=1, max_size=4)


WRITERS = st.tuples(*(parts_of(writer) for writer in range(4)))
ACTIONS = st.lists(
    st.tuples(st.sampled_from("ssssskrdn"), st.integers(0, 3)), min_size=4, max_size=60
)


def contents(collection: Collection) -> dict[PointId, tuple[str, int]]:
    """What a run could have seen of each point: its writer and number."""
    found = {}
    for page in collection.scroll():
        for record in page:
            stamp = stamp_of(record.payload)
            assert stamp is not None
            found[record.id] = stamp.writer, stamp.number
    return found


@settings(deadline=None)
@given(WRITERS, ACTIONS)
def test_every_stored_point_is_seen_and_none_twice(
    parts: tuple[list[list[PointId]], ...], actions: list[tuple[str, int]]
) -> None:
    collection = in_memory()
    writers = [Stepped(collection, one, k) for k, one in enumerate(parts)]
    mark = first_mark(collection, None)
    seen: dict[PointId, tuple[str, int]] = {}
    for action, number in [*actions, ("r", 0)]:
        if action == "s":
            writers[number].step()
        elif action == "k":
            writers[number].kill()
        elif action == "d" and seen:
            gone = sorted(seen)[number % len(seen)]  # type: ignore[type-var]
            collection.delete([gone])
        elif action == "n":  # another run begins, and knows all there is
            fresh = first_mark(collection, None)
            came, _ = came_by(collection, fresh)
            assert came == []
        elif action == "r":
            there = contents(collection)
            came, mark = came_by(collection, mark)
            stale = {i for i, stamp in there.items() if seen.get(i) != stamp}
            assert set(came) == stale
            assert len(came) == len(stale)
            seen = {i: there.get(i, stamp) for i, stamp in {**seen, **there}.items()}
    for writer in writers:
        writer.kill()


def came_by(collection: Collection, mark: Mark) -> tuple[list[PointId], Mark]:
    changes = find_changes(collection, None, mark, [])
    assert not changes.unmarked
    plain = restored_readings(stored_readings(changes.mark.readings))
    assert plain == changes.mark.readings
    return changes.came, changes.mark


@pytest.mark.slow
@settings(deadline=None)
@given(WRITERS, ACTIONS)
def test_a_run_beside_writers_equals_one_from_scratch(
    tmp_path_factory: pytest.TempPathFactory,
    parts: tuple[list[list[PointId]], ...],
    actions: list[tuple[str, int]],
) -> None:
    collection = in_memory()
    collection.upsert([5_000 + k for k in range(40)], ROWS[:40], [stamped(2)] * 40)
    writers = [Stepped(collection, one, k) for k, one in enumerate(parts)]
    asked = SelectionSettings.of(sizes=(5,), alpha=0.5, exact=True, cost_scale=1, bandwidth=0.5)
    state, _ = begin_run(tmp_path_factory.mktemp("runs") / "a.run", collection, ROWS[50:60], asked)
    for action, number in [*actions, ("r", 0)]:
        if action in "sn":
            writers[number].step()
        elif action == "k":
            writers[number].kill()
        elif action == "r":
            assert_as_from_scratch(state, collection, asked)
    for writer in writers:
        writer.kill()


def assert_as_from_scratch(
    state: RunState, collection: Collection, asked: SelectionSettings
) -> None:
    repaired = reselect(state, collection=collection).selection
    fresh = select(collection, ROWS[50:60], asked)
    assert repaired.selected_ids == fresh.selected_ids
    mine, theirs = (
        dict(zip(one.ids, one.probabilities.tolist(), strict=True)) for one in (repaired, fresh)
    )
    for point_id in mine.keys() | theirs.keys():
        assert mine.get(point_id, 0) == pytest.approx(theirs.get(point_id, 0), abs=1e-9)


def stamped(number: int, writer: str = "old") -> dict[str, Any]:
    return {"_tsds": Stamp(writer, number).stored()}


def ids_of(pages: Iterator[list[PointId]]) -> list[PointId]:
    return [point_id for page in pages for point_id in page]


def test_a_part_that_is_half_there_is_found_in_full(make_collection: MakeCollection) -> None:
    pool = make_collection(4, "Euclid", metadata=METADATA)
    pool.index_payload(WRITER_FIELD, "keyword")
    pool.index_payload(NUMBER_FIELD)
    pool.upsert([1, 2], ROWS[:2], [stamped(2)] * 2)
    mark = first_mark(pool, None)
    assert mark.way == "sequence"
    pool.upsert([3], ROWS[2:3], [stamped(2)])  # the rest of the part that was seen
    came, mark = came_by(pool, mark)
    assert came == [3]
    assert came_by(pool, mark)[0] == []
    pool.upsert([4], ROWS[3:4], [stamped(4)])
    pool.set_payload("_tsds", [4], [{"writer": "old", "number": 5}])
    came, mark = came_by(pool, mark)
    assert came == [4]
    assert mark.readings["old"].is_last
    assert not mark.readings["old"].seen
    pool.upsert([5], ROWS[4:5], [stamped(2, "other")])
    pool.delete([1])
    came, mark = came_by(pool, mark)
    assert came == [5]
    for record in pool.retrieve([2, 3, 4, 5]):
        assert mark.has_seen(record)
    pool.upsert([6], ROWS[5:6], [stamped(2, "third")])
    assert mark.has_seen(pool.retrieve([6])[0]) is False


def test_without_an_index_everything_is_read(
    make_collection: MakeCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_collection(4, "Euclid", metadata=METADATA)
    pool.upsert([1, 2], ROWS[:2], [stamped(2)] * 2)
    if "memory" in pool.info().location:

        def refuse(*_: Any, **__: Any) -> Any:
            raise RequestRejectedError("no index")

        monkeypatch.setattr(pool, "facet", refuse)
        monkeypatch.setattr(pool, "scroll_ordered", refuse)
    mark = first_mark(pool, None)
    pool.upsert([3, 4], ROWS[:2], [stamped(2), stamped(4, "b")])
    came, mark = came_by(pool, mark)
    assert came == [3, 4]
    assert came_by(pool, mark)[0] == []


def test_points_by_other_means_are_noticed_by_their_number(
    make_collection: MakeCollection, tmp_path: Path
) -> None:
    pool = make_collection(4, "Euclid", metadata=METADATA)
    pool.index_payload(WRITER_FIELD, "keyword")
    pool.index_payload(NUMBER_FIELD)
    pool.upsert([1, 2, 3], ROWS[:3], [stamped(3)] * 3)
    mark = first_mark(pool, None)
    pool.upsert([7, 8], ROWS[7:9])
    pool.upsert([9], ROWS[9:10], [stamped(5, "b")])
    found = find_changes(pool, None, mark, [])
    assert (found.unmarked, sorted(found.came)) == (2, [1, 2, 3, 7, 8, 9])  # type: ignore[type-var]
    assert find_changes(pool, None, found.mark, []).came == []
    named = find_changes(pool, None, found.mark, [], named=[7])
    assert named.came == [7]


def test_writers_of_many_runs(make_collection: MakeCollection) -> None:
    pool = make_collection(4, "Euclid", metadata=METADATA)
    pool.index_payload(WRITER_FIELD, "keyword")
    pool.index_payload(NUMBER_FIELD)
    count = 150
    pool.upsert(range(count), ROWS[:count], [stamped(3, f"w{k}") for k in range(count)])
    mark = first_mark(pool, None)
    assert len(mark.readings) == count
    assert came_by(pool, mark)[0] == []
    empty = Mark("sequence", "_tsds_seq", 0, count=0)
    assert sorted(came_by(pool, empty)[0]) == list(range(count))  # type: ignore[type-var]
