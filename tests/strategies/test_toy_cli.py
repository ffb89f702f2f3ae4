"""A strategy of one new file and one line of the catalogue is on the command line at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import rows_of, run

from tsds_qdrant import create_collection
from tsds_qdrant.runs.facts import facts_of
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.strategies.catalog import CATALOG

WORDS = ["pear", "fig", "apple", "quince", "date", "banana", "elder", "grape"]


@pytest.fixture(autouse=True)
def _with_a_toy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CATALOG, "toy", "toy_strategy:Toy")
        yield


@pytest.fixture
def place(tmp_path: Path) -> list[str]:
    rows = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    collection = create_collection(str(tmp_path / "store"), "pool", dimension=3)
    collection.upsert(range(8), rows, [{"text": one, "back": one[::-1]} for one in WORDS])
    collection.close()
    np.save(tmp_path / "Q.npy", rows[:2])
    return ["--qdrant", f"{tmp_path}/store", "--collection", "pool"]


def test_its_flag_selects(place: list[str], tmp_path: Path) -> None:
    asked = ("select", *place, "--queries", tmp_path / "Q.npy", "--size", 3)
    run(*asked, "--strategy", "toy", "--out", tmp_path / "a.jsonl")
    assert [row["id"] for row in rows_of(tmp_path / "a.jsonl")] == [2, 5, 4]
    run(*asked, "--strategy", "toy", "--letters", "back", "--out", tmp_path / "b.jsonl")
    by_back = sorted(range(8), key=lambda k: WORDS[k][::-1])[:3]
    assert [row["id"] for row in rows_of(tmp_path / "b.jsonl")] == by_back
    manifest = json.loads((tmp_path / "b.jsonl.manifest.json").read_text())
    assert manifest["settings"]["strategy"] == {"name": "toy", "letters": "back"}
    run(*asked, "--config", tmp_path / "b.jsonl.manifest.json", "--out", tmp_path / "c.jsonl")
    assert rows_of(tmp_path / "c.jsonl") == rows_of(tmp_path / "b.jsonl")


def test_its_runs_go_on(place: list[str], tmp_path: Path) -> None:
    state = tmp_path / "toy.run"
    asked = ("select", *place, "--queries", tmp_path / "Q.npy", "--size", 3, "--strategy", "toy")
    run(*asked, "--letters", "back", "--state", state, "--out", tmp_path / "a.jsonl")
    assert facts_of(RunState(state))["letters"] == "back"
    done = json.loads(run("reselect", state, "--json").stdout)
    assert (done["came"], done["searches"]) == (0, 0)
    told = json.loads(run("explain", state, "--id", 0, "--json").stdout)
    rank = sorted(range(8), key=lambda k: WORDS[k][::-1]).index(0)
    assert told["points"][0]["verdict"] == ("drawn" if rank < 3 else "not drawn")


def test_its_flag_is_in_the_help_and_nowhere_else(place: list[str], tmp_path: Path) -> None:
    assert "--letters" in run("select", "--strategy", "toy", "--help").output
    assert "--letters" not in run("select", "--help").output
    assert "toy" in run("strategies").output
    asked = ("select", *place, "--queries", tmp_path / "Q.npy", "--size", 3, "--letters", "text")
    assert "--letters" in run(*asked, code=2).output
