"""The path of a kept run, on the command line: that of its collection, task and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run

ALPHAS = ("--alphas", "0.9,0.5,0.2")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """600 points around 20 centres, half of them of kind a, and eight weighted task examples."""
    directory = tmp_path_factory.mktemp("path")
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 16))
    rows = (centres[np.arange(600) % 20] + 0.3 * rng.normal(size=(600, 16))).astype(np.float32)
    np.save(directory / "X.npy", rows)
    records = [{"text": f"text {k}", "kind": "ab"[k % 2]} for k in range(600)]
    examples = [
        {"text": f"q {k}", "v": row, "weight": k + 1}
        for k, row in enumerate((centres[np.arange(8) % 3] + 0.1).tolist())
    ]
    for name, lines in (("pool", records), ("task", examples)):
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in lines))
    place = ["--qdrant", str(directory / "store"), "--collection", "pool"]
    run("ingest", directory / "pool.jsonl", "--vectors", directory / "X.npy", *place)
    np.save(directory / "Q.npy", [one["v"] for one in examples])
    return [*place, "--queries", str(directory / "Q.npy")]


def figures(*words: object) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(run("path", *words, *ALPHAS, "--json").stdout)
    return shown


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--bandwidth", "0.4", "--cost-scale", "0.7"),
        ("--filter", "kind=a", "--exact"),
    ],
)
def test_a_run_has_the_path_of_its_flags(
    task: list[str], tmp_path: Path, flags: tuple[str, ...]
) -> None:
    state = tmp_path / "task.run"
    run("select", *task, "--size", 12, *flags, "--out", tmp_path / "s.ids", "--state", state)
    before = state.read_bytes()
    kept, flagged = figures(state), figures(*task, *flags)
    for mine, theirs in zip(kept["points"], flagged["points"], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-12)
    for name in ("pool_alphas", "cost_scale", "bandwidth", "candidates"):
        assert kept[name] == flagged[name], name
    assert kept["yardstick"]["distance"] == flagged["yardstick"]["distance"]
    assert kept["candidates"] == (300 if "--filter" in flags else 600)
    assert state.read_bytes() == before
    assert kept["points"] != figures(*task, "--bandwidth", "0.1")["points"]


def test_a_run_is_shown_as_flags_are(task: list[str], tmp_path: Path) -> None:
    state, plot = tmp_path / "task.run", tmp_path / "path.svg"
    run("select", *task, "--size", 12, "--out", tmp_path / "s.ids", "--state", state)
    shown, flagged = run("path", "--plot", plot, state, *ALPHAS), run("path", *task, *ALPHAS)
    assert shown.stdout == flagged.stdout
    assert "<svg" in plot.read_text()
    last = flagged.stderr.splitlines()[-1]
    assert last.startswith("alpha: 1 keeps to the task")
    assert last in shown.stderr


@pytest.mark.parametrize("flag", ["--queries", "--collection", "--bandwidth", "--model"])
def test_what_a_run_knows_is_not_given_again(tmp_path: Path, flag: str) -> None:
    result = run("path", flag, "x", tmp_path / "task.run", code=2)
    assert f"knows its collection, task examples and settings; leave {flag} out" in result.stderr
    assert "No such option: --nothing" in run("path", "x.run", "--nothing", code=2).stderr
    assert "there is no run state" in run("path", tmp_path / "task.run", code=1).stderr
    assert "Missing option '--collection'" in run("path", "--qdrant", tmp_path, code=2).stderr


def test_runs_without_alpha_have_no_path(task: list[str], tmp_path: Path) -> None:
    state, out = tmp_path / "task.run", ("--out", tmp_path / "s.ids", "--size", 12)
    run("select", *task, *out, "--strategy", "similarity-max", "--state", state)
    message = run("path", state, code=2).stderr
    assert "no alpha, and so no path; select with --strategy tsds" in message


def test_help_names_both_ways() -> None:
    shown = run("path", "--help").output
    assert "path [OPTIONS] [RUN]" in shown
    assert "tsds-qdrant path task.run" in shown
