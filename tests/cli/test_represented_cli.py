"""A collection with many representations: every command does what it did without any."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import rows_of, run
from letter_kinds import letter_kinds

from tsds_qdrant import open_collection
from tsds_qdrant.collections.reserved import MADE_FIELD

PLACE = ("--qdrant", "store", "--collection", "pool")
TASK = (*PLACE, "--queries", "Q.npy")
INGEST = ("ingest", "pool.jsonl", "--vectors", "X.npy", "--id-field", "name", *PLACE, "--json")
FORM = ("--format", "trl", "--map", "prompt=text,completion=answer")
COUNT = 120
KINDS = (
    ("letters", "--text-field", "text"),
    ("centred", "--of", "letters"),
    ("bags", "--text-field", "text"),
    ("lengths", "--text-field", "text"),
    ("whitened", "--of", ""),
    ("clusters", "--of", "letters", "--clusters", "3"),
    ("ngrams", "--text-field", "text"),
)
BY_OWN_VECTORS = "tarot"
"""The method that a comparison runs by whitened vectors as soon as there are some."""


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a collection, and a copy of it beside, for representations."""
    (tmp_path / "plain").mkdir()
    monkeypatch.chdir(tmp_path / "plain")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, 8))
    vectors = centres[np.arange(COUNT) % 10] + 0.3 * rng.normal(size=(COUNT, 8))
    np.save("X.npy", vectors.astype(np.float32))
    np.save("Q.npy", centres[[0, 0, 1]] + 0.3 * rng.normal(size=(3, 8)))
    write_pool(lambda k: "".join(rng.choice([*"abcde"], size=6)))
    assert json.loads(run(*INGEST).stdout)["added"] == COUNT
    shutil.copytree(tmp_path / "plain", tmp_path / "many")
    with letter_kinds():
        yield tmp_path / "plain"


def write_pool(text_of: Any) -> None:
    lines = [
        {"name": f"r{k}", "text": text_of(k), "group": k % 10, "answer": f"answer {k}"}
        for k in range(COUNT)
    ]
    Path("pool.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def represent(*only: str) -> None:
    for kind, *words in KINDS:
        if not only or kind in only:
            run("represent", kind, *PLACE, *words)


def selected(path: str) -> list[tuple[Any, ...]]:
    return [(row["id"], row["probability"], row["distance"]) for row in rows_of(path)]


def outputs(label: str) -> dict[str, Any]:
    """What every command says and writes; ``label`` names its files."""
    made: dict[str, Any] = {}
    state, out = f"{label}.run", f"{label}.jsonl"
    run("select", *TASK, "--size", 12, "--out", out, "--state", state, "--write-back", label)
    made["select"] = rows_of(out)
    made["probabilities"] = selected(out)
    quotas = ("--quota", "group=5:0.4", "--method", "similarity-max")
    run("select", *TASK, "--size", 9, *quotas, "--out", f"{label}-max.jsonl")
    made["quotas"] = rows_of(f"{label}-max.jsonl")
    made["path"] = run("path", *TASK, "--alphas", ".5,.9").stdout
    run("compare", *TASK, "--size", 12, "--seeds", 1, "--by", "group", "--out", "c.jsonl")
    compared = [row for row in rows_of("c.jsonl") if row["method"] != BY_OWN_VECTORS]
    made["compare"] = [{**row, "seconds": 0} for row in compared]
    run("reselect", state, "--out", f"{label}-again.jsonl")
    made["reselect"] = rows_of(f"{label}-again.jsonl")
    made["watch"] = json.loads(run("watch", state, "--once").stdout)["event"]
    made["runs"] = len(json.loads(run("runs", state, "--json").stdout))
    made["show"] = json.loads(run("show", state, "--json").stdout).keys()
    first = made["select"][0]["id"]
    made["explain"] = json.loads(run("explain", state, "--id", first, "--json").stdout)["points"]
    run("export", state, *FORM, "--out", "train.jsonl")
    made["export"] = Path("train.jsonl").read_text()
    run("export", out, *FORM, "--out", "train-file.jsonl")
    made["export of a file"] = Path("train-file.jsonl").read_text()
    run("report", state, "--by", "group", "--out", f"{label}.html")
    page = Path(f"{label}.html").read_text()
    made["marks"] = MADE_FIELD in page, MADE_FIELD in json.dumps(made["select"])
    return made


@pytest.mark.slow
def test_every_command_does_what_it_did(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = outputs("one")
    check = json.loads(run("check", *PLACE, "--json").stdout)
    assert check["representations"] == []
    monkeypatch.chdir(plain.parent / "many")
    represent()
    after = outputs("one")
    for command, made in before.items():
        assert after[command] == made, command
    found = json.loads(run("check", *PLACE, "--json").stdout)
    assert (found["ok"], found["vector"], found["points"]) == (True, "", COUNT)
    assert found["verdict"] == "works"
    assert len(found["representations"]) == len(KINDS)
    run("index", *PLACE)
    assert selected_again() == before["probabilities"]
    Path("store/pool/wal/open-1").write_bytes(b"")
    run("repair-store", *PLACE)
    assert selected_again() == before["probabilities"]
    assert json.loads(run("check", *PLACE, "--json").stdout)["verdict"] == "works"
    # The same again, and then other payloads and vectors.
    said = json.loads(run(*INGEST).stdout)
    assert (said["added"], said["updated"], said["unchanged"]) == (0, 0, COUNT)
    for place in (plain, plain.parent / "many"):
        monkeypatch.chdir(place)
        change()
        run("reselect", "one.run", "--out", "changed.jsonl")
    assert rows_of("changed.jsonl") == rows_of(plain / "changed.jsonl")
    assert selected_again() == selected(str(plain / "changed.jsonl"))


def change() -> None:
    vectors = np.load("X.npy")
    vectors[:20] += 0.1
    np.save("X.npy", vectors)
    texts = [row["text"] for row in rows_of("pool.jsonl")]
    write_pool(lambda k: texts[k] if k >= 10 else texts[k] + "bad")
    said = json.loads(run(*INGEST).stdout)
    assert (said["updated"], said["unchanged"]) == (20, COUNT - 20)


def selected_again() -> list[tuple[Any, ...]]:
    run("select", *TASK, "--size", 12, "--out", "later.jsonl")
    return selected("later.jsonl")


@pytest.mark.slow
def test_a_point_that_is_ingested_anew_is_represented_again(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plain.parent / "many")
    represent()
    Path("task.jsonl").write_text('{"text": "abba"}\n{"text": "cab"}\n')
    asked = ("select", *PLACE, "--queries", "task.jsonl", "--size", 8)
    for vector in ("letters", "centred"):
        run(*asked, "--vector", vector, "--out", f"{vector}.jsonl", "--state", f"{vector}.run")
    change()
    report = run("check", *PLACE, code=4).stdout
    assert "20 of 120 vectors 'letters' of collection 'pool' were made otherwise" in report
    assert "20 of 120 candidates have no values 'lengths' yet" in report
    assert (
        "20 of 120 vectors 'letters'"
        in run(*asked, "--vector", "letters", "--out", "no.jsonl", code=1).stderr
    )
    said = run("represent", "centred", *PLACE, "--of", "letters", code=1).stderr
    assert "20 of 120 vectors 'letters'" in said
    represent()
    assert json.loads(run("check", *PLACE, "--json").stdout)["warnings"] == []
    for vector in ("letters", "centred"):
        run(*asked, "--vector", vector, "--out", "scratch.jsonl")
        run("reselect", f"{vector}.run", "--out", "repaired.jsonl")
        both = [selected(path) for path in ("repaired.jsonl", "scratch.jsonl")]
        assert [row[0] for row in both[0]] == [row[0] for row in both[1]]
        p, expected = ([row[1] for row in rows] for rows in both)
        assert p == pytest.approx(expected, abs=1e-9)


def test_nothing_is_ingested_into_a_represented_space(plain: Path) -> None:
    represent("letters")
    np.save("L.npy", np.ones((COUNT, 3), dtype=np.float32))
    into = ("--id-field", "name", *PLACE, "--vector", "letters")
    said = run("ingest", "pool.jsonl", "--vectors", "L.npy", *into, code=1).stderr
    assert "made by 'represent'; leave --vector out" in said
    assert json.loads(run("check", *PLACE, "--json").stdout)["warnings"] == []


@pytest.mark.slow
def test_what_is_derived_follows_what_it_is_derived_from(plain: Path) -> None:
    texts = [row["text"] for row in rows_of("pool.jsonl")]
    write_pool(lambda k: texts[k] if k % 3 else texts[k] + "z")
    run(*INGEST)
    represent("letters", "centred")
    by_name = {one["name"]: one for one in checked()["representations"]}
    assert (by_name["letters"]["made"], by_name["letters"]["without"]) == (80, 40)
    assert (by_name["centred"]["made"], by_name["centred"]["points"]) == (80, 80)
    assert checked()["warnings"] == []
    write_pool(lambda k: texts[k])
    run(*INGEST)
    Path("task.jsonl").write_text('{"text": "abba"}\n')
    asked = ("select", *PLACE, "--vector", "centred", "--queries", "task.jsonl", "--size", 5)
    said = run(*asked, "--out", "s.jsonl").stderr
    assert "40 of 120 candidates have no vector 'letters' yet" in said
    assert "vectors 'centred' are derived from those" in said
    for advice in re.findall(r"this makes them: tsds-qdrant (.*?);", said):
        run(*shlex.split(advice))
    said = run(*asked, "--out", "s.jsonl").stderr
    assert "40 of 120 candidates have no vector 'centred' yet" in said
    for advice in re.findall(r"this makes them: tsds-qdrant (.*)", said):
        run(*shlex.split(advice))
    assert "yet" not in run(*asked, "--out", "s.jsonl").stderr
    assert checked()["warnings"] == []


def checked() -> Any:
    return json.loads(run("check", *PLACE, "--json").stdout)


def test_new_task_examples_of_a_run(plain: Path) -> None:
    represent("letters")
    tasks = {"a": ["abba", "cab"], "b": ["eee", "dab", "cab"]}
    for name, texts in tasks.items():
        lines = [json.dumps({"text": text}) + "\n" for text in texts]
        Path(f"{name}.jsonl").write_text("".join(lines))
    asked = ("select", *PLACE, "--vector", "letters", "--size", 8, "--alpha", ".4")
    fixed = ("--bandwidth", "1", "--cost-scale", "1")
    run(*asked, *fixed, "--queries", "a.jsonl", "--state", "a.run", "--out", "sa.jsonl")
    run("reselect", "a.run", "--queries", "b.jsonl", "--out", "late.jsonl")
    run(*asked, *fixed, "--queries", "b.jsonl", "--out", "sb.jsonl")
    assert selected("late.jsonl") == selected("sb.jsonl")
    assert selected("late.jsonl") != selected("sa.jsonl")


@pytest.mark.slow
def test_check_says_what_there_is(plain: Path) -> None:
    represent()
    found = json.loads(run("check", *PLACE, "--vector", "letters", "--json").stdout)
    by_name = {one["name"]: one for one in found["representations"]}
    assert set(by_name) == {kind for kind, *_ in KINDS}
    letters = by_name["letters"]
    assert (letters["kind"], letters["makes"]) == ("letters", "dense")
    assert (letters["dimension"], letters["metric"], letters["source"]) == (3, "Euclid", None)
    counts = ("points", "made", "missing", "without", "otherwise")
    assert [letters[name] for name in counts] == [COUNT, COUNT, 0, 0, 0]
    assert (by_name["bags"]["makes"], by_name["bags"]["dimension"]) == ("sparse", None)
    assert (by_name["lengths"]["makes"], by_name["centred"]["source"]) == ("payload", "letters")
    assert by_name["whitened"]["summary"]
    assert found["model"] is None
    words = run("check", *PLACE).stdout
    assert "representation: 'letters' by represent letters, 3 dimensions, Euclid; made of" in words
    assert "on disk: " in words
    with open_collection("store", "pool") as pool:
        sizes = found["bytes"]["spaces"]
        assert sizes.keys() == pool.spaces.keys()


@pytest.mark.slow
def test_sizes_are_those_on_disk(plain: Path) -> None:
    represent()
    run("index", *PLACE)
    found = json.loads(run("check", *PLACE, "--json").stdout)["bytes"]
    everything = [path for path in Path("store/pool").rglob("*") if path.is_file()]
    # The log may grow by what opening writes.
    total = sum(path.stat().st_blocks * 512 for path in everything)
    assert found["total"] == pytest.approx(total, rel=0.02)
    assert not found["estimated"]
    for name in ("letters", "bags", ""):
        inside = [
            path
            for path in everything
            if {f"vector_storage-{name}".rstrip("-"), f"vector_index-{name}".rstrip("-")}
            & set(path.parts)
        ]
        least = sum(path.stat().st_blocks * 512 for path in inside)
        assert least <= found["spaces"][name] <= least + 200_000
    assert sum(found["spaces"].values()) < found["total"]
