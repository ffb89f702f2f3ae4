"""Strategies that go by vectors of one kind, where a collection has none of it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from commands import rows_of, run
from made_spaces import add_made, gradients_at, unit_blocks

from tsds_qdrant import open_collection

PLACE = ("--qdrant", "store", "--collection", "pool")
ASKED = (*PLACE, "--queries", "Q.npy", "--size", 3)
KIND_OF = {"less": "gradient", "rose": "gradient", "rds": "hidden"}


@pytest.fixture(autouse=True)
def _pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("X.npy", unit_blocks(rng.normal(size=(12, 4)), 1))
    np.save("Q.npy", unit_blocks(rng.normal(size=(2, 4)), 1))
    lines = [json.dumps({"text": f"text {k}"}) + "\n" for k in range(12)]
    Path("pool.jsonl").write_text("".join(lines))
    run("ingest", "pool.jsonl", "--vectors", "X.npy", *PLACE)


@pytest.mark.parametrize(("strategy", "kind"), KIND_OF.items())
def test_other_vectors_are_compared_only_where_they_are_named(strategy: str, kind: str) -> None:
    words = ("select", *ASKED, "--strategy", strategy, "--out", "s.jsonl")
    said = run(*words, code=1).stderr
    told = f"error: the strategy '{strategy}' goes by vectors of 'represent {kind}', of which"
    assert said.startswith(told)
    assert not Path("s.jsonl").exists()
    command = shlex.split(said.partition("or make some: ")[2])
    assert command[:5] == ["tsds-qdrant", "represent", kind, "--model", "MODEL"]
    for flag in ("--vector", "--representation"):  # as advised
        found = re.search(r"--vector \((\S+),", said)
        assert found is not None
        run(*words, flag, *shlex.split(found[1]))
        assert len(rows_of("s.jsonl")) == 3
        Path("s.jsonl").unlink()


def test_a_comparison_leaves_them_out_and_says_why() -> None:
    done = run("compare", *ASKED, "--seeds", 1)
    methods = {line.split()[0] for line in done.stdout.splitlines()}
    for strategy, kind in KIND_OF.items():
        assert f"left out {strategy}: the strategy '{strategy}' goes by vectors of " in done.stderr
        assert f"represent {kind} --model MODEL" in done.stderr
    assert not methods & KIND_OF.keys()
    assert {"tarot", "uot", "round-robin"} <= methods
    assert "the strategy 'tarot' is made for vectors of 'represent whitened'" in done.stderr
    assert "it compares its vectors without a name\n" in done.stderr
    asked = run("compare", *ASKED, "--seeds", 1, "--methods", "tsds,less", code=1).stderr
    assert "the strategy 'less' goes by vectors of 'represent gradient'" in asked


def test_vectors_of_the_kind_are_found() -> None:
    rows = unit_blocks(np.random.default_rng(1).normal(size=(12, 4)), 1)
    with open_collection("store", "pool") as pool:
        ids = [one for page in pool.scroll_ids() for one in page]
        add_made(pool, gradients_at([0.1]), ids, rows)
    for strategy in ("less", "rose"):
        words = ("select", *ASKED, "--strategy", strategy, "--out", f"{strategy}.jsonl")
        assert f"'{strategy}' searches the vectors 'gradient'" in run(*words).stderr
    assert "goes by vectors of 'represent hidden'" in (
        run("select", *ASKED, "--strategy", "rds", "--out", "rds.jsonl", code=1).stderr
    )


@pytest.mark.parametrize(
    "words",
    [
        ("--size", 3, "--folds", 3),
        ("--ratio", 0.5, "--folds", 2),
        ("--size", "2,4", "--fold-seed", 1),
    ],
)
def test_folds_and_sizes_are_not_taken_together(words: tuple[object, ...]) -> None:
    asked = (*PLACE, "--queries", "Q.npy", "--strategy", "tarot", "--out", "s.jsonl")
    said = run("select", *asked, *words, code=2).stderr
    assert "folds choose how many are selected" in said
    flag = "--folds" if "--folds" in words else "--fold-seed"
    assert f"leave {flag} or that out" in said
    run("select", *asked, flag, 2)


@pytest.mark.parametrize("strategy", ["less", "rose"])
@pytest.mark.parametrize("weights", ["nan", "inf", "-1", "0.5,nan", "0", "0,0"])
def test_checkpoint_weights_are_refused_before_anything_is_said(
    strategy: str, weights: str
) -> None:
    words = ("--strategy", strategy, "--checkpoint-weights", weights, "--out", "s.jsonl")
    lines = run("select", *ASKED, *words, code=2).stderr.splitlines()
    assert len(lines) == 1
    assert "checkpoint weights" in lines[0]


@pytest.mark.parametrize("flag", ["--vector", "--representation"])
def test_a_wrong_name_is_answered_with_either_flag(flag: str) -> None:
    said = run("select", *ASKED, flag, "embeddings", "--out", "s.jsonl", code=1).stderr
    assert "has no vector 'embeddings'" in said
    assert "choose one with --vector or --representation" in said
