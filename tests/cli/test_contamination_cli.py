"""Test items are kept out by the command line."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from commands import rows_of, run
from contaminated_pool import Pool, contaminated

from tsds_qdrant import SelectionSettings, create_collection, select
from tsds_qdrant.cli.summary import summary
from tsds_qdrant.collections import open_collection
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.guards.held_out import HeldOut, Reach
from tsds_qdrant.records import TextTemplate


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of a selection from the pool of :func:`contaminated`; files of test items."""
    collection, pool, _ = contaminated(tmp_path)
    collection.close()
    tests = create_collection(str(tmp_path / "store"), "tests", dimension=3, metric="Euclid")
    tests.upsert(range(len(pool.items)), pool.items)
    tests.close()
    monkeypatch.chdir(tmp_path)
    np.save("Q.npy", pool.queries)
    np.save("T.npy", pool.items)
    lines = [json.dumps({"question": text.upper(), "n": 1}) for text in pool.item_texts]
    Path("T.jsonl").write_text("\n".join(lines))
    return ["--qdrant", "store", "--collection", "pool", "--queries", "Q.npy", "--size", "6"]


def test_texts_are_kept_out_by_the_command_line(store: list[str]) -> None:
    words = [*store, "--out", "s.jsonl", "--exclude", "T.jsonl", "--exclude-ngrams", "3"]
    said = run("select", *words, "--exclude-template", "{question}", "--exclude-report", "r.jsonl")
    report = rows_of("r.jsonl")
    assert report
    assert f"kept out {len(report)} copies of" in said.stderr
    items = [row["question"].lower() for row in rows_of("T.jsonl")]
    for row in report:
        assert row["reason"] in ("exact", "ngram")
        assert row["test_source"] == str(Path("T.jsonl").resolve())
        assert row["test_text"].lower() == items[row["test_item"]]
        assert (row["reason"] == "exact") == (row["text"] == items[row["test_item"]])
        assert row["distance"] is None
    manifest = json.loads(Path("s.jsonl.manifest.json").read_text())
    assert manifest["contamination"]["kept_out"]["all"] == len(report)
    assert manifest["contamination"]["reach"] == {
        **{"ngram": 3, "radius": 0.0, "overlap": 0.0},
    }
    assert not {row["id"] for row in rows_of("s.jsonl")} & {row["id"] for row in report}


def test_vectors_are_kept_out_by_the_command_line(store: list[str]) -> None:
    common = [*store, "--out", "s.jsonl", "--exclude-radius", "0.4", "--json"]
    one = json.loads(run("select", *common, "--exclude", "T.npy").stdout)
    other = json.loads(run("select", *common, "--exclude", "collection:tests").stdout)
    assert one["contamination"]["kept_out"] == other["contamination"]["kept_out"]
    assert one["contamination"]["kept_out"]["radius"] > 0
    both = run("select", *common[:-1], "--exclude", "T.npy", "--exclude", "collection:tests")
    assert f"kept out {one['contamination']['kept_out']['all']} copies of" in both.stderr


def test_a_failure_leaves_the_report_alone(store: list[str]) -> None:
    words = [*store, "--out", "s.jsonl", "--state", "task.run", "--exclude", "T.npy"]
    words += ["--exclude-radius", "0.4", "--exclude-report", "r.csv", "--fail-on-contamination"]
    said = run("select", *words, code=1)
    report = Path("r.csv").read_text().splitlines()
    assert all(",w" in line for line in report[1:])  # the candidate's text, for the eye
    assert report[0] == "id,reason,overlap,distance,test_source,test_item,text,test_text"
    assert f"error: {len(report) - 1} candidates copy test items" in said.stderr
    assert not Path("s.jsonl").exists()
    assert not Path("task.run").exists()


def test_reselect_and_its_report(store: list[str]) -> None:
    words = [*store, "--out", "s.jsonl", "--exclude", "T.npy", "--exclude-radius", "0.4"]
    run("select", *words, "--state", "task.run", "--exclude-report", "before.jsonl")
    said = run("reselect", "task.run", "--exclude-report", "after.jsonl")
    assert rows_of("after.jsonl") == rows_of("before.jsonl")
    assert f"kept out {len(rows_of('after.jsonl'))} copies of test items" in said.stderr
    told = json.loads(run("watch", "task.run", "--once").stdout)
    assert (told["event"], told["kept_out"]) == ("unchanged", len(rows_of("after.jsonl")))
    run("select", *store, "--out", "s.jsonl", "--state", "plain.run")
    said = run("reselect", "plain.run", "--exclude-report", "after.jsonl", code=2)
    assert "keeps no test items out" in said.stderr


@pytest.fixture
def bare(store: list[str]) -> list[str]:
    """The options of ``store`` for the same pool, which does not tell where its texts are."""
    pool = Pool(5)
    collection = create_collection("store", "bare", dimension=3, metric="Euclid")
    collection.upsert(range(pool.count), pool.rows, pool.payloads)
    collection.close()
    collection = create_collection("store", "mute", dimension=3, metric="Euclid")
    collection.upsert(range(pool.count), pool.rows, [{"n": k} for k in range(pool.count)])
    collection.close()
    return ["bare" if word == "pool" else word for word in store]


def test_the_field_of_texts_is_found(bare: list[str], store: list[str]) -> None:
    test = ["--exclude", "T.jsonl", "--exclude-template", "{question}", "--exclude-ngrams", "3"]
    test += ["--exclude-report", "r.jsonl"]
    told = run("select", *store, "--out", "s.jsonl", *test)
    assert "their texts were read as" not in told.stderr
    report = rows_of("r.jsonl")
    words = [*bare, "--out", "s.jsonl", *test, "--state", "task.run"]
    said = run("select", *words)
    assert rows_of("r.jsonl") == report
    assert "their texts were read as {text}; if that is wrong" in said.stderr
    run("select", *words)  # the field is found again: it is the same run
    named = run("select", *bare, "--out", "s.jsonl", *test, "--text-field", "text")
    assert "their texts were read as" not in named.stderr
    assert rows_of("r.jsonl") == report


def test_no_field_holds_texts(bare: list[str]) -> None:
    mute = ["mute" if word == "bare" else word for word in bare]
    test = ["--exclude", "T.jsonl", "--exclude-template", "{question}"]
    refused = run("select", *mute, "--out", "s.jsonl", *test, code=2)
    assert "no field is known to hold those of collection 'mute' (its fields: n)" in refused.stderr
    assert "--text-field" in refused.stderr
    pool = Pool(5)
    items = HeldOut.of(pool.item_texts, pool.items, Reach(0, 0.4))
    with closing(open_collection("store", "mute")) as collection:
        found = select(
            collection,
            pool.queries,
            SelectionSettings.of(sizes=(6,)),
            guard=Guard(items, TextTemplate()),
        )
    assert found.contamination is not None
    assert found.contamination.findings
    assert "no field is known to hold their texts: only their vectors" in summary(found)
    assert "have no text" not in summary(found)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--exclude-radius", "0.4"], 2, "--exclude-radius is about test items"),
        (["--fail-on-contamination"], 2, "name them with --exclude"),
        (["--exclude", "T.npy"], 2, "'T.npy' holds vectors, which are compared within a radius"),
        (["--exclude", "T.npy", "--exclude-radius", "-1"], 2, "the radius is -1"),
        (["--exclude", "T.jsonl", "--exclude-ngrams", "2"], 2, "n-grams of 2 words"),
        (["--exclude", "T.jsonl", "--exclude-radius", "1"], 2, "compare texts alone with"),
        (["--exclude", "collection:pool"], 2, "--exclude names collection 'pool', which holds"),
        (["--exclude", "none.jsonl"], 1, "'none.jsonl' does not exist"),
        (["--exclude", "T.jsonl", "--exclude-report", "T.jsonl"], 2, "'T.jsonl' holds test items"),
        (["--exclude", "T.jsonl", "--exclude-report", "r.doc"], 1, "names no known format"),
    ],
)
def test_what_does_not_fit(store: list[str], words: list[str], code: int, said: str) -> None:
    assert said in run("select", *store, "--out", "s.jsonl", *words, code=code).stderr
    assert not Path("s.jsonl").exists()
