"""Watch: every check is an event, servers may go away, and a signal ends it cleanly."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import free_port
from locked import open_elsewhere

from tsds_qdrant import SelectionSettings, open_collection, select
from tsds_qdrant.collections import create_collection
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.server.retries import Patience
from tsds_qdrant.errors import OutputError, SettingsError, StateError, UnreachableError
from tsds_qdrant.runs import address
from tsds_qdrant.runs import watch as watch_module
from tsds_qdrant.runs.begin import Keeping, begin_run
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.tagging import Tagging
from tsds_qdrant.runs.watch import LONGEST_PAUSE_S, WatchSettings, watch
from tsds_qdrant.selection.results import sample_paths
from tsds_qdrant.settings.texts import seconds_of

RNG = np.random.default_rng(5)
POOL = RNG.normal(size=(200, 4)).astype(np.float32)
QUERIES = RNG.normal(size=(5, 4)).astype(np.float32)
WANTED = SelectionSettings.of(sizes=(6,), alpha=0.5, cost_scale=1.0, bandwidth=0.6)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    collection = create_collection(str(tmp_path / "store"), "pool", dimension=4, metric="Euclid")
    collection.upsert(range(200), POOL, [{"text": f"t{k}"} for k in range(200)])
    begin_run(tmp_path / "task.run", collection, QUERIES, WANTED)
    collection.close()
    return tmp_path


@pytest.fixture
def state(store: Path) -> RunState:
    return RunState(store / "task.run")


def add_near(store: Path, first: int, row: int = 0) -> None:
    """A new point almost at a task example."""
    collection = open_collection(str(store / "store"), "pool")
    collection.upsert([first], QUERIES[row : row + 1] + 0.01, [{"text": f"t{first}"}])
    collection.close()


def listed(path: Path) -> list[Any]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def scratch(store: Path) -> list[Any]:
    collection = open_collection(str(store / "store"), "pool")
    chosen = select(collection, QUERIES, WANTED).selected_ids
    collection.close()
    return chosen


def played(
    state: RunState, settings: WatchSettings, *steps: Callable[[], Any]
) -> tuple[list[dict[str, Any]], list[float]]:
    """Events and pauses of a watch; each pause does the next step, and then the watch is over."""
    stop, todo = threading.Event(), list(steps)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if todo:
            todo.pop(0)()
        else:
            stop.set()

    return list(watch(state, settings, stop, pause=pause)), pauses


def test_once_is_one_event(state: RunState) -> None:
    events, pauses = played(state, WatchSettings(once=True))
    assert pauses == []
    assert [event["event"] for event in events] == ["unchanged"]
    assert events[0]["run"] == 1
    assert events[0]["searches"] == 0
    assert events[0]["time"].endswith("Z")
    json.dumps(events)


def test_a_check_that_finds_nothing_changed_writes_nothing(store: Path, state: RunState) -> None:
    before = state.path.read_bytes(), state.path.stat().st_mtime_ns
    events, _ = played(state, WatchSettings(), lambda: None, lambda: None)
    assert [(event["event"], event["run"]) for event in events] == [("unchanged", 1)] * 3
    assert (state.path.read_bytes(), state.path.stat().st_mtime_ns) == before
    add_near(store, 1000)
    events, _ = played(state, WatchSettings(), lambda: add_near(store, 1001, 1), lambda: None)
    assert [(event["event"], event["run"]) for event in events] == [
        ("changed", 2),
        ("changed", 3),
        ("unchanged", 3),
    ]
    assert [(run["number"], run["kind"]) for run in state.runs()] == [
        (1, "select"),
        (2, "reselect"),
        (3, "reselect"),
    ]


def test_a_stopped_watch_does_not_look(state: RunState) -> None:
    stop = threading.Event()
    stop.set()
    assert list(watch(state, WatchSettings(), stop)) == []
    assert len(state.runs()) == 1


def test_each_check_sees_the_changes_since_the_last(store: Path, state: RunState) -> None:
    out = store / "out.jsonl"
    out.write_text("an older selection\n")
    seen: list[list[Any]] = []

    def note_and_add() -> None:
        seen.append(listed(out))
        add_near(store, 1000)

    events, pauses = played(
        state, WatchSettings(every=7.0, out=out), note_and_add, lambda: seen.append(listed(out))
    )
    assert pauses == [7.0] * 3
    assert [event["event"] for event in events] == ["unchanged", "changed", "unchanged"]
    assert [event["came"] for event in events] == [0, 1, 0]
    assert 1000 not in seen[0]
    assert seen[1] == listed(out) == scratch(store)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["payload"] for row in rows] == [{"text": f"t{row['id']}"} for row in rows]


def test_a_watch_writes_what_a_killed_one_did_not(store: Path, state: RunState) -> None:
    """A watch that dies between the state and the file leaves an old file behind."""
    out = store / "out.jsonl"
    played(state, WatchSettings(once=True, out=out))
    add_near(store, 1000)
    played(state, WatchSettings(once=True))
    assert listed(out) != scratch(store)
    played(state, WatchSettings(once=True, out=out))
    assert listed(out) == scratch(store)


@pytest.fixture
def lost(state: RunState, monkeypatch: pytest.MonkeyPatch) -> RunState:
    """A run whose collection is on a server that is not there; retries do not wait."""
    patience = Patience(seconds=0.0)
    monkeypatch.setattr(watch_module, "Patience", lambda: patience)
    facts = state.facts()
    facts["collection"]["location"] = f"http://127.0.0.1:{free_port()}"
    state.save(facts, state.arrays(), {})
    return state


def test_a_lost_server_is_tried_again(lost: RunState) -> None:
    runs = len(lost.runs())
    nothing = [lambda: None] * 4
    events, pauses = played(lost, WatchSettings(every=100.0), *nothing)
    assert [event["event"] for event in events] == ["unreachable"] * 5
    assert [event["failures"] for event in events] == [1, 2, 3, 4, 5]
    assert "gives no answer" in events[0]["error"]
    assert pauses == [100.0, 200.0, 400.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert len(lost.runs()) == runs


def test_a_watch_goes_the_way_of_the_run(lost: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    facts, asked = lost.facts(), []
    facts["collection"]["grpc_port"] = 7000
    lost.save(facts, lost.arrays(), {})

    def away(*_: Any, **given: Any) -> None:
        asked.append(given["connection"])
        raise UnreachableError("away")

    monkeypatch.setattr(address, "open_collection", away)
    list(
        watch(lost, WatchSettings(once=True), threading.Event(), connection=Connection(api_key="k"))
    )
    (connection,) = asked
    assert (connection.api_key, connection.over_grpc, connection.grpc_port) == ("k", True, 7000)


def test_a_watch_gives_up_when_told_so(lost: RunState) -> None:
    events = watch(lost, WatchSettings(max_failures=3), threading.Event(), pause=lambda _: None)
    assert [next(events)["failures"] for _ in range(2)] == [1, 2]
    with pytest.raises(UnreachableError):
        next(events)


def test_a_server_that_comes_back(store: Path, lost: RunState) -> None:
    def come_back() -> None:
        facts = lost.facts()
        facts["collection"]["location"] = str(store / "store")
        lost.save(facts, lost.arrays(), {})

    events, pauses = played(lost, WatchSettings(every=3.0), lambda: None, come_back)
    assert [event["event"] for event in events] == ["unreachable", "unreachable", "unchanged"]
    assert pauses == [3.0, 6.0, 3.0]


def test_an_embedded_collection_in_use_is_tried_again(store: Path, state: RunState) -> None:
    other = ExitStack()
    other.enter_context(open_elsewhere(store / "store", "pool"))
    events, pauses = played(state, WatchSettings(every=2.0), other.close, lambda: None)
    assert [event["event"] for event in events] == ["locked", "unchanged", "unchanged"]
    assert pauses == [2.0, 2.0, 2.0]


def test_a_second_watch_is_refused(state: RunState) -> None:
    stop = threading.Event()
    first = watch(state, WatchSettings(), stop)
    next(first)
    with pytest.raises(StateError, match="is in use by another process"):
        next(watch(state, WatchSettings(), stop))
    first.close()
    played(state, WatchSettings(once=True))


def test_a_command_runs_after_each_change(store: Path, state: RunState) -> None:
    note = shlex.quote(str(store / "note"))
    command = f"echo ran >> {note}; exit 3"
    events, _ = played(
        state, WatchSettings(on_change=command), lambda: add_near(store, 1000), lambda: None
    )
    assert [event.get("on_change") for event in events] == [None, 3, None]
    assert (store / "note").read_text() == "ran\n"


def add_far(store: Path, first: int) -> None:
    collection = open_collection(str(store / "store"), "pool")
    collection.upsert([first], np.full((1, 4), 1e3, dtype=np.float32), [{"text": "far"}])
    collection.close()


@pytest.mark.parametrize("sampler", ["stable", "multinomial"])
def test_a_command_runs_only_where_what_is_selected_changed(
    store: Path, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store)
    collection = open_collection("store", "pool")
    wanted = SelectionSettings.of(
        sizes=(6, 3), alpha=0.5, cost_scale=1.0, bandwidth=0.6, sampler=sampler
    )
    state, _ = begin_run("own.run", collection, QUERIES, wanted)
    collection.close()
    out, command = store / "out.jsonl", "echo ran >> note; exit 3"
    settings = WatchSettings(once=True, on_change=command, out=out)
    played(state, settings)
    written = sample_paths(out, (3, 6))[3].read_bytes()

    def checked(settings: WatchSettings) -> tuple[Any, ...]:
        ((event,), _) = played(state, settings)
        return event["event"], event["selection_changed"], event.get("on_change")

    assert checked(settings) == ("unchanged", False, None)
    add_far(store, 1000)
    assert checked(settings) == ("changed", False, None)
    assert sample_paths(out, (3, 6))[3].read_bytes() == written
    add_near(store, 1001)
    assert checked(settings) == ("changed", True, 3)
    assert (store / "note").read_text() == "ran\n"


@pytest.mark.parametrize("with_file", [True, False])
def test_a_selected_point_that_was_written_again(store: Path, with_file: bool) -> None:
    """A file shows whether its payload is another one; without one it may be."""
    collection = open_collection(str(store / "store"), "pool")
    collection.upsert(range(200), POOL, [{"at": k} for k in range(200)])
    keeping = Keeping(since_field="at")
    state, first = begin_run(store / "own.run", collection, QUERIES, WANTED, keeping=keeping)
    collection.close()
    chosen = int(first.selected_ids[0])
    out = store / "out.jsonl" if with_file else None
    settings = WatchSettings(once=True, on_change="true", out=out)
    played(state, settings)

    def written(text: str) -> tuple[Any, ...]:
        collection = open_collection(str(store / "store"), "pool")
        collection.upsert([chosen], POOL[chosen : chosen + 1], [{"at": 1000, "text": text}])
        collection.close()
        ((event,), _) = played(state, settings)
        assert (event["added"], event["removed"]) == (0, 0)
        return event["event"], event["selection_changed"], event.get("on_change")

    assert written("new") == ("changed", True, 0)
    assert written("new") == ("changed", not with_file, None if with_file else 0)
    assert written("newer") == ("changed", True, 0)


def test_a_change_is_told_though_its_write_back_failed(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files and the state are new then, so the next check finds no change of its own."""
    collection = open_collection(str(store / "store"), "pool")
    tagging = Tagging("t", "r")
    state, _ = begin_run(
        store / "own.run", collection, QUERIES, WANTED, keeping=Keeping(tagging=tagging)
    )
    collection.close()
    add_near(store, 1000)
    plain, left = EdgeCollection.set_payload, [1]

    def away_once(self: EdgeCollection, *words: Any) -> None:
        if left:
            left.pop()
            raise UnreachableError("away")
        plain(self, *words)

    monkeypatch.setattr(EdgeCollection, "set_payload", away_once)
    out = store / "out.jsonl"
    seen: list[list[Any]] = []
    events, _ = played(
        state,
        WatchSettings(on_change="true", out=out),
        lambda: seen.append(listed(out)),
        lambda: None,
    )
    assert [event["event"] for event in events] == ["unreachable", "changed", "unchanged"]
    assert [event.get("on_change") for event in events] == [None, 0, None]
    assert seen == [scratch(store)]


def test_a_change_whose_file_cannot_be_written_is_found_again(store: Path, state: RunState) -> None:
    add_near(store, 1000)
    out = store / "out.jsonl"
    out.mkdir()
    with pytest.raises(OutputError):
        played(state, WatchSettings(once=True, out=out))
    assert len(state.runs()) == 1
    out.rmdir()
    events, _ = played(state, WatchSettings(once=True, out=out))
    assert [(event["event"], event["run"]) for event in events] == [("changed", 2)]
    assert listed(out) == scratch(store)


def started(*words: object) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "tsds_qdrant", "watch", *map(str, words)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command(store: Path, number: signal.Signals) -> None:
    with started(store / "task.run", "--every", "1h", "--out", store / "out.ids") as child:
        assert child.stdout is not None
        event = json.loads(child.stdout.readline())
        child.send_signal(number)
        rest = child.communicate(timeout=60)
    assert event["event"] == "unchanged"
    assert (child.returncode, rest) == (0, ("", ""))
    assert (store / "out.ids").read_text().split() == [str(i) for i in scratch(store)]


def test_the_output_of_a_command_is_talk(store: Path) -> None:
    add_near(store, 1000)
    command = "echo one; echo two # three"
    with started(store / "task.run", "--once", "--on-change", command) as child:
        shown, spoken = child.communicate(timeout=60)
    assert child.returncode == 0
    assert [json.loads(line)["on_change"] for line in shown.splitlines()] == [0]
    assert spoken == "one\ntwo\n"


def test_a_command_that_fails_is_said(store: Path) -> None:
    add_near(store, 1000)
    with started(store / "task.run", "--once", "--on-change", "exit 7") as child:
        shown, spoken = child.communicate(timeout=60)
    assert child.returncode == 0
    assert json.loads(shown)["on_change"] == 7
    assert spoken == "the command of --on-change ended with code 7: exit 7\n"


def test_times() -> None:
    given = ("60s", "5m", "1.5h", "1d", "60", "0.5")
    assert [seconds_of(text, "--every") for text in given] == [60, 300, 5400, 86400, 60, 0.5]
    for text in ("", "s", "5 minutes", "0", "-1s", "nan", "inf", "1e999d"):
        with pytest.raises(SettingsError, match="give a time like 60s, 5m or 1h"):
            seconds_of(text, "--every")
