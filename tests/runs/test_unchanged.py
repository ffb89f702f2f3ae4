"""A reselection where nothing changed looks at no point, and one where little did at few."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from door import Door, Request, open_door
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_oracle import clustered_rows, edge_pool, near_queries, same
from qdrant_client import models

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.reserved import STAMP_FIELD, WRITER_FIELD, Stamp
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.runs.begin import Keeping, begin_run
from tsds_qdrant.runs.reselect import Reselection, reselect
from tsds_qdrant.runs.run import load_run
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.tagging import Tagging
from tsds_qdrant.runs.write_back import write_back
from tsds_qdrant.selection.select import select
from tsds_qdrant.selection.settings import SelectionSettings

COUNT = 300
ROWS = clustered_rows(COUNT + 60, 6, 8).astype(np.float32)
QUERIES = near_queries(ROWS[:COUNT], 5).astype(np.float32)
WANTED = SelectionSettings.of(sizes=(20,), alpha=0.3, cost_scale=1.0, bandwidth=0.8, exact=True)


class Read(EdgeCollection):
    """A collection that says which points were read: pages, and points by their ids."""

    pages = 0
    points = 0

    def scroll_ids(self, where: Any = None) -> Iterator[list[Any]]:
        for page in super().scroll_ids(where):
            Read.pages += 1
            yield page

    def _stored(self, ids: Any, payloads: Any, vectors: Any) -> Any:
        Read.points += len(ids)
        return super()._stored(ids, payloads, vectors)


def again(state: RunState, place: Any) -> tuple[Reselection, int, int]:
    """Reselect in a collection that is opened for it: the result, pages and points read."""
    with Read.open(place.location, place.name) as pool:
        Read.pages = Read.points = 0
        done = reselect(state, collection=pool)
        return done, Read.pages, Read.points


WAYS = [{}, {"detect_updates": True}, {"since_field": "n"}]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_an_embedded_collection_that_did_not_change_is_not_read(
    tmp_path: Path, way: dict[str, Any]
) -> None:
    with edge_pool(ROWS[:COUNT], payloads=[{"n": k} for k in range(COUNT)]) as pool:
        pool.index_payload("n")
        place, keeping = pool.info(), Keeping(**way)
        state, first = begin_run(tmp_path / "run", pool, QUERIES, WANTED, keeping=keeping)
        pool.close()
        before = state.path.read_bytes()
        for _ in range(2):
            done, pages, points = again(state, place)
            assert state.path.read_bytes() == before
            assert done.number == len(state.runs()) == 1
            assert (pages, points, done.run["rows_scanned"]) == (0, 0, 0)
            assert done.changes.none
            same(done.selection, first)
        with EdgeCollection.open(place.location, place.name) as pool:
            best = first.selected_ids[0]
            pool.upsert([best], ROWS[-1:], [{"n": 1_000}])
        done, pages, points = again(state, place)
        assert best in done.changes.came
        assert points > 0
        with EdgeCollection.open(place.location, place.name) as pool:
            same(done.selection, select(pool, QUERIES, WANTED))
        assert again(state, place)[1:] == (0, 0)


def test_what_a_run_writes_back_is_no_change(tmp_path: Path) -> None:
    tagging = Tagging("t", "r")
    with edge_pool(ROWS[:COUNT]) as pool:
        place, keeping = pool.info(), Keeping(tagging=tagging)
        state, first = begin_run(tmp_path / "run", pool, QUERIES, WANTED, keeping=keeping)
        other, _ = begin_run(tmp_path / "other", pool, QUERIES, WANTED)
        before = pool.fingerprint()
        report = write_back(pool, first, tagging, ledger=ledger_of(state))
        assert report.written == 20
        assert pool.fingerprint() not in (None, before)
        pool.close()
        done, *_ = again(state, place)
        assert done.changes.none
        assert done.run["write_back"]["unchanged"] == 20
        assert again(other, place)[1] > 0  # to which it is somebody else's
        assert again(other, place)[1:] == (0, 0)
        with EdgeCollection.open(place.location, place.name) as pool:
            pool.delete([first.selected_ids[3]])
            done = reselect(state, collection=pool)
            assert done.changes.gone == [first.selected_ids[3]]
            assert done.run["write_back"]["written"] > 0
        done, *_ = again(state, place)
        assert done.changes.none


def ledger_of(state: RunState) -> Any:
    from tsds_qdrant.runs.owed import Ledger

    return Ledger(state)


def test_tags_that_decide_who_is_a_candidate_are_a_change(tmp_path: Path) -> None:
    tagging = Tagging("t", "r")
    untagged = {"must_not": [{"key": "tsds.t.rank", "range": {"gte": 0}}]}
    fresh = WANTED.altered(where=untagged)
    with edge_pool(ROWS[:COUNT]) as pool:
        keeping = Keeping(tagging=tagging)
        state, first = begin_run(tmp_path / "run", pool, QUERIES, fresh, keeping=keeping)
        write_back(pool, first, tagging, ledger=ledger_of(state))
        truth = select(pool, QUERIES, fresh)
        done = reselect(state, collection=pool)
        assert {*done.changes.gone} >= {*first.selected_ids}
        same(done.selection, truth)


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["add", "move", "delete", "payload", "reopen", "reselect", "tags"]),
        max_size=8,
    ),
    st.integers(0, 2**32),
)
def test_reselections_between_any_writes_equal_those_from_scratch(
    steps: list[str], seed: int
) -> None:
    rng, tagging = np.random.default_rng(seed), Tagging("t", "r")
    with TemporaryDirectory() as directory, edge_pool(ROWS[:COUNT]) as pool:
        place, keeping = pool.info(), Keeping(tagging=tagging, detect_updates=True)
        state, _ = begin_run(Path(directory) / "r", pool, QUERIES, WANTED, keeping=keeping)
        for step in [*steps, "reselect", "reselect"]:
            some = [int(k) for k in rng.choice(COUNT, 2, replace=False)]
            if step == "add":
                pool.upsert([int(rng.integers(COUNT, COUNT + 60))], ROWS[-1:] + rng.normal())
            elif step == "move":
                pool.set_vectors(some, rng.normal(size=(2, 6)).astype(np.float32))
            elif step == "delete":
                pool.delete(some)
            elif step == "payload":
                pool.set_payload("a", some, [{"b": 1}] * 2)
            elif step == "reopen":
                pool.close()
                pool = EdgeCollection.open(place.location, place.name)
            else:
                done = reselect(state, collection=pool)
                same(done.selection, select(pool, QUERIES, WANTED))
        assert done.changes.none
        pool.close()


# A server, whose requests are counted.


@contextmanager
def served(stamps: bool = True) -> Iterator[Door]:
    with open_door() as door:
        params = models.VectorParams(size=6, distance=models.Distance.EUCLID)
        door.client.create_collection("p", vectors_config=params)
        if stamps:
            with opened(door) as pool:
                pool.update_metadata({"sequence": 0})
        store(door, range(COUNT), stamp=Stamp("a" * 16, 3) if stamps else None)
        door.facts("p").indexes |= {WRITER_FIELD: "keyword", f"{STAMP_FIELD}.number": "integer"}
        yield door


def store(door: Door, numbers: Any, stamp: Stamp | None, ids: Any = None) -> None:
    payload = {} if stamp is None else {STAMP_FIELD: stamp.stored()}
    vectors = ROWS[list(numbers)].tolist()
    batch = models.Batch(
        ids=list(ids or numbers), vectors=vectors, payloads=[payload] * len(vectors)
    )
    door.client.upsert("p", batch)


def opened(door: Door) -> ServerCollection:
    return ServerCollection.open(door.url, "p")


def tails(requests: list[Request]) -> list[str]:
    return [one.path.rpartition("/collections/p")[2] for one in requests]


def begun(door: Door, path: Path) -> RunState:
    with opened(door) as pool:
        return begin_run(path, pool, QUERIES, WANTED)[0]


def test_stamps_show_that_nothing_changed(tmp_path: Path) -> None:
    with served() as door:
        state = begun(door, tmp_path / "run")
        assert load_run(state)[0].mark.stamped == {"a" * 16: COUNT}
        for _ in range(2):
            door.requests.clear()
            with opened(door) as pool:
                done = reselect(state, collection=pool)
            assert done.changes.none
            described = {"", "/", "/cluster", "/aliases"}
            assert {*tails(door.requests)} - described <= {"/facet", "/points/count"}
            assert len(door.requests) <= 30


Foreign = Callable[[Door, list[Any]], object]
FOREIGN: dict[str, Foreign] = {
    "deleted": lambda door, used: door.client.delete("p", used[:2]),
    "one for another": lambda door, used: (
        door.client.delete("p", used[:1]),
        store(door, [COUNT + 1], None),
    ),
    "one for another of a writer": lambda door, used: (
        door.client.delete("p", used[:1]),
        store(door, [COUNT + 1], Stamp("b" * 16, 3)),
    ),
    "rewritten": lambda door, used: store(door, [COUNT + 2], Stamp("b" * 16, 2), used[:1]),
    "more": lambda door, used: store(door, range(COUNT, COUNT + 5), Stamp("b" * 16, 3)),
    "more without a stamp": lambda door, used: store(door, range(COUNT, COUNT + 5), None),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", FOREIGN)
@pytest.mark.parametrize("stamps", [True, False], ids=["stamps", "ids"])
def test_what_changed_on_a_server_is_found(way: str, stamps: bool, tmp_path: Path) -> None:
    with served(stamps) as door:
        state = begun(door, tmp_path / "run")
        with opened(door) as pool:
            used = [*reselect(state, collection=pool).selection.selected_ids]
        FOREIGN[way](door, used)
        with opened(door) as pool:
            done = reselect(state, collection=pool)
            assert not done.changes.none
            if stamps and way == "one for another":  # the blind spot: nobody has stamped it
                pool.delete([COUNT + 1])
            same(done.selection, select(pool, QUERIES, WANTED))


def test_ids_are_paged_and_not_fetched_again(tmp_path: Path) -> None:
    """But for the vectors that densities were measured around, which may change in place."""
    with served(stamps=False) as door:
        state = begun(door, tmp_path / "run")
        run, arrays, _ = load_run(state)
        assert run.mark.way == "ids"
        door.requests.clear()
        with opened(door) as pool:
            done = reselect(state, collection=pool)
        assert done.run["searches"] == 0
        fetched = [one.body for one in door.requests if one.path.endswith("/points")]
        assert all(body["with_vector"] for body in fetched)
        assert sum(len(body["ids"]) for body in fetched) == int((arrays["place_of"] >= 0).sum())
        pages = [one.body for one in door.requests if one.path.endswith("/scroll")]
        assert [page.get("offset") for page in pages if not page.get("filter")] == [None]


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["Cosine", "Euclid", "Manhattan"])
@pytest.mark.parametrize("size", [20, 60])
def test_one_percent_more_costs_a_tenth_of_the_rows_at_most(
    metric: Any, size: int, tmp_path: Path
) -> None:
    """Without a graph everything is scanned."""
    count, new = 3_000, 30
    rows = clustered_rows(count + new, 12, 40).astype(np.float32)
    queries = near_queries(rows[:count], 12).astype(np.float32)
    wanted = SelectionSettings.of(sizes=(size,))
    with edge_pool(rows[:count], metric) as pool:
        state, first = begin_run(tmp_path / "run", pool, queries, wanted)
        # The strategy settles its scales at first; from then on they stay.
        searches = first.counts.neighbor_searches + first.counts.density_searches
        assert first.counts.rows_scanned >= searches * count
        pool.upsert(range(count, count + new), rows[count:])
        done = reselect(state, collection=pool)
        assert len(done.changes.came) == new
        scratch = select(pool, queries, wanted)
        assert done.run["rows_scanned"] > 0
        assert 10 * done.run["rows_scanned"] <= scratch.counts.rows_scanned
