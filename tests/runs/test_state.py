"""The state file: what is written comes back, whole or not at all, and nothing else is taken."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from profiles import examples

from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import CollectionMismatchError, StateError
from tsds_qdrant.runs import state as state_module
from tsds_qdrant.runs.address import check_identity
from tsds_qdrant.runs.run import check_settings, identity_of, load_run
from tsds_qdrant.runs.state import APPLICATION_ID, FORMAT, RunState
from tsds_qdrant.selection.settings import SelectionSettings

DTYPES = ("<f8", "<f4", "<i8", "<i4", "<u8", "|u1", "|b1", ">f8", ">i4")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
SAVES = """
import sys, numpy as np
from tsds_qdrant.runs.state import RunState
state = RunState(sys.argv[1])
turn = len(state.runs())
print("ready", flush=True)
while True:
    turn += 1
    state.save({"turn": turn}, {"rows": np.full(50_000, turn), "few": np.full(3, turn)}, {})
"""
HOLDS = """
import sys, time
from tsds_qdrant.runs.state import RunState
with RunState(sys.argv[1]).held():
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def state(tmp_path: Path) -> RunState:
    return RunState.create(tmp_path / "task.run")


def started(program: str, state: RunState) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", program, str(state.path)]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def killed(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL


def same(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    for name, array in left.items():
        assert array.dtype == right[name].dtype.newbyteorder("<")
        np.testing.assert_array_equal(array, right[name])
        assert array.flags.writeable


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    facts=st.dictionaries(st.text(max_size=8), JSON, max_size=4),
    arrays=st.dictionaries(
        st.text(max_size=8),
        st.sampled_from(DTYPES).flatmap(
            lambda dtype: arrays_of.arrays(
                dtype, arrays_of.array_shapes(max_dims=3, min_side=0, max_side=7)
            )
        ),
        max_size=4,
    ),
    part=st.sampled_from([1, 16, 100, 2**20]),
)
def test_facts_and_arrays_come_back(
    facts: dict[str, Any], arrays: dict[str, Any], part: int
) -> None:
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(state_module, "PART_BYTES", part)
        state = RunState.create(Path(directory) / "run")
        state.save({"old": 1}, {"old": np.zeros(9)}, {"turn": 1})
        assert state.save(facts, arrays, {"turn": 2}) == 2
        again = RunState(state.path)
        assert again.facts() == facts
        same(again.arrays(), arrays)
        assert again.runs() == [{"number": 1, "turn": 1}, {"number": 2, "turn": 2}]


def test_large_arrays_are_cut(state: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "PART_BYTES", 1_000)
    rows = np.random.default_rng(0).normal(size=(101, 7))
    state.save({}, {"rows": rows, "turned": rows.T, "nothing": rows[:0]}, {})
    with closing(sqlite3.connect(state.path)) as database:
        query = "SELECT name, count(*), max(length(content)) FROM arrays GROUP BY name"
        cut = {name: (parts, longest) for name, parts, longest in database.execute(query)}
    assert cut == {"nothing": (1, 0), "rows": (6, 17 * 56), "turned": (7, 101 * 8)}
    same(state.arrays(), {"rows": rows, "turned": rows.T, "nothing": rows[:0]})


def test_what_is_stored_already_is_not_written_again(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "PART_BYTES", 800)

    def rows() -> dict[tuple[str, int], int]:
        with closing(sqlite3.connect(state.path)) as database:
            found = database.execute("SELECT name, part, rowid FROM arrays").fetchall()
        return {(name, part): row for name, part, row in found}

    facts, arrays = {"a": [1], "b": 0.1}, {"x": np.arange(350), "y": np.ones(3), "z": np.ones(2)}
    assert state.save(facts, arrays, {}) == 1
    first, content = rows(), state.path.read_bytes()
    assert [part for name, part in sorted(first) if name == "x"] == [0, 1, 2, 3]
    assert state.save(facts, arrays, None) == 1
    assert state.path.read_bytes() == content
    grown = {"x": np.arange(351), "y": np.ones(3, dtype=np.float32), "w": np.zeros(1)}
    grown["x"][120] = -1
    assert state.save({"b": 0.1, "c": None}, grown, None) == 1
    same(state.arrays(), grown)
    assert state.facts() == {"b": 0.1, "c": None}
    kept = {key for key, row in rows().items() if first.get(key) == row}
    assert kept == {("x", 0), ("x", 2)}
    shorter = {"x": grown["x"][:150]}
    assert state.save({"c": None}, shorter, {}) == 2
    same(state.arrays(), shorter)
    assert set(rows()) == {("x", 0), ("x", 1)}


def test_parts_of_an_older_size_are_read_and_replaced(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "PART_BYTES", 2**28)
    state.save({}, {"x": np.arange(20_000)}, {})
    monkeypatch.undo()
    same(state.arrays(), {"x": np.arange(20_000)})
    state.save({}, {"x": np.arange(20_000)}, {})
    same(state.arrays(), {"x": np.arange(20_000)})


def test_a_save_that_fails_changes_nothing(state: RunState) -> None:
    state.save({"a": 1}, {"x": np.arange(3)}, {"turn": 1})
    assert RunState.create(state.path).facts() == {"a": 1}

    class Unwritable(dict[str, Any]):
        def items(self) -> Any:
            yield "x", np.arange(4)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        state.save({"a": 2}, Unwritable(), {"turn": 2})
    assert state.facts() == {"a": 1}
    same(state.arrays(), {"x": np.arange(3)})
    assert len(state.runs()) == 1


def test_a_killed_save_leaves_a_whole_state(state: RunState) -> None:
    state.save({"turn": 1}, {"rows": np.full(50_000, 1), "few": np.full(3, 1)}, {})
    rng = np.random.default_rng(0)
    for _ in range(5):
        child = started(SAVES, state)
        time.sleep(rng.uniform(0.0, 0.1))
        killed(child)
        turn, arrays = state.facts()["turn"], state.arrays()
        same(arrays, {"rows": np.full(50_000, turn), "few": np.full(3, turn)})
        assert len(state.runs()) == turn
    assert turn > 1


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"there is no run state '.*none\.run'; make one with"):
        RunState(tmp_path / "none.run")


@pytest.mark.parametrize("content", [b"", b"just text\n" * 100, b"x" * 4096])
def test_another_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    for way in (RunState, RunState.create):
        with pytest.raises(StateError, match=r"notes\.txt"):
            way(path)
    assert path.read_bytes() == content


def test_another_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE facts (name TEXT, value TEXT)")
    content = path.read_bytes()
    with pytest.raises(StateError, match=r"other\.db' is no run state; name the file given to"):
        RunState.create(path)
    assert path.read_bytes() == content


def test_another_format_is_refused(state: RunState) -> None:
    with closing(sqlite3.connect(state.path)) as database:
        assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        database.execute(f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(StateError, match=f"has format {FORMAT + 1}, this version reads {FORMAT}"):
        RunState(state.path)


def test_a_truncated_file_is_refused(state: RunState) -> None:
    state.save({"a": 1}, {"x": np.arange(50_000)}, {})
    os.truncate(state.path, state.path.stat().st_size // 2)
    with pytest.raises(StateError, match="restore it from a copy, or select again"):
        RunState(state.path).arrays()


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE facts SET value = '{'",
        "UPDATE arrays SET content = x'01'",
        "UPDATE arrays SET dtype = 'no such type'",
        "UPDATE arrays SET shape = '[7]'",
        "UPDATE runs SET facts = ''",
        "DROP TABLE arrays",
    ],
)
def test_harmed_content_is_refused(state: RunState, harm: str) -> None:
    state.save({"a": 1}, {"x": np.arange(5)}, {})
    with closing(sqlite3.connect(state.path)) as database, database:
        database.execute(harm)
    with pytest.raises(StateError, match="restore it from a copy, or select again"):
        json.dumps([state.facts(), list(state.arrays()), state.runs()])


@pytest.mark.parametrize("facts", [{}, {"settings": {}}, {"settings": {"sizes": [3]}}])
def test_a_state_without_a_run(state: RunState, facts: dict[str, Any]) -> None:
    if facts:
        state.save(facts, {}, {})
    with pytest.raises(StateError, match="is empty; select" if not facts else "lacks '"):
        load_run(state)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"cannot be made .*; choose a writable place"):
        RunState.create(tmp_path / "no" / "such" / "folder" / "task.run")
    state = RunState.create(tmp_path / "task.run")
    (tmp_path / "task.run.lock").mkdir()
    with pytest.raises(StateError, match=r"task\.run\.lock' cannot be made"), state.held():
        pass


def test_one_process_holds_a_state_until_it_dies(state: RunState) -> None:
    child = started(HOLDS, state)
    with pytest.raises(StateError, match="is in use by another process"), state.held():
        pass
    assert state.facts() == {}  # reading is free
    killed(child)
    for _ in range(2):
        with state.held():
            state.save({"a": 1}, {}, {})


def test_messages_name_what_differs() -> None:
    stored = SelectionSettings.of(sizes=(5,), alpha=0.5, where={"must": []})
    check_settings("r", SelectionSettings.restored(json.loads(json.dumps(stored.stored()))), stored)
    wanted = SelectionSettings.of(sizes=(5,), alpha=0.25, where={"must": []})
    with pytest.raises(StateError, match=r"'r' was made with alpha 0\.5, not 0\.25; use 'tsds"):
        check_settings("r", stored, wanted)
    info = CollectionInfo(
        *("here", "pool", "", 3, "Euclid"), count=1, indexed=0, segments=1, metadata={"model": "m"}
    )
    check_identity(info, identity_of(info) | {"location": "elsewhere"})
    with pytest.raises(CollectionMismatchError, match=r"dimension of .* 'pool' is '3', .* was '4'"):
        check_identity(info, identity_of(info) | {"dimension": 4})
    with pytest.raises(CollectionMismatchError, match="made again since the run"):
        check_identity(info, identity_of(info) | {"identity": "other"})
