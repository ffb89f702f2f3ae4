"""A command that fails says so in one JSON object on stdout where --json asks for that."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run
from locked import open_elsewhere

import tsds_qdrant
from tsds_qdrant import SelectionSettings, begin_run, create_collection, errors, open_collection
from tsds_qdrant.cli import check as check_module
from tsds_qdrant.cli.failures import KINDS
from tsds_qdrant.collections.server.failures import OversizedError
from tsds_qdrant.runs.state import RunState

TSDS = (sys.executable, "-m", "tsds_qdrant")
CHECK = ("check", "--qdrant", "store", "--collection", "pool", "--json")
DOCUMENTED = Path(tsds_qdrant.__file__).parent / "cli" / "README.md"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    with create_collection("store", "pool", dimension=4, metric="Euclid") as made:
        made.upsert(range(60), rows)
        begin_run("task.run", made, rows[:3], SelectionSettings.of(sizes=(5,)))
    np.save("Q.npy", rows[:3])


def failed(*words: object, code: int = 1) -> dict[str, Any]:
    """The error that is printed, as all there is on stdout; its sentence is on stderr too."""
    result = run(*words, code=code)
    printed = json.loads(result.stdout)
    assert list(printed) == ["error"]
    error: dict[str, Any] = printed["error"]
    assert list(error) == ["kind", "message", "retryable", "exit_code"]
    assert error["exit_code"] == code
    assert error["message"].split("(")[0].strip() in " ".join(result.stderr.split())
    return error


FAILURES = [
    (("check", "--qdrant", "store", "--collection", "pol"), "collection_not_found", 1),
    (("check", "--qdrant", "localhost:6333", "--collection", "p"), "settings", 2),
    (("check", "--qdrant", "http://127.0.0.1:9", "--collection", "p"), "unreachable", 3),
    (("check", "--qdrant", "store"), "usage", 2),
    (("chekk",), "usage", 2),
    (("check", "--qdrant", "store", "--collection", "pool", "--recal", "1"), "usage", 2),
    (("show", "none.run"), "state", 1),
    (("show", "Q.npy"), "state", 1),
    (("explain", "task.run", "--id", "x"), "input", 1),
    (("explain", "task.run", "--id", "777"), "input", 1),
    (("ingest", "none.jsonl", "--qdrant", "store", "--collection", "new"), "input", 1),
    (("export", "task.run", "--out", "no/where.jsonl"), "output", 1),
    (("path", "--qdrant", "store", "--collection", "pool", "--queries", "no.npy"), "input", 1),
    (("strategies", "--collection", "pool"), "settings", 2),
    (("repair-store", "--qdrant", "http://x", "--collection", "p"), "settings", 2),
]


@pytest.mark.parametrize(("words", "kind", "code"), FAILURES)
def test_failures_have_kinds(words: tuple[str, ...], kind: str, code: int) -> None:
    error = failed(*words, "--json", code=code)
    assert error["kind"] == kind
    assert error["retryable"] == (kind == "unreachable")
    plain = run(*words, code=code)
    assert plain.stdout == ""
    assert plain.stderr


def test_a_select_of_too_many() -> None:
    words = ("select", "--qdrant", "store", "--collection", "pool", "--queries", "Q.npy")
    words += ("--size", 61, "--out", "o.jsonl")
    assert failed(*words, "--json")["kind"] == "support"
    Path("c.toml").write_text("json = true\nsize = 61\n")
    assert failed(*words[:-4], "--out", "o.jsonl", "--config", "c.toml")["kind"] == "support"
    assert run(*words, code=1).stdout == ""


def test_what_another_process_holds_may_pass_later() -> None:
    with open_elsewhere("store", "pool"):
        error = failed(*CHECK)
    assert (error["kind"], error["retryable"]) == ("collection_locked", True)
    with RunState("task.run").held():
        error = failed("reselect", "task.run", "--json")
    assert (error["kind"], error["retryable"]) == ("state_locked", True)
    run("reselect", "task.run", "--json")
    run(*CHECK)


def test_a_word_after_two_dashes_is_no_flag() -> None:
    assert run("show", "--", "--json", code=1).stdout == ""


@pytest.mark.parametrize(
    ("error", "kind", "code", "retryable"),
    [
        (KeyboardInterrupt(), "interrupted", 130, True),
        (OSError(28, "No space left on device", "x.bin"), "system", 1, False),
        (RuntimeError("unforeseen"), "internal", 1, False),
        (OversizedError("too large"), "request_rejected", 1, False),
        (errors.UnconfirmedWriteError("unsure"), "unconfirmed_write", 3, True),
    ],
)
def test_what_comes_from_below(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, kind: str, code: int, retryable: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(check_module, "costs", fail)
    monkeypatch.setattr("tsds_qdrant.planning.check.check", fail)
    result = run(*CHECK, code=code)
    told = json.loads(result.stdout)["error"]
    assert (told["kind"], told["exit_code"], told["retryable"]) == (kind, code, retryable)


def test_a_question_that_is_not_answered() -> None:
    error = json.loads(run(*CHECK, "--ask-api-key", code=1).stdout)["error"]
    assert (error["kind"], error["retryable"], error["exit_code"]) == ("aborted", False, 1)


def test_kinds_are_documented() -> None:
    """All that errors and commands may print, with exit code and whether to try again."""
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (yes|no) \|", DOCUMENTED.read_text(), re.MULTILINE)
    classes = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.TsdsError)
    ]
    known = {}
    for one in classes[1:]:
        made = one.__new__(one)
        known[made.kind] = (str(one.exit_code), "yes" if one.retryable else "no")
    codes = {"usage": "2", "interrupted": "130"}
    for kind in KINDS:
        known[kind] = (codes.get(kind, "1"), "yes" if kind == "interrupted" else "no")
    assert {kind: (code, again) for kind, code, again in rows} == known


@pytest.fixture
def waiting() -> Iterator[subprocess.Popen[str]]:
    """An ingest that waits for its input, in its child."""
    words = (*TSDS, "ingest", "-", "--vectors", "X.npy", "--qdrant", "store", "--collection", "new")
    np.save("X.npy", np.ones((3, 4), dtype=np.float32))
    with subprocess.Popen(
        [*words, "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        deadline = time.monotonic() + 60
        while not children(child.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert child.stdin is not None
        child.stdin.write('{"n": 1}\n')
        child.stdin.flush()
        time.sleep(2)
        yield child
        child.kill()


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in listed]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="children are watched on Linux only")
@pytest.mark.parametrize(
    ("number", "to_child", "kind", "code"),
    [(signal.SIGINT, False, "interrupted", 130), (signal.SIGBUS, True, "system", 1)],
)
def test_a_supervised_command_that_is_stopped(
    waiting: subprocess.Popen[str], number: signal.Signals, to_child: bool, kind: str, code: int
) -> None:
    os.kill(children(waiting.pid)[0] if to_child else waiting.pid, number)
    printed, spoken = waiting.communicate(timeout=60)
    assert waiting.returncode == code
    error = json.loads(printed)["error"]
    assert (error["kind"], error["exit_code"]) == (kind, code)
    assert error["message"] in spoken


def test_an_explanation_of_some_points_of_several() -> None:
    """What is found is printed as ever, and what is gone is said; the exit code is 1."""
    with open_collection("store", "pool") as pool:
        pool.delete([7])
    words = ("explain", "task.run", "--id", 8, "--id", 7, "--id", 99, "--id", 9)
    result = run(*words, "--json", code=1)
    told = json.loads(result.stdout)
    assert [point["id"] for point in told["points"]] == [8, 9]
    assert [point["id"] for point in told["missing"]] == [7, 99]
    plain = run(*words, code=1)
    for point in told["missing"]:
        assert f"error: {point['message']}" in plain.stderr.splitlines()
        assert f"error: {point['message']}" in result.stderr.splitlines()
    assert plain.stdout == run("explain", "task.run", "--id", 8, "--id", 9).stdout
    run(*words[:4], "--json")
