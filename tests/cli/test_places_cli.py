"""Places on the command line: relative, moved, of another kind; results into pipes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from commands import rows_of, run
from qdrant_client import QdrantClient, models

from tsds_qdrant import Destination, create_collection, ingest_vectors, open_collection
from tsds_qdrant.runs.state import RunState

RNG = np.random.default_rng(11)
ROWS = RNG.normal(size=(80, 5)).astype(np.float32)
POOL = ("--qdrant", "store", "--collection", "pool", "--queries", "Q.npy")
TSDS = f"{sys.executable} -m tsds_qdrant"


def tsds(directory: Path, *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A process of its own whose working directory is ``directory``."""
    ran = subprocess.run(
        [sys.executable, "-m", "tsds_qdrant", *map(str, words)],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    return ran


def in_bash(directory: Path, line: str) -> tuple[str, str]:
    """What ``line`` prints on stdout and on stderr; ``tsds`` in it is the command."""
    script = f'tsds() {{ {TSDS} "$@"; }}; {line}'
    ran = subprocess.run(
        ["bash", "-c", script], cwd=directory, capture_output=True, text=True, check=False
    )
    return ran.stdout, ran.stderr


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a pool, task examples and a directory beside them."""
    ingest_vectors(Destination(str(tmp_path / "store"), "pool"), ROWS)
    np.save(tmp_path / "Q.npy", ROWS[:3] + 0.1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_relative(state: Path, location: str) -> None:
    """A state as it was kept before paths were absolute."""
    with closing(sqlite3.connect(state)) as database, database:
        (text,) = database.execute("SELECT value FROM facts WHERE name = 'collection'").fetchone()
        changed = json.dumps({**json.loads(text), "location": location})
        database.execute("UPDATE facts SET value = ? WHERE name = 'collection'", (changed,))


# Relative paths


@pytest.mark.slow
def test_a_run_goes_on_from_every_directory(here: Path) -> None:
    run("select", *POOL, "--size", 5, "--out", "s.jsonl", "--state", "task.run")
    point = rows_of("s.jsonl")[0]["id"]
    for directory in (here / "elsewhere", Path("/")):
        state = here / "task.run"
        place = here / "elsewhere"
        tsds(directory, "reselect", state, "--out", place / "again.jsonl")
        tsds(directory, "explain", state, "--id", point)
        tsds(directory, "export", state, "--format", "plain", "--out", place / "t.jsonl")
        tsds(directory, "watch", state, "--once")
        tsds(directory, "report", state, "--out", place / "r.html")
    assert (here / "elsewhere" / "again.jsonl").read_bytes() == (here / "s.jsonl").read_bytes()
    facts = RunState("task.run").facts()
    assert facts["collection"]["location"] == str(here / "store")
    assert facts["queries"]["source"] == str(here / "Q.npy")


@pytest.mark.slow
def test_a_manifest_selects_again_from_every_directory(here: Path) -> None:
    held_out = here / "held.npy"
    np.save(held_out, ROWS[20:24])
    run("select", *POOL, "--size", 5, "--exclude", "held.npy", "--out", "s.jsonl")
    config = ("--config", here / "s.jsonl.manifest.json")
    tsds(here / "elsewhere", "select", *config, "--out", "s.jsonl")
    assert (here / "elsewhere" / "s.jsonl").read_bytes() == (here / "s.jsonl").read_bytes()


def test_test_items_are_the_same_by_another_path(here: Path) -> None:
    np.save(here / "held.npy", ROWS[20:24])
    words = [*POOL, "--size", 5, "--out", "s.jsonl", "--state", "task.run", "--exclude"]
    run("select", *words, "held.npy")
    run("select", *words, here / "held.npy")
    shutil.copy("held.npy", "copied.npy")
    run("select", *words, "copied.npy")
    np.save(here / "held.npy", ROWS[20:23])
    assert "keeps other test items out" in run("select", *words, "held.npy", code=1).stderr


@pytest.mark.slow
@pytest.mark.parametrize("location", ["store", "./store/", "elsewhere/../store"])
def test_an_older_relative_state_is_found_from_here_and_by_the_state(
    here: Path, location: str
) -> None:
    run("select", *POOL, "--size", 5, "--out", "s.jsonl", "--state", "task.run")
    make_relative(here / "task.run", location)
    tsds(here / "elsewhere", "export", "../task.run", "--format", "plain", "--out", "t.jsonl")
    shutil.copy("task.run", "elsewhere/copy.run")
    tsds(here, "reselect", "elsewhere/copy.run", "--out", "elsewhere/s.jsonl")
    make_relative(here / "task.run", location)
    tsds(here / "elsewhere", "reselect", "../task.run", "--out", "s.jsonl")
    assert RunState("task.run").fact("collection")["location"] == str(here / "store")


def test_of_two_places_the_one_with_the_run_s_collection_is_taken(here: Path) -> None:
    run("select", *POOL, "--size", 5, "--out", "s.jsonl", "--state", "task.run")
    make_relative(here / "task.run", "store")
    ingest_vectors(Destination(str(here / "elsewhere" / "store"), "pool"), ROWS + 1)
    tsds(here / "elsewhere", "reselect", "../task.run", "--out", "s.jsonl")
    assert (here / "elsewhere" / "s.jsonl").read_bytes() == (here / "s.jsonl").read_bytes()


@pytest.mark.slow
def test_a_moved_store_is_named_and_remembered(here: Path) -> None:
    run("select", *POOL, "--size", 5, "--out", "s.jsonl", "--state", "task.run")
    (here / "store").rename(here / "moved")
    page = ("--out", "r.html")
    form = ("--format", "plain", "--out", "t.jsonl")
    commands = {"explain": ("--id", 1), "export": form, "report": page, "watch": ("--once",)}
    for command, words in commands.items():
        refused = run(command, "task.run", *words, code=1).stderr
        assert f"'pool' of run 'task.run' is no longer in '{here / 'store'}'; give" in refused
        assert "with --qdrant" in refused
        if command != "watch":
            run(command, "task.run", *words, "--qdrant", "moved")
    tsds(here / "elsewhere", "reselect", "../task.run", "--out", "s.jsonl", code=1)
    words = ["reselect", "../task.run", "--out", "s.jsonl", "--qdrant", "../moved"]
    tsds(here / "elsewhere", *words)
    tsds(here / "elsewhere", *words[:4])
    assert (here / "elsewhere" / "s.jsonl").read_bytes() == (here / "s.jsonl").read_bytes()
    (here / "moved").rename(here / "again")
    run("watch", "task.run", "--once", "--qdrant", here / "again")
    run("watch", "task.run", "--once")


def test_another_collection_is_not_taken_for_a_moved_one(here: Path) -> None:
    run("select", *POOL, "--size", 5, "--out", "s.jsonl", "--state", "task.run")
    ingest_vectors(Destination("other", "pool"), ROWS)
    create_collection("small", "pool", dimension=3).close()
    for place, words in {
        "other": "is another one of that name",
        "small": "dimension of collection 'pool' is '3', in the run it was '5'",
        "nowhere": "no collection 'pool' in nowhere (that directory does not exist, seen from",
        ":memory:": "holds nothing once the command ends",
    }.items():
        for command in ("reselect", "watch"):
            code = 2 if place == ":memory:" else 1
            refused = run(command, "task.run", "--qdrant", place, code=code).stderr
            assert words in refused
    before = RunState("task.run").runs()
    assert len(before) == 1


# Folders of qdrant-client, and memory


@pytest.mark.slow
def test_a_folder_of_the_client_serves_all_but_writing(here: Path) -> None:
    client = QdrantClient(path="local")
    client.create_collection(
        "pool", vectors_config=models.VectorParams(size=5, distance=models.Distance.COSINE)
    )
    points = [models.PointStruct(id=k, vector=row.tolist()) for k, row in enumerate(ROWS)]
    client.upsert("pool", points)
    client.close()
    folder = ("--qdrant", "local", "--collection", "pool")
    checked = run("check", *folder)
    assert "copy it into a directory with 'tsds-qdrant mirror'" in checked.stdout
    run("select", *POOL, "--size", 5, "--out", "s.jsonl")
    words = [*folder, "--queries", "Q.npy", "--size", 5, "--out", "c.jsonl"]
    assert "which is faster" in run("select", *words, "--state", "c.run").stderr
    assert [row["id"] for row in rows_of("c.jsonl")] == [row["id"] for row in rows_of("s.jsonl")]
    run("path", *folder, "--queries", "Q.npy")
    run("compare", *folder, "--queries", "Q.npy", "--size", 5, "--methods", "random")
    for command in (("reselect",), ("explain", "--id", 1), ("report", "--out", "r.html")):
        tsds(here / "elsewhere", command[0], here / "c.run", *command[1:])
    refused = run("select", *words, "--write-back", "mine", code=1).stderr
    assert "only read; mirror it with 'tsds-qdrant mirror --qdrant local --co" in refused
    assert "leave --write-back out" in refused
    refused = run("ingest", "--vectors", "Q.npy", *folder, code=1).stderr
    assert "'local' is a folder of qdrant-client's local mode, which is only read" in refused
    assert "--qdrant local-tsds" in refused
    run("ingest", "--vectors", "Q.npy", "--qdrant", "local-tsds", "--collection", "pool")
    held = QdrantClient(path="local")
    locked = tsds(here, "check", *folder, code=1).stderr
    assert "is open in another process" in locked
    held.close()
    run("check", *folder)


@pytest.mark.slow
@pytest.mark.parametrize("place", [":memory:", " :memory: "])
def test_memory_is_refused_before_anything_is_done(here: Path, place: str) -> None:
    for words in (
        ("ingest", "--vectors", "Q.npy", "--collection", "pool"),
        ("select", "--queries", "Q.npy", "--collection", "pool", "--size", 2, "--out", "o.jsonl"),
        ("check", "--collection", "pool"),
        ("strategies", "--collection", "pool"),
    ):
        told = tsds(here, *words, "--qdrant", place, code=2).stderr
        assert len(told.splitlines()) == 1
        assert "':memory:', which holds nothing once the command ends; give a directory" in told


# Streams


@pytest.mark.slow
def test_rows_alone_are_on_standard_output(here: Path) -> None:
    run("select", *POOL, "--size", 5, "--out", "s.jsonl", "--state", "task.run")
    run("reselect", "task.run", "--diff", "d.jsonl")
    before = {path.name for path in here.iterdir()}
    select = f"tsds select {' '.join(POOL)} --size 5"
    for out in ("-", "/dev/stdout"):
        told, talk = in_bash(here, f"{select} --out {out} | cat")
        assert told == Path("s.jsonl").read_text()
        assert "wrote standard output" in talk
        assert "no manifest was written" in talk
    assert in_bash(here, f"{select} --out - --format ids")[0].split() == [
        str(row["id"]) for row in rows_of("s.jsonl")
    ]
    assert in_bash(here, "tsds reselect task.run --out -")[0] == Path("s.jsonl").read_text()
    assert in_bash(here, "tsds reselect task.run --diff -")[0] == Path("d.jsonl").read_text()
    told, talk = in_bash(here, f"{select.replace('select', 'compare', 1)} --methods random --out -")
    assert {json.loads(line)["method"] for line in told.splitlines()} == {"random"}
    assert "coverage" in talk
    told, _ = in_bash(here, "tsds export task.run --format plain --out - | head -c 12")
    assert told == '{"tsds_id": '
    assert in_bash(here, "tsds report task.run --out -")[0].startswith("<!DOCTYPE html>")
    assert {path.name for path in here.iterdir()} == before


def test_a_manifest_lies_beside_the_output_that_is_a_file(here: Path) -> None:
    words = [*POOL, "--size", 5, "--out", "-", "--probabilities", "p.jsonl"]
    told = run("select", *words)
    assert len(told.stdout.splitlines()) == 5
    assert "wrote standard output, p.jsonl, p.jsonl.manifest.json" in told.stderr
    assert json.loads(Path("p.jsonl.manifest.json").read_text())["samples"]["5"]["draws"] == 5


def test_a_compressor_reads_what_a_selection_writes(here: Path) -> None:
    run("select", *POOL, "--size", 5, "--out", "s.csv")
    wait = "for k in {1..50}; do gzip -t x.gz 2> /dev/null && break; sleep 0.1; done"
    in_bash(
        here, f"tsds select {' '.join(POOL)} --size 5 --format csv --out >(gzip > x.gz); {wait}"
    )
    assert in_bash(here, "gzip -dc x.gz")[0].encode() == Path("s.csv").read_bytes()


def test_a_reader_that_has_enough_ends_a_command_quietly(here: Path) -> None:
    more = np.random.default_rng(0).normal(size=(3_000, 5)).astype(np.float32)
    payloads = [{"text": "word " * 60} for _ in more]
    with open_collection("store", "pool") as pool:
        pool.upsert(range(1_000, 4_000), more, payloads)
    line = f"tsds select {' '.join(POOL)} --strategy random --size 2000 --out - | head -1"
    told, talk = in_bash(here, f'{line}; echo "${{PIPESTATUS[0]}}"')
    first, status = told.splitlines()
    assert set(json.loads(first)) >= {"id", "payload", "rank"}
    assert (status, talk) == ("141", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--out - --json", "--out - and --json both write to standard output"),
        ("--out - --probabilities /dev/stdout", "--out - and --probabilities /dev/stdout both"),
        ("--out - --report /dev/fd/1", "--out - and --report /dev/fd/1 both"),
        ("--out - --size 2,3", "--out - takes one sample and 2 sizes are wanted; name a file"),
        ("--out - --format xml", "'xml' is no format of rows; use one of csv, ids, jsonl"),
        ("--out a.csv --format ids", "'a.csv' is named .csv and the format is ids"),
        ("--out - --state /dev/null", "--state /dev/null is no file that a run can be kept in"),
        ("--out /dev/fd/978", "'/dev/fd/978' cannot be written (Bad file descriptor)"),
    ],
)
def test_outputs_that_do_not_go_together(here: Path, words: str, told: str) -> None:
    before = sorted(here.rglob("*"))
    result = tsds(
        here,
        "select",
        *POOL,
        "--size",
        2,
        *words.split(),
        code=1 if "/978" in words or "format" in words else 2,
    )
    assert told in result.stderr
    printed = json.loads(result.stdout)["error"]["message"] if "--json" in words else ""
    assert printed == "" or told in printed
    assert bool(printed) == bool(result.stdout)
    assert sorted(here.rglob("*")) == before


def test_what_needs_a_file_says_so(here: Path) -> None:
    run("select", *POOL, "--size", 4, "--out", "s.jsonl", "--state", "task.run")
    run("select", *POOL, "--size", "2,4", "--out", "m.jsonl", "--state", "many.run")
    for line, told in {
        "watch task.run --once --out -": "a watch replaces its file",
        "export task.run --format llamafactory --out -": "give a file",
        "export task.run --format plain --validation 0.5 --out -": "'-' is none; name a file",
        "export task.run --format plain --out - --json": "both write to standard output",
        "reselect task.run --out - --diff /dev/stdout": "both write to standard output",
        "reselect many.run --out -": "2 sizes are wanted",
        "path --qdrant store --collection pool --queries Q.npy --plot -": "names no picture",
    }.items():
        code = 1 if "give a file" in told or "picture" in told else 2
        assert told in run(*line.split(), code=code).stderr
    run("select", *POOL, "--size", "2,4", "--out", os.devnull)
    assert RunState("task.run").runs()[-1]["kind"] == "select"
