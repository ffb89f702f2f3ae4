"""A watch that searches in a mirror: its server is asked for changes, and answers no search."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run
from door import Door, Request, open_door
from locked import open_elsewhere
from playback import failed
from pool_oracle import clustered_rows, near_queries
from qdrant_client import models

from tsds_qdrant import open_collection
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.server.retries import Patience
from tsds_qdrant.mirror.report import MirrorReport
from tsds_qdrant.mirror.settings import MirrorSettings
from tsds_qdrant.runs.mirrored import Mirrored
from tsds_qdrant.runs.settings import WatchSettings
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.watch import watch

POOL: Any = clustered_rows(300, 6, 8)
QUERIES: Any = near_queries(POOL, 6)
FLAGS = ("--collection", "docs", "--queries", "Q.npy", "--size", 12, "--exact")
OUT = Path("s.jsonl")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("Q.npy", QUERIES)


@pytest.fixture
def door() -> Iterator[Door]:
    with open_door() as door:
        put(door, range(len(POOL)))
        yield door


def put(door: Door, which: range, rows: Any = POOL, text: str = "text") -> None:
    if not door.client.collection_exists("docs"):
        params = models.VectorParams(size=6, distance=models.Distance.COSINE)
        door.client.create_collection("docs", vectors_config=params)
    made = [
        models.PointStruct(
            id=k + 1,
            vector=rows[k % len(rows)].tolist(),
            payload={"text": f"{text} {k}", "source": f"s{k % 3}"},
        )
        for k in which
    ]
    door.client.upsert("docs", made)


def put_near(door: Door, number: int) -> None:
    """A new point almost at a task example."""
    put(door, range(number - 1, number), QUERIES[number % len(QUERIES) :] + 0.001)


def searches(requests: list[Request]) -> list[str]:
    return [one.path for one in requests if "/query" in one.path or "/search" in one.path]


def began(door: Door, *flags: object) -> None:
    """A run on the server; what it asked there is forgotten."""
    words = ("select", "--qdrant", door.url, *FLAGS, *flags)
    run(*words, "--state", "theirs.run", "--out", "theirs.jsonl")
    run(*words, "--state", "task.run", "--out", OUT)
    door.requests.clear()


def played(
    *steps: Callable[[], Any], settings: WatchSettings | None = None
) -> tuple[list[dict[str, Any]], list[MirrorReport]]:
    """Events of a watch with a mirror, each pause of which does a step, and what was mirrored."""
    stop, todo = threading.Event(), list(steps)
    reports: list[MirrorReport] = []

    def pause(_: float) -> None:
        todo.pop(0)() if todo else stop.set()

    mirrored = Mirrored(MirrorSettings(to=Path("mirror")), reports.append)
    connection = Connection(patience=Patience(seconds=0.0))
    events = watch(
        RunState("task.run"),
        settings or WatchSettings(out=OUT),
        stop,
        connection=connection,
        pause=pause,
        mirrored=mirrored,
    )
    return list(events), reports


def as_on_the_server(door: Door) -> None:
    """What was selected last is what a repair on the server finds."""
    run("reselect", "theirs.run", "--out", "theirs.jsonl")
    ours, theirs = rows_of(OUT), rows_of("theirs.jsonl")
    assert [row["id"] for row in ours] == [row["id"] for row in theirs]
    assert [row["payload"] for row in ours] == [row["payload"] for row in theirs]
    p, q = ([row["probability"] for row in rows] for rows in (ours, theirs))
    np.testing.assert_allclose(np.array(p, float), np.array(q, float), rtol=1e-5)
    door.requests.clear()


STRATEGIES: tuple[tuple[str, ...], ...] = (
    (),
    ("--filter", "source=s1"),
    ("--strategy", "round-robin"),
    ("--strategy", "random"),
    ("--write-back", "task"),
)


@pytest.mark.parametrize("flags", STRATEGIES, ids=" ".join)
def test_only_a_change_brings_the_mirror_up_to_date(door: Door, flags: tuple[str, ...]) -> None:
    began(door, *flags)
    asked: list[list[Request]] = []

    def then(change: Callable[[], Any]) -> Callable[[], None]:
        def step() -> None:
            assert not searches(door.requests)
            asked.append([*door.requests])
            change()
            door.requests.clear()

        return step

    chosen = rows_of(OUT)[0]["id"]
    steps = [
        then(lambda: None),
        then(lambda: put_near(door, 302)),
        then(lambda: None),
        then(lambda: door.client.delete("docs", [chosen])),
        then(lambda: None),
    ]
    events, reports = played(*steps)
    assert not searches(door.requests)
    named = [event["event"] for event in events]
    assert named == ["unchanged", "unchanged", "changed", "unchanged", "changed", "unchanged"]
    assert [event["run"] for event in events] == [1, 1, 2, 2, 3, 3]
    assert [event["came"] for event in events] == [0, 0, 1, 0, 0, 0]
    assert [report.points for report in reports] == [300, 301, 300]
    assert [(report.added, report.deleted) for report in reports[1:]] == [(1, 0), (0, 1)]
    reading = [sum(one.path.endswith("/points/scroll") for one in round_) for round_ in asked]
    assert reading[1] == reading[3] < reading[2]
    assert events[1]["searches"] == events[3]["searches"] == 0
    if "--write-back" in flags:
        tagged = {"must": [{"key": "tsds.task.rank", "range": {"gte": 0}}]}
        with open_collection(door.url, "docs") as server:
            there = {point_id for page in server.scroll_ids(tagged) for point_id in page}
        assert there == {row["id"] for row in rows_of(OUT)}
        return
    as_on_the_server(door)


def test_a_vector_that_was_changed_in_place_is_seen_at_home(door: Door) -> None:
    began(door)
    events, _ = played()
    first = rows_of(OUT)[0]["id"]
    moved = POOL[(POOL @ QUERIES.mean(axis=0)).argmin()]
    put(door, range(first - 1, first), [moved])
    events, reports = played()
    assert [(event["event"], event["came"]) for event in events] == [("changed", 1)]
    assert [report.updated for report in reports] == [1]
    as_on_the_server(door)
    assert first not in {row["id"] for row in rows_of(OUT)}


def test_what_ingest_stamped_is_found_by_its_stamps(door: Door) -> None:
    door.client.delete_collection("docs")
    np.save("pool.npy", POOL)
    place = ("--qdrant", door.url, "--collection", "docs")
    run("ingest", "--vectors", "pool.npy", *place)
    began(door)
    near = np.concatenate([POOL, QUERIES[:1] + 0.001])
    np.save("more.npy", near)
    events, reports = played(lambda: run("ingest", "--vectors", "more.npy", *place), lambda: None)
    assert [event["event"] for event in events] == ["unchanged", "changed", "unchanged"]
    assert [event["came"] for event in events] == [0, 1, 0]
    assert len(reports) == 2
    as_on_the_server(door)


def test_a_mirror_that_is_older_than_the_run_is_not_taken_for_new(door: Door) -> None:
    began(door)
    played()
    put_near(door, 302)
    run("reselect", "task.run", "--out", OUT)  # on the server itself
    door.requests.clear()
    events, reports = played()
    assert [event["event"] for event in events] == ["unchanged"]
    assert [report.points for report in reports] == [301]
    assert not searches(door.requests)
    as_on_the_server(door)


def test_a_server_that_is_away_and_a_mirror_that_is_open_elsewhere(door: Door) -> None:
    began(door)
    played()
    door.hook = lambda request: failed(503, "starting") if "/scroll" in request.path else None
    put_near(door, 302)

    def back() -> None:
        door.hook = lambda request: None

    events, reports = played(lambda: None, back)
    assert [event["event"] for event in events] == ["unreachable", "unreachable", "changed"]
    assert [report.points for report in reports] == [301]
    with open_elsewhere(Path("mirror"), "docs"):
        events, _ = played()
    assert [event["event"] for event in events] == ["locked"]
    as_on_the_server(door)


def test_a_collection_that_was_made_again_ends_the_watch(door: Door) -> None:
    began(door)
    played()
    door.client.delete_collection("docs")
    put(door, range(1000, 1300))
    said = run("watch", "task.run", "--once", "--mirror", "mirror", code=1)
    assert json.loads(said.stdout)["event"] == "failed"
    assert "made again" in said.stderr


def test_the_command_line(door: Door) -> None:
    began(door)
    words = ("watch", "task.run", "--once", "--mirror", "mirror", "--out", OUT)
    said = run(*words)
    assert json.loads(said.stdout)["event"] == "unchanged"
    assert "docs in mirror: added" in said.stderr
    said = run(*words)
    assert (json.loads(said.stdout)["event"], said.stderr) == ("unchanged", "")
    door.client.delete("docs", [rows_of(OUT)[0]["id"]])
    said = run(*words, "--on-change", "rm -r mirror")  # which is closed by then
    event = json.loads(said.stdout)
    assert (event["event"], event["on_change"]) == ("changed", 0)
    assert not Path("mirror").exists()
    as_on_the_server(door)


def test_a_run_that_is_on_no_server_is_refused(door: Door) -> None:
    run("mirror", "--qdrant", door.url, "--collection", "docs", "--to", "copy")
    run("select", "--qdrant", "copy", *FLAGS, "--state", "here.run", "--out", OUT)
    said = run("watch", "here.run", "--once", "--mirror", "mirror", code=2).stderr
    assert "--mirror is for a collection on a server, " in said
    assert "/copy' is searched where it is; leave --mirror out" in said
    assert not Path("mirror").exists()


def test_a_run_on_a_shard_key(door: Door) -> None:
    door.shard("docs", "acme", "other")
    began(door, "--shard-key", "acme")
    words = ("watch", "task.run", "--once", "--mirror", "mirror", "--out", OUT)
    assert "(shard key 'acme')" in run(*words).stderr
    door.client.delete("docs", [rows_of(OUT)[0]["id"]])
    assert json.loads(run(*words).stdout)["selection_changed"]
    assert run(*words).stderr == ""
    assert not searches(door.requests)
    as_on_the_server(door)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_watch_that_is_ended_in_a_round_leaves_the_old_mirror_or_the_new(
    door: Door, number: signal.Signals
) -> None:
    began(door)
    played()
    put_near(door, 302)
    command = [sys.executable, "-m", "tsds_qdrant", "watch", "task.run", "--mirror", "mirror"]
    reached = threading.Event()

    def wait(request: Request) -> None:
        if request.path.endswith("/scroll") and request.body.get("with_vector"):
            reached.set()
            over.wait(20)

    over, door.hook = threading.Event(), wait
    watching = subprocess.Popen([*command, "--out", OUT], stdout=subprocess.PIPE, text=True)
    assert reached.wait(60)
    os.kill(watching.pid, number)
    if number == signal.SIGKILL:
        watching.wait(20)
    over.set()
    said, _ = watching.communicate(timeout=60)
    with open_collection("mirror", "docs") as copy:
        points = copy.count()
    if number == signal.SIGKILL:
        assert (said, points) == ("", 300)
    else:  # the round is done
        assert [json.loads(line)["event"] for line in said.splitlines()] == ["changed"]
        assert (watching.returncode, points) == (0, 301)
    door.hook = lambda request: None
    events, _ = played()
    assert events[0]["run"] == 2
    as_on_the_server(door)
