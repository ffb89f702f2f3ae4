"""The commands ``plan`` and ``strategies --scores``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from commands import run
from tiny_models import saved_model, tiny_model

from tsds_qdrant import create_collection
from tsds_qdrant.strategies.catalog import CATALOG

POOL = ("--candidates", "270679", "--tokens", "420")
MODEL = ("--train-params", "7B")
HALF = 0.5 * 6 * 7e9 * 420 * 270_679
CURVE = ["method,share,score", "random,1,47.32"]
CURVE += [f"random,{s},{p}" for s, p in ((0.025, 45.18), (0.1, 45.82), (0.5, 46.54))]
CURVE += [f"dsir,{s},{p}" for s, p in ((0.025, 45.41), (0.1, 46.39), (0.5, 46.91))]


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    path = tmp_path / "curve.csv"
    path.write_text("\n".join([*CURVE, ""]), encoding="utf-8")
    return path


def test_a_plan_is_a_table_with_a_verdict_and_a_reason_for_each() -> None:
    done = run("plan", "--flops", HALF, *MODEL, *POOL)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["strategy", "choosing", "training", "n", "of", "budget", "verdict"]
    table = {line.split()[0]: line for line in lines[2 : lines.index("")]}
    assert table.keys() == CATALOG.keys()
    assert table["random"].split()[3] == "135339"
    reasons = "\n".join(lines[lines.index("") :])
    assert all(name in reasons for name in CATALOG)
    assert "the budget is 0.5 times that" in done.stderr
    assert "lambda and P0 do not transfer" in done.stderr


def test_json_has_the_whole_plan() -> None:
    done = run("plan", "--gpu-hours", "10", "--gpu", "NVIDIA H100", *MODEL, *POOL, "--json")
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["flops"] == pytest.approx(10 * 3600 * 989e12 * 0.35)
    assert (found["train_params"], found["model_params"]) == (7e9, 7e9)
    assert found["pool"]["candidates"] == 270_679
    rows = {row["strategy"]: row for row in found["strategies"]}
    assert rows.keys() == CATALOG.keys()
    assert found["best"] == found["strategies"][0]["strategy"]
    for row in rows.values():
        assert row["verdict"]
        assert row["reason"]
        assert row["spent_on_choosing"] == row["selection_flops"] / found["flops"]


def test_measured_curves_are_gone_by(curve: Path) -> None:
    words = ("plan", "--flops", HALF, *MODEL, *POOL, "--measured", curve)
    found = json.loads(run(*words, "--json").stdout)
    assert (found["best"], set(found["measured"])) == ("dsir", {"random", "dsir"})
    assert found["measured"]["random"]["pmax"] == 47.32
    assert "predicted" in run(*words).stdout.splitlines()[0]
    shown = run(*words, "--strategies", "tsds", code=1).stderr
    assert "scores were measured of 'dsir', which is no strategy here" in shown
    run(*words, "--strategies", "tsds,dsir")


def test_a_pool_is_measured_where_it_is_and_a_model_by_its_configuration(tmp_path: Path) -> None:
    model = tiny_model()
    place = saved_model(tmp_path / "model", model)
    with create_collection(str(tmp_path), "pool", dimension=3, metric="Cosine") as pool:
        payloads = [{"text": "twelve bytes"} for _ in range(40)]
        pool.upsert(range(40), np.ones((40, 3), np.float32), payloads)
    where = ("--qdrant", tmp_path, "--collection", "pool")
    words = ("plan", "--flops", "1e8", "--train-model", place, *where)
    found = json.loads(run(*words, "--json").stdout)
    assert found["train_params"] == model.num_parameters()
    assert found["pool"]["tokens"] == 3
    assert found["full_training_flops"] == 6 * model.num_parameters() * 3 * 40
    assert found["pool"]["stored"] == {"text": 1.0}
    tsds = next(row for row in found["strategies"] if row["strategy"] == "tsds")
    assert tsds["selection_flops"] == 0
    assert "estimated from 40 texts" in run(*words).stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "neither --gpu-hours nor --flops is given"),
        (("--flops", "lots"), "--flops is 'lots'; give a positive number like 7e9"),
        (("--flops", "-1"), "--flops is '-1'"),
        (("--flops", "1e18", "--gpu-hours", "3"), "both are given"),
        (("--gpu-hours", "3", "--gpu", "gtx1"), "'gtx1', whose peak is not known; give it as"),
        (("--gpu-hours", "3", "--utilisation", "40"), "--utilisation is '40'; give a share"),
        (("--gpu-hours", "3", "--peak", "312"), "give FLOP/s, as in 312e12 or 312T"),
        (("--flops", "1e18", "--model-params", "0"), "--model-params is '0'"),
        (("--flops", "1e18", "--strategies", "best"), "'best' is no strategy"),
        (("--flops", "1e18", "--full-score", "3"), "name their file with --measured"),
        (("--flops", "1e18", "--collection", "c"), "it is not said where collection 'c' is"),
    ],
)
def test_plans_that_cannot_be_made_say_what_to_give(words: tuple[str, ...], told: str) -> None:
    refused = run("plan", *words, *MODEL, *POOL, code=2, TSDS_QDRANT="")
    assert told in " ".join(refused.stderr.split())


def test_a_plan_needs_a_pool_and_one_model() -> None:
    flops = ("plan", "--flops", "1e18")
    assert "--candidates is not given" in run(*flops, *MODEL, code=2, TSDS_QDRANT="").stderr
    assert "no model is given" in run(*flops, *POOL, code=2).stderr
    assert "two models are given" in run(*flops, *POOL, *MODEL, "--train-model", "x", code=2).stderr


def test_the_advice_on_gpus_is_followed_to_its_end() -> None:
    words = ("plan", "--gpu-hours", "3", "--gpu", "abacus", *MODEL, *POOL)
    assert "--peak 312e12" in run(*words, code=2).stderr
    by_peak = run("plan", "--gpu-hours", "3", "--peak", "312T", *MODEL, *POOL, "--json").stdout
    by_name = run("plan", "--gpu-hours", "3", "--gpu", "A100", *MODEL, *POOL, "--json").stdout
    assert json.loads(by_peak)["strategies"] == json.loads(by_name)["strategies"]


def test_scores_get_the_figure_of_the_survey(curve: Path) -> None:
    done = run("strategies", "--scores", curve)
    lines = done.stdout.splitlines()
    assert lines[0].split()[:5] == ["strategy", "SDF", "PIR", "gap", "distance"]
    assert len(lines) == 2 + 6
    assert done.stderr.count("warning: ") == 4
    found = json.loads(run("strategies", "--scores", curve, "--json").stdout)
    gaps = [one["gap"] for one in found["strategies"]]
    assert gaps == sorted(gaps, reverse=True)
    assert next(iter(found["published"])) == "IFD"
    best = found["strategies"][0]
    assert (best["strategy"], best["sdf"]) == ("dsir", 0.1)
    assert best["score_ratio"] == pytest.approx(46.39 / 47.32)


def test_scores_by_counts_need_the_size_of_the_pool(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("strategy,n,score\nless,20,0.4\n", encoding="utf-8")
    words = ("strategies", "--scores", path, "--full-score", "0.5", "--metric", "win-rate")
    assert "of a pool whose size is not said; give --candidates" in run(*words, code=1).stderr
    found = json.loads(run(*words, "--candidates", "400", "--json").stdout)["strategies"][0]
    assert (found["sdf"], found["pir"]) == (0.05, 0.8)
    with create_collection(str(tmp_path), "pool", dimension=3, metric="Cosine") as pool:
        pool.upsert(range(80), np.ones((80, 3), np.float32), [{"n": k} for k in range(80)])
    where = ("--qdrant", tmp_path, "--collection", "pool")
    assert json.loads(run(*words, *where, "--json").stdout)["strategies"][0]["sdf"] == 0.25


def test_flags_of_scores_need_scores() -> None:
    done = run("strategies", "--metric", "win-rate", code=2)
    assert "--metric cannot be used without scores; name their file with --scores" in done.stderr
    done = run("strategies", "--scores", "nowhere.csv", code=1)
    assert "nowhere.csv" in done.stderr


@pytest.mark.parametrize("flops", ["1e3", "1", "1e10"])
def test_what_is_far_beyond_a_budget_is_no_percentage(flops: str) -> None:
    done = run("plan", "--flops", flops, *MODEL, *POOL)
    table = done.stdout.partition("\n\n")[0].splitlines()[2:]
    assert not [line for line in table if re.search(r"\d{5,}\.\d%", line)]
    less = next(line for line in table if line.split()[0] == "less")
    assert re.search(r" \d\.?\d*e\+\d+ times ", less)


def test_the_whole_pool_is_called_so(curve: Path) -> None:
    done = run("plan", "--flops", 4 * HALF, *MODEL, *POOL, "--measured", curve)
    assert "predicted at all of the pool" in done.stdout
    assert "predicted at 1 of" not in done.stdout


@pytest.mark.parametrize("name", ["./llama", "../llama", "~/no/such/llama"])
def test_a_missing_model_is_named_by_its_own_flag(name: str) -> None:
    said = run("plan", "--flops", "1e19", "--train-model", name, *POOL, code=1).stderr
    assert "does not exist" in said
    assert said.rstrip().endswith("give the place where it is now with --train-model")


@pytest.mark.parametrize("name", ["scores", "scores.log", "l2"])
@pytest.mark.parametrize(
    "words",
    [
        ("mix", "--losses"),
        ("plan", "--flops", "1e19", *MODEL, *POOL, "--measured"),
        ("strategies", "--scores"),
    ],
)
def test_files_of_no_known_format_are_answered_with_flags_there_are(
    name: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text("step,source,loss\n1,a,2\n")
    said = run(*words, path, code=1).stderr
    assert "names no known format" in said or "has no suffix" in said
    assert "--delimiter" not in said
    assert ".jsonl" in said


@pytest.mark.parametrize("loss", [-2, -0.5, -1e-9])
def test_negative_losses_are_no_losses(loss: float, tmp_path: Path) -> None:
    path = tmp_path / "losses.jsonl"
    lines = [{"step": 1, "source": "a", "loss": 1.0}, {"step": 2, "source": "a", "loss": loss}]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    said = run("mix", "--losses", path, code=1).stderr
    assert f"has the loss {loss:g}" in said
    assert "losses.jsonl:2" in said
