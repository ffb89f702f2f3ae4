"""Strategies compared, each by the vectors that it is made for, as a tiny model makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import rows_of, run
from planted import Planted, planted_pool

pytestmark = pytest.mark.slow

SPACE_OF = {
    "less": "gradient",
    "rds": "hidden",
    "tarot": "whitened",
    "dsdm": "loss-gradient",
    "tsds": "hidden",
}
"""Strategy -> what it searches where the comparison is measured in ``hidden``."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with planted_pool(tmp_path_factory.mktemp("planted")) as made:
            yield made


def test_each_strategy_is_compared_by_its_own_vectors(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(planted.place)
    place = ("--qdrant", "store", "--collection", "pool", "--queries", "task.jsonl", "--size", 40)
    by = ("--by", "domain", "--target", "sums")
    done = run("compare", *place, "--vector", "hidden", *by, "--seeds", 1, "--out", "c.jsonl")
    rows = {row["method"]: row for row in rows_of("c.jsonl")}
    for strategy, space in SPACE_OF.items():
        out = f"{strategy}.jsonl"
        run("select", *place, "--strategy", strategy, "--vector", space, "--out", out)
        domains = [row["payload"]["domain"] for row in rows_of(out)]
        assert rows[strategy]["target_share"] == domains.count("sums") / 40
        facts = json.loads(Path(f"{out}.manifest.json").read_text())
        assert facts["collection"]["vector"] == space
        if space != "hidden":
            assert f"the strategy '{strategy}' searches the vectors '{space}'" in done.stderr
    assert all(row["seconds"] > 0 for row in rows.values())
    assert "left out rose: 'task.jsonl:1' has no 'chosen'" in done.stderr
    assert "left out gradex: the strategy 'gradex' chooses sources" in done.stderr


def test_a_strategy_that_is_asked_for_is_not_left_out(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(planted.place)
    place = ("--qdrant", "store", "--collection", "pool", "--queries", "task.jsonl", "--size", 40)
    words = (*place, "--vector", "hidden", "--methods", "tsds,rose")
    assert "has no 'chosen' and 'rejected'" in run("compare", *words, code=1).stderr
