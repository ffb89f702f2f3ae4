"""A selection over a server goes on after the server was away, or the process was killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run
from door import Door, Request, open_door
from hypothesis import given
from hypothesis import strategies as st
from playback import Reply, failed
from pool_oracle import clustered_rows, near_queries
from profiles import reuses_folder
from qdrant_client import models
from typer.testing import CliRunner

from tsds_qdrant.cli import app
from tsds_qdrant.collections.server import session
from tsds_qdrant.collections.server.retries import Patience
from tsds_qdrant.neighbors import remembering
from tsds_qdrant.runs.resuming import WITHOUT_STATE
from tsds_qdrant.runs.state import RunState

ROWS = clustered_rows(600, 16, 40).astype(np.float32)
QUERIES = near_queries(ROWS, 8).astype(np.float32)
SELECT = ("select", "--collection", "s", "--queries", "Q.npy", "--size", "10,60")


class Outage:
    """Answers 503 to everything once ``after`` batches of searches have been answered."""

    def __init__(self, door: Door) -> None:
        self.after, self.batches, self.slow = 10**9, 0, 0.0
        door.hook = self

    def __call__(self, request: Request) -> Reply | None:
        time.sleep(self.slow)
        if self.batches >= self.after:
            return failed(503, "Service Unavailable")
        self.batches += request.path.endswith("/query/batch")
        return None

    def begin(self, after: int = 10**9) -> None:
        self.after, self.batches = after, 0


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with open_door() as door:
        params = models.VectorParams(size=16, distance=models.Distance.COSINE)
        door.client.create_collection("s", params)
        door.client.upload_collection("s", ROWS, ids=range(600))
        yield door


@pytest.fixture
def outage(door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Outage]:
    monkeypatch.setattr(session, "Patience", lambda: Patience.of(0.0))
    monkeypatch.setattr(remembering, "FIRST_ROWS", 4)
    monkeypatch.setattr(remembering, "SLICE_S", 0.0)
    monkeypatch.chdir(tmp_path)
    np.save("Q.npy", QUERIES)
    yield Outage(door)
    door.hook = lambda request: None


def select(door: Door, name: str, *more: str, code: int = 0) -> str:
    out = ("--state", name, "--out", f"{name}.jsonl")
    return run(*SELECT, "--qdrant", door.url, *out, *more, code=code).stderr


def results(name: str) -> dict[str, Any]:
    told = json.loads(Path(f"{name}.jsonl.manifest.json").read_text())
    searches = told.pop("search")
    del told["seconds"]
    samples = {size: Path(f"{name}-{size}.jsonl").read_bytes() for size in (10, 60)}
    arrays = {key: array.tobytes() for key, array in RunState(name).arrays().items()}
    return {"told": told, "why": searches["why"], **samples, **arrays}


def cleared(name: str) -> None:
    for path in Path().glob(f"{name}*"):
        path.unlink()


@pytest.mark.slow
@reuses_folder
@given(shares=st.lists(st.floats(0, 0.99), min_size=1, max_size=3), strategy=st.booleans())
def test_the_same_command_goes_on_after_an_outage(
    shares: list[float], strategy: bool, door: Door, outage: Outage
) -> None:
    by = ("--strategy", "round-robin") if strategy else ()
    cleared("whole")
    cleared("task")
    outage.begin()
    select(door, "whole", *by)
    batches = outage.batches
    for share in shares:
        outage.begin(int(share * batches))
        if not outage.after:
            break
        words = ("--qdrant", door.url, "--state", "task", "--out", "task.jsonl", *by)
        ended = CliRunner().invoke(app, [*SELECT, *words])
        if not ended.exit_code:  # what was kept was enough
            break
        said = ended.stderr
        assert ended.exit_code == 3
        assert "is not available (503" in said
        assert said.endswith(
            "searches are kept in 'task.searches', and the same command goes on from there\n"
        )
    outage.begin()
    select(door, "task", *by)
    assert results("task") == results("whole")
    assert not Path("task.searches").exists()


def test_without_a_state_the_way_out_is_said(door: Door, outage: Outage) -> None:
    outage.begin(2)
    said = run(*SELECT, "--qdrant", door.url, "--out", "s.jsonl", code=3).stderr
    assert said.endswith(f"; {WITHOUT_STATE}\n")
    # And so it is, once one does.
    said = select(door, "task", code=3)
    outage.begin(4)
    assert "searches are kept in 'task.searches'" in select(door, "task", code=3)
    outage.begin()
    assert "went on from " in select(door, "task")


@pytest.mark.slow
def test_a_killed_process_goes_on(door: Door, outage: Outage) -> None:
    outage.begin()
    select(door, "whole", "--bandwidth", "0.9")
    outage.slow = 0.5
    words = ("--qdrant", door.url, "--state", "task", "--out", "task.jsonl", "--bandwidth", "0.9")
    command = (sys.executable, "-m", "tsds_qdrant", *SELECT, *words)
    kept = Path("task.searches")
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
        log = Path("task.searches-wal")
        while child.poll() is None and not (log.exists() and log.stat().st_size):
            time.sleep(0.01)
        time.sleep(0.1)  # until that write is through
        child.kill()
    assert kept.exists()
    assert not Path("task").exists()
    outage.slow = 0.0
    assert "went on from " in select(door, "task", "--bandwidth", "0.9")
    assert results("task") == results("whole")
