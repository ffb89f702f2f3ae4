"""Quotas, budgets and groups on the command line."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from bounded_pool import PAYLOADS, QUERIES, ROWS
from commands import run

from tsds_qdrant import create_collection


def lines_of(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    collection = create_collection("store", "pool", dimension=6, metric="Euclid")
    collection.upsert(range(600), ROWS.astype(np.float32), PAYLOADS)
    collection.close()
    np.save("Q.npy", QUERIES)
    return ["--qdrant", "store", "--collection", "pool", "--queries", "Q.npy"]


def test_the_command_line(place: list[str]) -> None:
    bounds = ["--quota", "source:0.5", "--quota", "rare=null:0.25", "--max-per-group", "3"]
    bounds += ["--group-field", "author.name", "--budget-tokens", "300", "--token-field", "n"]
    bounds += ["--sampler", "stable"]
    said = run("select", *place, *bounds, "--size", "20,40", "--alpha", "0.1", "--out", "s.jsonl")
    assert "sample of 40: 40 candidates with" in said.stderr
    assert "bounds met: " in said.stderr
    assert "candidates to draw from have no 'rare' and count as its value null" in said.stderr
    for size in (20, 40):
        rows = [json.loads(line)["payload"] for line in lines_of(f"s-{size}.jsonl")]
        assert max(Counter(row["source"] for row in rows).values()) <= size / 2
        assert sum("rare" not in row for row in rows) <= size / 4
        assert max(Counter(row["author"]["name"] for row in rows).values()) <= 3
        assert sum(row["n"] for row in rows) <= 300
    manifest = json.loads(Path("s.jsonl.manifest.json").read_text())
    assert manifest["settings"]["bounds"]["quotas"] == [
        {"field": "source", "share": 0.5, "value": None},
        {"field": "rare", "share": 0.25, "value": "null"},
    ]
    assert manifest["samples"]["40"]["tokens"] <= 300
    assert {"name", "most", "used", "refused"} == set(manifest["samples"]["20"]["bounds_met"][0])


def test_the_command_line_with_a_budget_alone(place: list[str]) -> None:
    words = [*place, "--budget-tokens", "300", "--token-field", "n", "--out", "s.csv"]
    told = json.loads(run("select", *words, "--state", "task.run", "--json").stdout)
    ((size, sample),) = told["samples"].items()
    with Path("s.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == int(size)
    assert 287 < sample["tokens"] <= 300
    run("reselect", "task.run", "--out", "t.csv")
    assert Path("t.csv").read_bytes() == Path("s.csv").read_bytes()
    assert "no size is given" in run("select", *place, "--out", "s.csv", code=2).stderr
    refused = run("select", *words, "--sampler", "multinomial", code=2)
    assert "'multinomial' draws candidates again and again" in refused.stderr
    few = ["--budget-tokens", 60, "--token-field", "n", "--size", 40]
    said = run("select", *place, *few, "--out", "few.jsonl").stderr
    lines = Path("few.jsonl").read_text().splitlines()
    assert len(lines) < 40
    assert f"selected {len(lines)} of " in said
    refused = run("select", *place, "--size", "5", "--quota", "a", "--out", "s.csv", code=2)
    assert "'a' is no quota; write source:0.3 or source=web:0.3" in refused.stderr
