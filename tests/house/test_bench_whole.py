"""The benchmark of the whole way measures fresh processes, and what they come to is right."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.pools import clustered_pool
from bench.speed.clock import Timing
from bench.speed.plain import PlainPipeline, flat_over
from bench.whole import run as whole
from bench.whole.processes import ran
from bench.whole.ways import BY_FAISS, WAYS, Walked
from oracles import brute_force_probabilities

MEGABYTE = 2**20


@pytest.fixture
def faiss() -> None:
    pytest.importorskip("faiss", reason="pip install '.[bench]'", exc_type=ImportError)


def walked(**stages: float) -> tuple[Timing, Walked]:
    return Timing((1.0,)), Walked(stages, 0, 0, np.zeros(1))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says it")
def test_the_memory_of_a_process_and_of_its_children_is_counted() -> None:
    hold = "import time; held = bytearray(b'x') * (64 << 20); time.sleep(.5)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    small, large = ran(["-c", "import time; time.sleep(.2)"]), ran(["-c", child])
    assert 64 * MEGABYTE < large.peak < 200 * MEGABYTE
    assert 64 * MEGABYTE < large.own <= large.peak
    assert small.peak < 64 * MEGABYTE
    assert large.seconds >= 0.5


def test_a_process_that_fails_is_quoted() -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        ran(["-c", "raise SystemExit('no such thing')"])


@pytest.mark.parametrize(
    ("scan", "graph", "expected"),
    [
        ({"select": 3.0}, {"index": 10.0, "select": 1.0}, 5),
        ({"select": 3.0}, {"index": 11.0, "select": 1.0}, 6),
        ({"select": 3.0}, {"index": 0.1, "select": 1.0}, 1),
        ({"select": 1.0}, {"index": 10.0, "select": 1.0}, None),
    ],
)
def test_a_graph_has_paid_when_it_has_saved_what_it_took(
    scan: dict[str, float], graph: dict[str, float], expected: int | None
) -> None:
    done = {"by scan": walked(**scan), "with a graph": walked(**graph)}
    assert whole._break_even(done) == expected
    assert whole._break_even({"by scan": done["by scan"]}) is None


@pytest.mark.usefixtures("faiss")
def test_over_a_flat_index_the_pipeline_is_the_truth_where_it_sees_everything() -> None:
    vectors, queries = clustered_pool(600, 12, dimension=16)
    seeing = {"depth": len(vectors), "neighbors": len(vectors)}
    plain = PlainPipeline(vectors, flat_over(vectors), made=flat_over, **seeing)
    task = {"alpha": 0.5, "cost_scale": 1.0, "bandwidth": 0.6}
    found = plain.select(queries, **task).probabilities
    truth = brute_force_probabilities(vectors, queries, *task.values(), "Cosine")
    assert np.abs(found - truth).sum() / 2 < 1e-6


def run(store: Path, *words: str) -> dict[str, Any]:
    file = store / "found.json"
    sized = ("--sizes", "500", "--dimension", "16", "--texts", "0", "--store", str(store))
    whole.main([*sized, "--json", str(file), *words])
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_without_faiss_our_ways_are_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.whole.run.find_spec", lambda name: None)
    (pool,) = run(tmp_path)["pools"]
    shown = capsys.readouterr()
    assert "faiss is not installed; install '.[bench]'" in shown.err
    assert list(pool["ways"]) == [name for name in WAYS if name not in BY_FAISS]
    assert all(way["variation"] < 1e-6 for way in pool["ways"].values())
    assert [*pool["ways"]["with a graph"]["stages"]] == ["ingest", "index", "select"]
    assert "\n### The whole way\n\n| " in shown.out
    assert "\n### When a graph has paid\n\n| " in shown.out
    assert not [*tmp_path.glob("way-*")]


@pytest.mark.usefixtures("faiss")
def test_plain_ways_end_with_ids_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (pool,) = run(tmp_path, "--without", "by scan", "--without", "with a graph")["pools"]
    assert list(pool["ways"]) == [*BY_FAISS]
    assert pool["break_even"] is None
    assert "When a graph has paid" not in capsys.readouterr().out
