"""A long ``select`` that is killed, or loses its server, goes on to the bytes of a whole one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pool_oracle import clustered_rows, near_queries

from tsds_qdrant import create_collection
from tsds_qdrant.runs.state import RunState

COMMAND = (sys.executable, "-m", "tsds_qdrant", "select")
ASKED = (
    *("--collection", "pool", "--queries", "Q.npy", "--size", "300,1500", "--seed", "5"),
    *("--scan-device", "engine"),  # which takes its time
)
COUNT, DIMENSION = 20_400, 1_024


def words(location: str, name: str) -> tuple[str, ...]:
    return (*COMMAND, "--qdrant", location, *ASKED, "--out", f"{name}.jsonl", "--state", name)


def results(folder: Path, name: str) -> dict[str, Any]:
    """All that must not depend on interruptions."""
    found: dict[str, Any] = {
        size: (folder / f"{name}-{size}.jsonl").read_bytes() for size in (300, 1500)
    }
    told = json.loads((folder / f"{name}.jsonl.manifest.json").read_text())
    del told["seconds"], told["search"]
    arrays = RunState(folder / name).arrays()
    return {**found, **told, **{key: array.tobytes() for key, array in arrays.items()}}


def searches(folder: Path, name: str) -> dict[str, int]:
    found: dict[str, int] = json.loads((folder / f"{name}.jsonl.manifest.json").read_text())[
        "search"
    ]
    return found


def ended(folder: Path, name: str, seconds: float | None) -> str | None:
    """What a command says; None if it was killed, ``seconds`` after it had kept searches."""

    def written() -> int:
        log = folder / f"{name}.searches-wal"
        return log.stat().st_mtime_ns if log.exists() and log.stat().st_size else 0

    before = written()
    with (folder / "stderr").open("w+") as said:
        with subprocess.Popen(words("store", name), cwd=folder, stderr=said) as child:
            while seconds is not None and child.poll() is None and written() <= before:
                time.sleep(0.01)
            try:
                child.wait(seconds)
            except subprocess.TimeoutExpired:
                child.kill()
        if child.wait() == -signal.SIGKILL:
            return None
        said.seek(0)
        assert child.returncode == 0, said.read()
        return said.read()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = clustered_rows(COUNT, DIMENSION, 900)
    with create_collection(str(tmp_path / "store"), "pool", dimension=DIMENSION) as pool:
        pool.upsert(range(COUNT), rows.astype(np.float32))
    np.save(tmp_path / "Q.npy", near_queries(rows, 40).astype(np.float32))
    return tmp_path


@pytest.mark.slow
def test_a_select_killed_while_it_searches_goes_on(folder: Path) -> None:
    assert ended(folder, "whole", None)
    searching = searches(folder, "whole")["seconds"]
    rng = np.random.default_rng(2)
    assert ended(folder, "killed", searching * rng.uniform(0.4, 0.6)) is None
    said = ended(folder, "killed", searching * rng.uniform(0.1, 0.6)) or ended(
        folder, "killed", None
    )
    assert said is not None
    assert "went on from " in said
    assert results(folder, "killed") == results(folder, "whole")
    asked, wanted = searches(folder, "killed"), searches(folder, "whole")
    kinds = ("neighbor_searches", "density_searches", "kept_searches")
    assert sum(asked[kind] for kind in kinds) == sum(wanted[kind] for kind in kinds)
    assert asked["density_searches"] < wanted["density_searches"]
    assert not (folder / "killed.searches").exists()
