"""The command line runs in a child: signals, exit codes and streams are those of one program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tsds_qdrant.collections import create_collection, open_collection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such children")
TSDS = (sys.executable, "-m", "tsds_qdrant")
PLACE = ("--qdrant", "store", "--collection", "pool")
INGEST = (*TSDS, "ingest", "-", "--vectors", "X.npy", *PLACE)
INTERRUPTED = "interrupted; files that were written are whole, run it again\n"


@pytest.fixture(autouse=True)
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", np.random.default_rng(0).normal(size=(2_500, 4)).astype(np.float32))


def lines(count: int, first: int = 0) -> str:
    return "".join(f'{{"n": {k}, "text": "{"x" * 100}"}}\n' for k in range(first, first + count))


@pytest.fixture
def waiting() -> Iterator[subprocess.Popen[str]]:
    """An ingest that has stored its first points and waits for the rest of its input."""
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where nohup runs the tests
    command = subprocess.Popen(
        INGEST, text=True, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    signal.signal(signal.SIGHUP, hangup)
    assert command.stdin
    command.stdin.write(lines(2_200))
    command.stdin.flush()
    until(Path("store/pool/tsds.json").exists)
    time.sleep(0.3)
    yield command
    command.kill()
    command.communicate()


def until(true: object) -> None:
    deadline = time.monotonic() + 30
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def child_of(pid: int) -> int:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (child,) = map(int, found)
    return child


@pytest.mark.parametrize("whole_group", [False, True])
def test_an_interruption_is_said_once(waiting: subprocess.Popen[str], whole_group: bool) -> None:
    (os.killpg if whole_group else os.kill)(waiting.pid, signal.SIGINT)
    _, error = waiting.communicate(timeout=30)
    assert (waiting.returncode, error) == (130, INTERRUPTED)
    assert open_now() > 0


def test_a_terminal_interrupts_once(tmp_path: Path) -> None:
    program = (
        "import os, pty, select, sys, time\n"
        "pid, terminal = pty.fork()\n"
        "if pid == 0: os.execv(sys.argv[1], sys.argv[1:])\n"
        "end = time.monotonic() + 30\n"
        "while not os.path.exists('store/pool/tsds.json') and time.monotonic() < end:\n"
        "    os.write(terminal, b'{\"n\": %d}\\n' % time.monotonic_ns()); time.sleep(0.0003)\n"
        "time.sleep(0.3); os.write(terminal, b'\\x03')\n"
        "said = b''\n"
        "try:\n"
        "    while True:\n"
        "        if select.select([terminal], [], [], 5)[0]: said += os.read(terminal, 4096)\n"
        "        else: os.write(terminal, b'\\x03')\n"  # as whoever sees that nothing happens
        "except OSError: pass\n"
        "code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        "sys.stdout.buffer.write(said); sys.exit(code)\n"
    )
    command = [sys.executable, "-c", program, *INGEST]
    # What a terminal echoes may be cut inside a character of the bar.
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    assert done.returncode == 130, done.stderr
    assert done.stdout.count("interrupted; files") == 1
    assert "Traceback" not in done.stdout
    assert "ingest" in done.stdout  # a bar


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whoever_ends_the_command_ends_its_child(
    waiting: subprocess.Popen[str], number: signal.Signals
) -> None:
    child = child_of(waiting.pid)
    waiting.send_signal(number)
    assert waiting.wait(timeout=30) == -number
    until(lambda: not Path(f"/proc/{child}").exists())
    assert open_now() > 0


def open_now() -> int:
    with open_collection("store", "pool") as collection:
        return collection.count()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_that_is_killed_is_not_passed_over(
    waiting: subprocess.Popen[str], number: signal.Signals
) -> None:
    os.kill(child_of(waiting.pid), number)
    assert waiting.wait(timeout=30) == -number


def test_a_bus_error_where_there_is_room_is_said(waiting: subprocess.Popen[str]) -> None:
    os.kill(child_of(waiting.pid), signal.SIGBUS)
    _, error = waiting.communicate(timeout=30)
    assert waiting.returncode == 1
    assert error.startswith("error: a file below 'store' cannot be read or written to its end")
    assert error.count("\n") == 1
    again = subprocess.run(INGEST, input=lines(2_500), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert open_now() == 2_500


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("strategies",), 0),
        (("check", "--qdrant", "absent", "--collection", "c"), 1),
        (("check", "--no-such-flag"), 2),
        (("check", "--qdrant", "http://127.0.0.1:9", "--collection", "c"), 3),
    ],
)
def test_exit_codes_are_those_of_the_child(words: tuple[str, ...], code: int) -> None:
    assert subprocess.run([*TSDS, *words], capture_output=True).returncode == code


def test_a_reader_that_goes_away_is_no_failure() -> None:
    piped = f"{sys.executable} -m tsds_qdrant strategies --json | head -c 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {piped}"], capture_output=True)
    assert done.stdout == b"[" or done.stdout == b"{"
    assert done.stderr == b""


@pytest.mark.slow
def test_two_ingests_of_one_new_collection() -> None:
    Path("pool.jsonl").write_text(lines(2_500))
    words = (*TSDS, "ingest", "pool.jsonl", "--vectors", "X.npy", *PLACE)
    for _ in range(3):
        both = [
            subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=Path.cwd())
            for _ in range(2)
        ]
        ends = [(one.communicate(timeout=60)[1], one.returncode) for one in both]
        for error, code in ends:
            assert error.count("\n") == 1, error
            assert code == 0 or "is open" in error or "another process made it just now" in error
        assert sorted(code for _, code in ends) in ([0, 0], [0, 1])
        assert open_now() == 2_500
        subprocess.run(["rm", "-r", "store"], check=True)


def test_an_ingest_beside_an_open_collection() -> None:
    Path("pool.jsonl").write_text(lines(2_500))
    with create_collection("store", "pool", dimension=4):
        done = subprocess.run(
            [*TSDS, "ingest", "pool.jsonl", "--vectors", "X.npy", *PLACE],
            capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert "is open in another process; close that one, then try again" in done.stderr
