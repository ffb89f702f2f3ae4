"""How a server is reached, on the command line: kept with the run, overridden, interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import free_port
from commands import run
from door import Door, Request, open_door
from playback import failed, listening
from qdrant_client import models

from tsds_qdrant.runs.state import RunState

ROWS = np.random.default_rng(5).normal(size=(60, 8)).astype(np.float32)
ANSWERED = ("--collection", "pool", "--queries", "Q.npy", "--size", 5)
READS = ("/points", "/points/count", "/points/scroll", "/points/query/batch")
INTERRUPTED = "interrupted; files that were written are whole, run it again\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TSDS_QDRANT", raising=False)
    np.save("Q.npy", ROWS[:4])


@pytest.fixture
def door() -> Iterator[Door]:
    with open_door() as door:
        params = models.VectorParams(size=8, distance=models.Distance.COSINE)
        door.client.create_collection("pool", vectors_config=params)
        texts: list[Any] = [{"text": f"record {k}"} for k in range(len(ROWS))]
        points = models.Batch(ids=list(range(len(ROWS))), vectors=ROWS.tolist(), payloads=texts)
        door.client.upsert("pool", points)
        yield door


def agreed(door: Door) -> set[str | None]:
    """What the reads since the last call asked for."""
    asked = {
        request.query.get("consistency")
        for request in door.requests
        if request.method == "POST" and request.path.removeprefix("/collections/pool") in READS
    }
    door.requests.clear()
    return asked


def reached() -> dict[str, Any]:
    kept: dict[str, Any] = RunState("task.run").fact("collection")
    return kept


@pytest.mark.slow
def test_a_run_keeps_how_it_was_reached(door: Door) -> None:
    door.keys = {"s3cret-key": "read"}
    flags = ("--consistency", "majority", "--timeout", "30s", "--patience", "5m")
    run(
        *("select", "--qdrant", door.url, *ANSWERED, *flags, "--state", "task.run"),
        *("--out", "s.jsonl"),
        TSDS_QDRANT_API_KEY="s3cret-key",
    )
    kept = {"consistency": "majority", "timeout": 30, "patience": 300.0}
    assert reached()["location"] == door.url
    assert reached()["reached"] == kept
    manifest = json.loads(Path("s.jsonl.manifest.json").read_text())
    assert manifest["collection"]["reached"] == kept
    for file in Path.cwd().iterdir():
        assert b"s3cret" not in file.read_bytes()
    door.keys = {}
    assert agreed(door) == {"majority"}
    chosen = json.loads(Path("s.jsonl").read_text().splitlines()[0])["id"]
    for words in (
        ("explain", "task.run", "--id", chosen),
        ("reselect", "task.run"),
        ("report", "task.run", "--out", "r.html"),
        ("export", "task.run", "--out", "t.jsonl"),
        ("watch", "task.run", "--once"),
    ):
        run(*words)
        assert agreed(door) == {"majority"}, words
        run(*words, "--consistency", 1)
        assert agreed(door) == {"1"}, words
        assert reached()["reached"]["consistency"] == (
            1 if words[0] in ("reselect", "watch") else "majority"
        )
        run("reselect", "task.run", "--consistency", "majority")
        agreed(door)
    run("select", "--config", "s.jsonl.manifest.json", "--out", "again.jsonl")
    assert agreed(door) == {"majority"}
    assert Path("again.jsonl").read_text() == Path("s.jsonl").read_text()


def test_commands_that_keep_no_run(door: Door) -> None:
    where = ("--qdrant", door.url, "--collection", "pool", "--consistency", "all")
    for words in (
        ("check",),
        ("path", "--queries", "Q.npy"),
        ("compare", "--queries", "Q.npy", "--size", 5),
        ("strategies",),
    ):
        run(*words, *where)
        assert agreed(door) == {"all"}, words
    Path("more.jsonl").write_text('{"text": "one"}\n')
    np.save("X.npy", ROWS[:1])
    run("ingest", "more.jsonl", "--vectors", "X.npy", *where)
    assert agreed(door) == {"all"}


def test_a_run_keeps_further_nodes(door: Door) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    done = run(
        *("select", "--qdrant", away, "--qdrant", door.url, *ANSWERED),
        *("--out", "s.jsonl", "--state", "task.run", "--json"),
    )
    assert json.loads(done.stdout)["collection"]["location"] == away
    assert f"{away} gives no answer; going on with {door.url}" in done.stderr
    assert reached()["location"] == away
    assert reached()["reached"] == {"others": [door.url]}
    assert "going on with" in run("reselect", "task.run").stderr
    assert (
        "going on with"
        in run("select", "--config", "s.jsonl.manifest.json", "--out", "a.ids").stderr
    )
    assert "going on" not in run("reselect", "task.run", "--qdrant", door.url).stderr
    assert (reached()["location"], reached()["reached"]) == (door.url, {})
    both = f"{away}  {door.url}"
    assert "going on with" in run("select", *ANSWERED, "--out", "b.ids", TSDS_QDRANT=both).stderr


def test_a_directory_of_several_words_in_the_environment() -> None:
    np.save("X.npy", ROWS)
    words = ("ingest", "--vectors", "X.npy", "--collection", "pool")
    run(*words, TSDS_QDRANT="my own  store")
    assert Path("my own  store/pool").is_dir()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--qdrant", "a", "--qdrant", "b"), "'a' is no URL; give one place, or URLs alone"),
        (("--qdrant", "http://a", "--qdrant", "b"), "'b' is no URL"),
        (("--qdrant", "http://a", "--qdrant", "http://b?key=s3cret"), "TSDS_QDRANT_API_KEY"),
        (("--qdrant", "http://a", "--grpc-port", 1, "--grpc-port", 2), "given 2 times for 1"),
        (("--qdrant", "http://a", "--no-grpc", "--grpc-port", 1), "--grpc-port 1 means gRPC"),
        (("--qdrant", "http://a", "--grpc-port", 65536), "--grpc-port is 65536"),
        (("--qdrant", "http://a", "--consistency", "most"), "majority, quorum or all"),
        (("--qdrant", "http://a", "--consistency", 0), "--consistency is 0"),
        (("--qdrant", "http://a", "--consistency", -1), "--consistency is '-1'"),
        (("--qdrant", "http://a", "--patience", "long"), "--patience is 'long'"),
        (("--qdrant", "http://a", "--timeout", "0"), "--timeout is '0'"),
        (
            ("--qdrant", "https://a", "--ca-cert", "none.pem"),
            "--ca-cert is 'none.pem', which",
        ),
        (("--qdrant", "http://a", "--ca-cert", "Q.npy"), "write https://, or leave --ca-cert"),
        (("--qdrant", "https://a", "--ca-cert", "Q.npy"), "no certificates that can be read"),
    ],
)
def test_what_cannot_be_right_is_refused(words: tuple[object, ...], said: str) -> None:
    done = run("check", *words, "--collection", "c", code=2)
    assert said in done.stderr
    assert "s3cret" not in done.stderr


@pytest.mark.slow
def test_a_port_of_grpc_alone_means_grpc() -> None:
    port = free_port()
    words = ("--qdrant", "http://127.0.0.1", "--collection", "c", "--grpc-port", port)
    done = run("check", *words, code=3)
    assert f"http://127.0.0.1 (gRPC port {port}) gives no answer" in done.stderr
    assert "(port 6333) gives no answer" in run("check", *words[:4], code=3).stderr


def started(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tsds_qdrant", *map(str, words)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def stopped(door: Door) -> tuple[threading.Event, threading.Event]:
    """Let no search be answered: an event that says when one came, and one that ends it."""
    came, over = threading.Event(), threading.Event()

    def wait(request: Request) -> None:
        if request.path.endswith("/batch"):
            came.set()
            over.wait(60)

    door.hook = wait
    return came, over


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_interruption_while_a_stopped_server_is_waited_for(door: Door, times: int) -> None:
    came, over = stopped(door)
    command = started("select", "--qdrant", door.url, *ANSWERED, "--out", "s.ids")
    assert came.wait(30)
    for _ in range(times):
        command.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, said = command.communicate(timeout=20)
    over.set()
    if times == 1:
        assert (command.returncode, said) == (130, INTERRUPTED)
    else:  # the second one may have ended it
        assert command.returncode in (130, -signal.SIGINT)
        assert said in (INTERRUPTED, "")
    assert not Path("s.ids").exists()


@pytest.mark.slow
def test_an_interruption_while_a_server_is_away(door: Door) -> None:
    door.hook = lambda request: failed(503, "starting") if request.path.endswith("/batch") else None
    command = started("select", "--qdrant", door.url, *ANSWERED, "--out", "s.ids")
    assert command.stderr
    first = command.stderr.readline()
    assert "is not available (503: starting); tried again for up to 2 min" in first
    command.send_signal(signal.SIGINT)
    assert command.communicate(timeout=20)[1] == INTERRUPTED
    assert command.returncode == 130


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_watch_ends_while_a_server_is_away(door: Door, number: signal.Signals) -> None:
    run("select", "--qdrant", door.url, *ANSWERED, "--state", "task.run", "--out", "s.ids")
    door.hook = lambda request: failed(503, "starting") if request.path.endswith("/count") else None
    command = started("watch", "task.run")
    assert command.stderr
    assert "tried again" in command.stderr.readline()
    command.send_signal(number)
    said = command.communicate(timeout=20)
    assert (command.returncode, said) == (0, ("", ""))


@pytest.mark.slow
def test_an_error_is_not_followed_by_a_wait(door: Door) -> None:
    """One search is refused while others hang at a stopped server."""
    _, over = stopped(door)
    counted = iter(range(10**6))
    entry = door.answer

    def answer(*request: Any) -> Any:
        if "/batch" in request[1] and next(counted) == 0:
            return failed(400, "Wrong input: no")
        return entry(*request)

    np.save("Q.npy", np.tile(ROWS, (4, 1)))
    with listening(answer) as url:
        command = started("select", "--qdrant", url, *ANSWERED, "--out", "s.ids")
        _, said = command.communicate(timeout=30)
        over.set()
    assert command.returncode == 1
    assert "no" in said
    assert said.count("\n") == 1
