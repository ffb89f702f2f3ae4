"""``select --state``, ``reselect``, ``runs`` and ``show``, from files to files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from typer.testing import Result

from tsds_qdrant import SelectionSettings, open_collection, select
from tsds_qdrant.collections.reserved import SEQUENCE_FIELD
from tsds_qdrant.errors import OutputError
from tsds_qdrant.selection import results

SIZE = 12


def run(*words: object, code: int = 0) -> Result:
    result = commands.run(*words, code=code)
    assert SEQUENCE_FIELD not in result.output
    return result


def refused(*words: object, code: int = 1) -> str:
    """The one line that the command says."""
    result = run(*words, code=code)
    if "--json" in words:
        assert json.loads(result.stdout)["error"]["message"] in result.stderr
    elif words[0] == "watch":
        assert json.loads(result.stdout)["error"] in result.stderr
    else:
        assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def rows_of(path: Path) -> list[dict[str, Any]]:
    assert SEQUENCE_FIELD not in path.read_text()
    return commands.rows_of(path)


def ingest(store: Path, first: int, rows: Any, place: list[str]) -> None:
    np.save(store / "part.npy", np.asarray(rows, dtype=np.float32))
    lines = [json.dumps({"text": f"text {first + k}"}) + "\n" for k in range(len(rows))]
    (store / "part.jsonl").write_text("".join(lines))
    run(
        *("ingest", store / "part.jsonl", "--vectors", store / "part.npy"),
        *(*place, "--id-field", "text"),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 16))
    ingest(
        store,
        0,
        centres[np.arange(300) % 20] + 0.3 * rng.normal(size=(300, 16)),
        ["--qdrant", str(store / "store"), "--collection", "pool"],
    )
    np.save(store / "Q.npy", centres[[0, 0, 1, 1]] + 0.3 * rng.normal(size=(4, 16)))
    np.save(store / "Q2.npy", centres[[0, 2, 3]] + 0.3 * rng.normal(size=(3, 16)))
    return store


@pytest.fixture
def store(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the collection, as the working directory, for one test to change."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def place() -> list[str]:
    return ["--qdrant", "store", "--collection", "pool"]


@pytest.fixture
def task(store: Path, place: list[str]) -> list[str]:
    words = [*place, "--queries", "Q.npy", "--size", str(SIZE), "--alpha", "0.3"]
    words += ["--cost-scale", "1", "--bandwidth", "1", "--state", "task.run"]
    run("select", *words, "--out", "before.jsonl")
    return words


def scratch(queries: str = "Q.npy") -> list[Any]:
    wanted = SelectionSettings.of(sizes=(SIZE,), alpha=0.3, cost_scale=1.0, bandwidth=1.0)
    collection = open_collection("store", "pool")
    chosen = select(collection, np.load(queries), wanted)
    collection.close()
    return chosen.selected_ids


@pytest.mark.slow
def test_more_is_ingested_and_the_selection_follows(
    store: Path, place: list[str], task: list[str]
) -> None:
    ingest(store, 300, np.load("Q.npy") + 0.02, place)
    done = run("reselect", "task.run", "--out", "after.jsonl", "--diff", "diff.jsonl", "--json")
    told = json.loads(done.stdout)
    assert done.stderr == ""
    assert (told["run"], told["kind"], told["came"], told["gone"]) == (2, "reselect", 4, 0)
    before, after = rows_of(store / "before.jsonl"), rows_of(store / "after.jsonl")
    assert [row["id"] for row in after] == scratch()
    assert all(list(row["payload"]) == ["text"] for row in after)
    changes = rows_of(store / "diff.jsonl")
    assert list(changes[0]) == ["id", "change", "old_probability", "new_probability"]
    parts = {
        name: {row["id"] for row in changes if row["change"] == name}
        for name in ("added", "removed", "kept")
    }
    ids = [{row["id"] for row in rows} for rows in (before, after)]
    assert parts["kept"] | parts["removed"] == ids[0]
    assert parts["kept"] | parts["added"] == ids[1]
    assert len(changes) == len(ids[0] | ids[1])
    assert (len(parts["added"]), len(parts["removed"])) == (told["added"], told["removed"])
    p = {row["id"]: row["probability"] for row in after}
    assert all(row["new_probability"] == p[row["id"]] for row in changes if row["id"] in p)
    manifest = json.loads((store / "after.jsonl.manifest.json").read_text())
    assert manifest["queries"] == {"source": str(store / "Q.npy"), "count": 4}
    assert manifest["collection"]["points"] == 304


def test_files_that_cannot_be_written_leave_the_run_as_it_was(
    store: Path, place: list[str], task: list[str]
) -> None:
    ingest(store, 300, np.load("Q.npy") + 0.02, place)
    words = ("reselect", "task.run", "--out", "after.jsonl", "--diff", "diff.jsonl")
    (store / "after.jsonl.manifest.json").mkdir()
    said = run(*words, code=1).stderr
    assert "error: 'after.jsonl.manifest.json' " in said
    assert not (store / "diff.jsonl").exists()
    assert len(json.loads(run("runs", "task.run", "--json").stdout)) == 1
    (store / "after.jsonl.manifest.json").rmdir()
    told = json.loads(run(*words, "--json").stdout)
    assert (told["run"], told["came"]) == (2, 4)
    changes = rows_of(store / "diff.jsonl")
    before = {row["id"]: row["probability"] for row in rows_of(store / "before.jsonl")}
    assert {row["id"]: row["old_probability"] for row in changes if row["id"] in before} == before
    assert any(row["old_probability"] != row["new_probability"] for row in changes)
    assert [row["id"] for row in rows_of(store / "after.jsonl")] == scratch()


def test_a_first_sample_that_cannot_be_written_begins_no_run(
    store: Path, task: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise OutputError("no room")

    words = ("select", *task[:-1], "new.run", "--out", "out.jsonl")
    with monkeypatch.context() as patched:
        patched.setattr(results, "write_manifest", no_room)
        run(*words, code=1)
    assert "there is no run state 'new.run'" in refused("reselect", "new.run")
    run(*words)
    assert rows_of(store / "out.jsonl") == rows_of(store / "before.jsonl")


def test_nothing_changed(store: Path, task: list[str]) -> None:
    spoken = run("reselect", "task.run", "--out", "after.jsonl")
    assert spoken.stdout == ""
    assert "0 points came or changed, 0 in use left (found by sequence; blind to" in spoken.stderr
    assert f"0 searches; sample: 0 added, 0 removed, {SIZE} kept (0.0" in spoken.stderr
    assert spoken.stderr.endswith("wrote after.jsonl, after.jsonl.manifest.json\n")
    assert "wrote" not in run("reselect", "task.run").stderr
    assert (store / "after.jsonl").read_bytes() == (store / "before.jsonl").read_bytes()


def test_another_task(store: Path, task: list[str]) -> None:
    run("reselect", "task.run", "--queries", "Q2.npy", "--out", "after.jsonl")
    assert [row["id"] for row in rows_of(store / "after.jsonl")] == scratch("Q2.npy")
    told = json.loads((store / "after.jsonl.manifest.json").read_text())
    assert told["queries"] == {"source": str(store / "Q2.npy"), "count": 3}
    assert (
        json.loads(run("show", "task.run", "--json").stdout)["queries"]
        == f"3 from {store / 'Q2.npy'}"
    )
    run("reselect", "task.run", "--out", "again.jsonl")
    assert (store / "again.jsonl").read_bytes() == (store / "after.jsonl").read_bytes()


def test_named_ids(store: Path, task: list[str]) -> None:
    collection = open_collection("store", "pool")
    collection.upsert([7, 8], np.load("Q.npy")[:2] + 0.01)
    collection.close()
    words = ("reselect", "task.run", "--changed-ids", "ids.txt", "--out", "after.jsonl", "--json")
    for named, came in (("7\n\n12345\n", 1), ("8", 1), ("7 8", 2)):
        (store / "ids.txt").write_text(named)
        assert json.loads(run(*words).stdout)["came"] == came
    assert json.loads(run(*words[:2], "--json").stdout)["came"] == 0  # not of an ingest
    assert [row["id"] for row in rows_of(store / "after.jsonl")] == scratch()
    (store / "ids.txt").write_text("7\nno id\n")
    assert "'no'" in refused(*words)
    assert "nowhere.txt' cannot be read" in refused(*words[:3], "nowhere.txt")


def test_points_by_other_means_are_noticed(store: Path, task: list[str]) -> None:
    collection = open_collection("store", "pool")
    collection.upsert([7, 8], np.load("Q.npy")[:2] + 0.01)
    collection.close()
    said = run("reselect", "task.run", "--out", "after.jsonl").stderr
    assert "2 points or more came by other means, so all of them count as changed" in said
    assert [row["id"] for row in rows_of(store / "after.jsonl")] == scratch()
    assert json.loads(run("reselect", "task.run", "--json").stdout)["came"] == 0


def test_history_and_facts(store: Path, place: list[str], task: list[str]) -> None:
    ingest(store, 300, np.load("Q.npy") + 0.02, place)
    run("reselect", "task.run")
    history = json.loads(run("runs", "task.run", "--json").stdout)
    assert [(entry["number"], entry["kind"]) for entry in history] == [
        (1, "select"),
        (2, "reselect"),
    ]
    table = run("runs", "task.run").stdout.splitlines()
    assert table[0].split()[:5] == ["number", "time", "kind", "came", "gone"]
    assert [line.split()[0] for line in table[2:]] == ["1", "2"]
    facts = json.loads(run("show", "task.run", "--json").stdout)
    assert facts["collection"] == f"pool in {store / 'store'}"
    assert facts["queries"] == f"4 from {store / 'Q.npy'}"
    assert (facts["sizes"], facts["alpha"], facts["cost_scale"], facts["bandwidth"]) == (
        *("12", 0.3, 1.0, 1.0),
    )
    assert (facts["support"], facts["runs"]) == (history[1]["support"], 2)
    assert "alpha 0.3" in facts["settings"]
    assert facts["changes"].startswith("by sequence, blind to points changed by other means")
    shown = run("show", "task.run").stdout
    assert next(one["kind"] for one in facts.pop("history")) == "select"
    said, history = shown.split("\n\n")
    assert [line.split(":")[0].strip() for line in said.splitlines()] == list(facts)
    assert history == run("runs", "task.run").stdout


@pytest.mark.slow
def test_the_ways_to_look(store: Path, task: list[str]) -> None:
    words = [*task[:-1], "other.run", "--out", "o.jsonl"]
    run("select", *words, "--detect-updates")
    assert "by ids, blind to points whose payload alone changed" in run("show", "other.run").stdout
    Path("other.run").unlink()
    assert "that have 'text' has a number or date in it" in refused(
        "select", *words, "--since-field", "text", code=2
    )
    without = [*words[:-4], *words[-2:], "--detect-updates"]
    assert "need a run; give --state RUN" in refused("select", *without, code=2)


def test_a_run_is_selected_again_only_with_its_settings(store: Path, task: list[str]) -> None:
    run("select", *task, "--out", "again.jsonl")
    assert (store / "again.jsonl").read_bytes() == (store / "before.jsonl").read_bytes()
    assert len(json.loads(run("runs", "task.run", "--json").stdout)) == 2
    line = refused("select", *task, "--seed", 3, "--out", "other.jsonl")
    assert "run state 'task.run' was made with seed 0, not 3; use 'tsds-qdrant reselect'" in line
    assert not (store / "other.jsonl").exists()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["reselect", "runs", "show", "watch"])
def test_states_that_cannot_be_used(store: Path, task: list[str], command: str) -> None:
    assert "there is no run state 'none.run'" in refused(command, "none.run")
    assert "run state 'before.jsonl' cannot be used" in refused(command, "before.jsonl")
    os.truncate("task.run", 20_000)
    assert "restore it from a copy, or select a" in refused(command, "task.run")


def test_a_collection_that_is_gone_or_another(store: Path, place: list[str], task: Any) -> None:
    rows = np.load("part.npy")
    shutil.rmtree("store/pool")
    assert "pool" in refused("reselect", "task.run", "--out", "after.jsonl")
    assert not (store / "after.jsonl").exists()
    ingest(store, 0, rows, place)
    line = refused("reselect", "task.run", "--out", "after.jsonl")
    assert "collection 'pool' was made again since the run, or is another one" in line
    assert "collection 'pool' was made again" in refused("watch", "task.run", "--once")
    assert len(json.loads(run("runs", "task.run", "--json").stdout)) == 1


@pytest.mark.parametrize("command", ["reselect", "watch"])
def test_a_folder_whose_collection_was_made_again_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Qdrant-client's local mode keeps no identity: none of the points that are known is there."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)

    def store(first: int) -> None:
        client = QdrantClient(path="folder")
        if client.collection_exists("pool"):
            client.delete_collection("pool")
        form = models.VectorParams(size=8, distance=models.Distance.COSINE)
        client.create_collection("pool", vectors_config=form)
        rows = rng.normal(size=(50, 8)).tolist()
        points = [models.PointStruct(id=first + k, vector=row) for k, row in enumerate(rows)]
        client.upsert("pool", points)
        client.close()

    store(0)
    np.save("Q.npy", rng.normal(size=(4, 8)))
    words = ("--qdrant", "folder", "--collection", "pool", "--queries", "Q.npy", "--size", 10)
    run("select", *words, "--out", "out.jsonl", "--state", "task.run")
    store(1000)
    before = Path("out.jsonl").read_bytes(), Path("task.run").read_bytes()
    once = ("--once",) if command == "watch" else ()
    line = refused(command, "task.run", *once, "--out", "out.jsonl")
    assert "none of 50 points of collection 'pool' that the run remembers is stored" in line
    assert "it was made again; select again with --state" in line
    assert (Path("out.jsonl").read_bytes(), Path("task.run").read_bytes()) == before
