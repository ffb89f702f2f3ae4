"""A disk that is full: a sentence instead of a dead process, and the next run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tsds_qdrant.collections import open_collection

POINTS, DIMENSION = 8_000, 384
INGEST = (
    *("ingest", "pool.jsonl", "--vectors", "X.npy", "--id-field", "n"),
    *("--qdrant", "disk/store", "--collection", "pool", "--index"),
)
BLIND = """
import shutil
from types import SimpleNamespace
from tsds_qdrant.collections.edge import room
room.shutil = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=10**15))
from tsds_qdrant.cli import main
main()
"""
"""The command line, where others fill the disk between every look and the write behind it."""


def mount(*words: str) -> bool:
    try:
        return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """``disk(megabytes)`` is the first time a new disk at ./disk, and then another size of it."""
    monkeypatch.chdir(tmp_path)
    Path("disk").mkdir()
    if not mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", "disk"):
        pytest.skip("a small disk takes root and the right to mount")
    try:
        rng = np.random.default_rng(0)
        np.save("X.npy", rng.normal(size=(POINTS, DIMENSION)).astype(np.float32))
        lines = (f'{{"n": {k}, "text": "text {k} {"pad " * 30}"}}\n' for k in range(POINTS))
        Path("pool.jsonl").write_text("".join(lines))
        yield lambda size: [mount("-o", f"remount,size={size}m", "disk")].clear()
    finally:
        subprocess.run(["umount", "disk"], check=True)


def fill() -> None:
    """Leave no room on the disk."""
    filler = os.open("disk/filler", os.O_CREAT | os.O_WRONLY)
    try:
        for size in (1_000_000, 4_096):
            while os.write(filler, b"x" * size) == size:
                pass
    except OSError:
        pass
    finally:
        os.close(filler)


def answer(*words: str, blind: bool = False) -> tuple[int, str]:
    """Exit code and stderr of a command line."""
    start = ("-c", BLIND) if blind else ("-m", "tsds_qdrant")
    done = subprocess.run([sys.executable, *start, *words], capture_output=True, text=True)
    return done.returncode, done.stderr


def check_whole() -> None:
    with open_collection("disk/store", "pool") as collection:
        assert collection.count() == POINTS
        last = collection.retrieve([POINTS - 1], vectors=True)[0]
    assert last.content == {"n": POINTS - 1, "text": f"text {POINTS - 1} {'pad ' * 30}"}
    row = np.load("X.npy")[-1]
    assert np.allclose(last.vector, row / np.linalg.norm(row), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "said"),
    [
        (1, "needs about 2.0 MB of disk to be made, and "),
        (10, "of disk to write "),
        pytest.param(20, "of disk to write ", marks=pytest.mark.slow),
        (60, "finds no room on its disk (Service runtime error: Not enough space available for op"),
        pytest.param(100, "", marks=pytest.mark.slow),
    ],
)
def test_no_room_is_said_before_anything_is_written(
    disk: Callable[[int], None], size: int, said: str
) -> None:
    disk(size)
    code, error = answer(*INGEST)
    if said:
        assert code == 1
        assert error.startswith("error: collection 'pool' at disk/store ")
        assert said in error
        assert error.endswith("; make room, then run the same command again\n")
        assert error.count("\n") == 1
        disk(200)
        code, error = answer(*INGEST)
    assert (code, error.count("\n")) == (0, 1), error
    check_whole()


@pytest.mark.slow
@pytest.mark.parametrize("size", [pytest.param(5, marks=pytest.mark.slow), 10, 40])
def test_a_disk_that_others_fill_ends_in_a_sentence(disk: Callable[[int], None], size: int) -> None:
    disk(size)
    code, error = answer(*INGEST, blind=True)
    assert code == 1
    assert error.count("\n") == 1
    assert error.startswith("error: ")
    assert "make room, then " in error
    disk(200)
    code, error = answer(*INGEST)
    assert code == 0, error
    check_whole()


@pytest.mark.slow
def test_a_full_disk_is_said_where_a_collection_is_read(disk: Callable[[int], None]) -> None:
    disk(100)
    assert answer(*INGEST)[0] == 0
    fill()
    for blind in (False, True):
        code, error = answer("check", "--qdrant", "disk/store", "--collection", "pool", blind=blind)
        assert code == 1
        assert error.count("\n") == 1
        assert "make room" in error
    Path("disk/filler").unlink()
    check_whole()
