"""A run that selects another number from now on, as a selection from scratch does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import rows_of, run

ROWS = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
POOL = ("--qdrant", "store", "--collection", "pool")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["tsds", "similarity-max", "random"])
def test_a_run_takes_another_size(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", ROWS[:290])
    np.save("more.npy", ROWS[290:])
    np.save("Q.npy", ROWS[:3] + 0.5)
    run("ingest", *POOL, "--vectors", "X.npy", "--metric", "euclid")
    task = (*POOL, "--queries", "Q.npy", "--strategy", strategy)
    if strategy == "tsds":  # else they follow from the pool of the first selection
        task = (*task, "--cost-scale", 1, "--bandwidth", 0.4)
    run("select", *task, "--size", 20, "--out", "a.jsonl", "--state", "a.run")
    run("ingest", *POOL, "--vectors", "more.npy", "--first-id", 290)
    for sizes in ("8,50", "35"):
        told = run("reselect", "a.run", "--size", sizes, "--out", "b.jsonl", "--diff", "d.jsonl")
        run("select", *task, "--size", sizes, "--out", "c.jsonl")
        for end in ("-8", "-50") if "," in sizes else ("",):
            b, c = (rows_of(f"{name}{end}.jsonl") for name in "bc")
            assert [row["id"] for row in b] == [row["id"] for row in c]
        assert "points came or changed" in told.stderr
    shown = json.loads(run("show", "a.run", "--json").stdout)
    assert [one["kind"] for one in shown["history"]] == ["select", "reselect", "reselect"]
    run("reselect", "a.run", "--out", "e.jsonl")  # which keeps to it
    assert rows_of("e.jsonl") == rows_of("b.jsonl")
    refused = run("reselect", "a.run", "--size", 301, "--out", "f.jsonl", code=1).stderr
    assert "301 candidates are wanted but the pool has 300; ask for at most 300" in refused
