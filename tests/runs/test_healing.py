"""Replicas that differ: a write that was not confirmed is made whole in each of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from commands import run
from door import Door, FailingWrites, Request, open_door
from hypothesis import given, settings
from hypothesis import strategies as st
from playback import Clock, Reply, failed
from qdrant_client import models
from recordings import recorded

from tsds_qdrant import Keeping, SelectionSettings, begin_run, reselect, select
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.server.collection import ServerCollection
from tsds_qdrant.errors import UnconfirmedWriteError, UnreachableError
from tsds_qdrant.runs.owed import Ledger
from tsds_qdrant.runs.settings import WatchSettings
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.tagging import Tagging
from tsds_qdrant.runs.watch import watch
from tsds_qdrant.runs.write_back import write_back
from tsds_qdrant.selection.selection import Selection

POOL = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32)
POOL[70:72] = 50.0  # far from whatever is selected
QUERIES = POOL[:3] + np.float32(0.01)
WANTED = SelectionSettings.of(sizes=(12,), exact=True)
TAGGING = Tagging("mine", "r1")
THEIRS = {"tsds": {"mine": {"rank": 3}}, "x": 1}
"""A payload with something of its own where the tag would go."""
UNCONFIRMED = recorded("cluster", "one dead, replication 2, write consistency 2: upsert")


@contextmanager
def replicated(replicas: int = 2, rows: Any = POOL) -> Iterator[Door]:
    with open_door(replicas) as door:
        params = models.VectorParams(size=3, distance=models.Distance.EUCLID)
        for node in door.nodes:
            node.client.create_collection("pool", vectors_config=params)
            batch = models.Batch(ids=list(range(len(rows))), vectors=np.asarray(rows).tolist())
            node.client.upsert("pool", batch)
            node.client.set_payload("pool", THEIRS, points=[70, 71])
        door.facts("pool").params |= {"replication_factor": replicas, "write_consistency_factor": 2}
        yield door


def patient(seconds: float) -> Connection:
    """Waits so long, of a time of its own; 0 for one attempt alone."""
    return Connection(patience=Clock().patience(seconds=seconds))


@contextmanager
def opened(door: Door, seconds: float = 0.0) -> Iterator[ServerCollection]:
    connection = patient(seconds)
    with ServerCollection.open(door.url, "pool", connection=connection) as pool:
        yield pool


def tags(door: Door, node: int, name: str = "mine") -> dict[Any, Any]:
    found = door.nodes[node].client.scroll("pool", limit=1000)[0]
    owned = {p.id: (p.payload or {}).get("tsds", {}).get(name) for p in found}
    return {i: tag for i, tag in owned.items() if tag is not None}


def expected(selection: Selection, run: str = "r1") -> dict[Any, Any]:
    rows = selection.sample_rows(max(selection.samples))
    tagged: dict[Any, Any] = {
        row["id"]: {
            "probability": pytest.approx(row["probability"], rel=1e-12),
            "rank": row["rank"],
            "run": run,
        }
        for row in rows
    }
    return {**tagged, **dict.fromkeys((70, 71), THEIRS["tsds"]["mine"])}  # type: ignore[index]


class From(FailingWrites):
    """Fails every write from number ``first`` on; ``applied`` on these replicas all the same."""

    def __init__(self, first: int, applied: Sequence[int]) -> None:
        super().__init__(UNCONFIRMED, *range(first, 100), applied=applied)


@pytest.mark.slow
@settings(deadline=None)
@given(
    first=st.integers(0, 1),
    applied=st.sampled_from([(), (0,), (1,), (0, 1)]),
    read=st.integers(0, 1),
    killed=st.booleans(),
)
def test_whatever_failed_all_replicas_are_right_in_the_end(
    first: int, applied: tuple[int, ...], read: int, killed: bool
) -> None:
    with TemporaryDirectory() as folder, replicated() as door:
        keeping = Keeping(tagging=TAGGING)
        with opened(door) as pool:
            state, earlier = begin_run(f"{folder}/run", pool, QUERIES, WANTED, keeping=keeping)
            write_back(pool, earlier, TAGGING, ledger=Ledger(state))
            assert tags(door, 0) == tags(door, 1) == expected(earlier)
            pool.upsert(range(900, 904), QUERIES[[0, 1, 2, 0]] + np.float32(0.02))
            pool.delete(earlier.selected_ids[:2])

            door.hook = From(first, applied)
            with pytest.raises((UnconfirmedWriteError, KeyboardInterrupt)):
                reselect(state, collection=pool, progress=killing if killed else quiet)
        assert RunState(state.path).owes("tags")
        door.hook = lambda request: None
        door.reading = read
        with opened(door) as pool:
            done = reselect(state, collection=pool)
            report = done.run["write_back"]
            assert report["whole"]
            assert (report["written"], report["unchanged"], report["missing"]) == (12, 0, 0)
        assert tags(door, 0) == tags(door, 1) == expected(done.selection)
        assert not RunState(state.path).owes("tags")
        with opened(door) as pool:
            again = reselect(state, collection=pool).run["write_back"]
        assert (again["whole"], again["written"], again["unchanged"]) == (False, 0, 12)


def quiet(stage: str, done: int, total: int) -> None:
    """Say nothing."""


def killing(stage: str, done: int, total: int) -> None:
    """End the process, as far as a test can, in the middle of a write-back."""
    if stage == "write back":
        raise KeyboardInterrupt


def test_a_failure_in_passing_is_repeated_as_it_was() -> None:
    with replicated() as door, opened(door, 60) as pool:
        selection = select(pool, QUERIES, WANTED)
        door.hook = FailingWrites(UNCONFIRMED, 0, 1, 3, applied=[1])
        report = write_back(pool, selection, TAGGING)
        assert report.written == 12
        assert tags(door, 0) == tags(door, 1) == expected(selection)
        reads = [r.path.rsplit("/", 1)[-1] for r in door.requests]
        first = reads.index("batch", reads.index("scroll"))
        assert set(reads[first:]) == {"batch"}  # no look in between


def test_without_a_state_replicas_get_everything() -> None:
    with replicated() as door:
        with opened(door) as pool:
            selection = select(pool, QUERIES, WANTED)
            door.hook = From(1, (1,))
            with pytest.raises(UnconfirmedWriteError):
                write_back(pool, selection, TAGGING)
        door.hook = lambda request: None
        assert tags(door, 0) != tags(door, 1)
        with opened(door) as pool:
            report = write_back(pool, selection, TAGGING)
        assert report.whole
        assert tags(door, 0) == tags(door, 1) == expected(selection)


@pytest.mark.slow
@pytest.mark.parametrize(("replicas", "lacking"), [(2, False), (2, True), (3, True)])
def test_replicas_that_are_seen_to_differ_are_healed(
    tmp_path: Path, replicas: int, lacking: bool
) -> None:
    with replicated(replicas) as door, opened(door) as pool:
        keeping = Keeping(tagging=TAGGING)
        state, selection = begin_run(tmp_path / "run", pool, QUERIES, WANTED, keeping=keeping)
        write_back(pool, selection, TAGGING, ledger=Ledger(state))
        other, (first, *_) = door.nodes[-1].client, selection.selected_ids
        if lacking:
            other.delete_payload("pool", ["tsds"], points=[first])
        else:
            stale = {"tsds": {"mine": {"rank": 1, "run": "r0"}}}
            strangers = sorted(set(range(70)) - set(selection.selected_ids))
            other.set_payload("pool", stale, points=strangers[:2])
        done = reselect(state, collection=pool)
        assert done.run["write_back"]["whole"]
        assert all(tags(door, k) == expected(selection) for k in range(replicas))
        assert not reselect(state, collection=pool).run["write_back"]["whole"]


def test_clearing_is_cut_where_one_request_is_too_much() -> None:
    too_large = failed(429, "request larger than rate limiter capacity, please try to split it")

    def hook(request: Request) -> Reply | None:
        if not request.writes:
            return None
        (operation, *_) = request.body["operations"]
        where = operation.get("delete_payload", {}).get("filter")
        if where is None:
            return None
        ranges = [c["range"] for c in where["must"]]
        asked.append((max(r.get("gte") or 0 for r in ranges), [r.get("lt") for r in ranges][-1]))
        first, last = asked[-1]
        return too_large if (last is None and first < 5) or (last or 0) - first > 4 else None

    asked: list[tuple[float, float | None]] = []
    with replicated() as door, opened(door) as pool:
        selection = select(pool, QUERIES, WANTED)
        write_back(pool, selection, TAGGING)
        stale = {"tsds": {"mine": {"rank": 200, "run": "r0"}}}
        door.nodes[1].client.set_payload("pool", stale, points=[69])
        door.hook = hook
        write_back(pool, selection, TAGGING)
        assert tags(door, 0) == tags(door, 1) == expected(selection)
    assert len(asked) > 4
    assert any(last is None and first >= 5 for first, last in asked)


def test_a_watch_goes_on_and_heals(tmp_path: Path) -> None:
    with replicated() as door:
        with opened(door) as pool:
            keeping = Keeping(tagging=TAGGING)
            state, _ = begin_run(tmp_path / "run", pool, QUERIES, WANTED, keeping=keeping)
        door.hook = From(0, (0,))
        events = watch(
            state,
            WatchSettings(every=1.0),
            threading.Event(),
            connection=patient(0),
            pause=lambda seconds: None,
        )
        event = next(events)
        assert event["event"] == "unreachable"
        assert "may have stored a write only in part" in event["error"]
        door.hook = lambda request: None
        event = next(events)
        assert (event["write_back"]["whole"], event["write_back"]["written"]) == (True, 12)
        assert tags(door, 0) == tags(door, 1)
        assert next(events)["write_back"]["whole"] is False


def test_what_replicas_are_at_is_said(tmp_path: Path) -> None:
    with replicated() as door:
        with opened(door) as pool:
            state, _ = begin_run(tmp_path / "run", pool, QUERIES, WANTED)
            assert "warnings" not in reselect(state, collection=pool).run
        door.nodes[1].client.delete("pool", [40, 41, 42])
        said = run("reselect", state.path).stderr
        assert "warning: its replicas differ (77 to 80 points)" in said
        place = ("--qdrant", door.url, "--collection", "pool")
        assert "its replicas differ (77 to 80 points)" in run("check", *place, code=4).stdout
        figures = json.loads(run("check", *place, "--json", code=4).stdout)["cluster"]
        assert (figures["counts"], figures["states"]) == ([77, 80, 80], {"Active": 2})
        door.facts("pool").states[1] = "Dead"
        (event,) = watch(state, WatchSettings(once=True), threading.Event())
        away, unwritable = event["warnings"]
        assert "1 of 2 replicas are not active (Dead)" in away
        assert "a write needs 2 confirmations, which shard 0 cannot give" in unwritable
        np.save(tmp_path / "q.npy", QUERIES)
        words = ("--queries", tmp_path / "q.npy", "--size", 5, "--write-back", "x", "--dry-run")
        spoken = run("select", *place, *words, "--out", tmp_path / "s.jsonl").stderr
        assert "warning: a write needs 2 confirmations" in spoken


def test_an_embedded_run_remembers_too(tmp_path: Path) -> None:
    from pool_oracle import edge_pool

    with edge_pool(POOL) as pool:
        keeping = Keeping(tagging=TAGGING)
        state, selection = begin_run(tmp_path / "run", pool, QUERIES, WANTED, keeping=keeping)
        with pytest.raises(KeyboardInterrupt):
            write_back(pool, selection, TAGGING, ledger=Ledger(state), progress=killing)
        assert state.owes("tags")
        assert reselect(state, collection=pool).run["write_back"]["whole"]
        tagged = {
            record.id: record.payload["tsds"]["mine"]["rank"]
            for page in pool.scroll()
            for record in page
            if "tsds" in record.payload
        }
        assert tagged == {row["id"]: row["rank"] for row in selection.sample_rows(12)}
        assert not state.owes("tags")


def test_points_of_several_spaces_are_the_same_in_all_replicas() -> None:
    params = {
        "a": models.VectorParams(size=3, distance=models.Distance.EUCLID),
        "b": models.VectorParams(size=2, distance=models.Distance.EUCLID),
    }
    with open_door(2) as door:
        for node in door.nodes:
            node.client.create_collection("pool", vectors_config=params)
        old = models.PointStruct(id=1, vector={"a": [1, 1, 1], "b": [2, 2]}, payload={"old": 1})
        door.nodes[0].client.upsert("pool", [old])
        door.nodes[1].client.upsert("pool", [old.model_copy(update={"id": 2})])
        door.facts("pool").params |= {"replication_factor": 2, "write_consistency_factor": 2}
        connection = patient(60)
        with ServerCollection.open(door.url, "pool", vector="a", connection=connection) as pool:
            door.hook = FailingWrites(UNCONFIRMED, 0, 1, applied=[0])
            pool.upsert([1, 2, 3], POOL[:3], [{"n": k} for k in range(3)])
        found = [
            {p.id: p for p in node.client.scroll("pool", with_vectors=True)[0]}
            for node in door.nodes
        ]
    for node in found:
        assert {i: p.payload for i, p in node.items()} == {1: {"n": 0}, 2: {"n": 1}, 3: {"n": 2}}
        for k, i in enumerate((1, 2, 3)):
            assert node[i].vector["a"] == pytest.approx(POOL[k].tolist())  # type: ignore
    assert found[0][1].vector["b"] == found[1][2].vector["b"] == [2, 2]  # type: ignore


def test_a_replica_that_lacks_a_point_is_no_refusal() -> None:
    with replicated() as door:
        door.nodes[1].client.delete("pool", [5])
        with opened(door) as pool:
            pool.set_payload("tsds.mine", [4, 5, 6], [{"rank": k, "run": "r"} for k in range(3)])
            assert {4, 5, 6} <= set(tags(door, 0))
            assert {4, 6} <= set(tags(door, 1))
            with pytest.raises(UnreachableError, match="lacks points that another one has"):
                pool.set_vectors([4, 5], POOL[:2])


def test_payloads_come_in_one_order_whichever_node_answers(tmp_path: Path) -> None:
    from commands import rows_of

    np.save(tmp_path / "q.npy", QUERIES)
    with replicated() as door:
        content = {"b": 1, "a": {"z": [{"y": 1, "x": 2}], "c": None}, "ä": "é", "A": 0}
        other = {"A": 0, "ä": "é", "a": {"c": None, "z": [{"x": 2, "y": 1}]}, "b": 1}
        every = list(range(len(POOL)))
        door.nodes[0].client.set_payload("pool", content, points=every)
        door.nodes[1].client.set_payload("pool", other, points=every)
        written = []
        for door.reading in range(2):
            out = tmp_path / f"{door.reading}.jsonl"
            place = ("--qdrant", door.url, "--collection", "pool", "--out", out)
            run("select", *place, "--queries", tmp_path / "q.npy", "--size", 9, "--exact")
            written.append(out.read_bytes())
    assert written[0] == written[1]
    assert any(row["payload"]["a"] == content["a"] for row in rows_of(tmp_path / "0.jsonl"))
