"""Fields that are on no point are refused by every command that takes one, before it searches."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from commands import rows_of, run

from tsds_qdrant import create_collection, open_collection
from tsds_qdrant.collections.edge.collection import EdgeCollection

PAYLOADS = [
    {"text": f"customer document {k}", "meta": {"lang": "en" if k % 3 else "de"}, "n": k}
    for k in range(120)
]
COMMON = ("--qdrant", "store", "--collection", "pool", "--queries", "Q.npy")
SELECT = ("select", *COMMON, "--size", 10, "--out", "o.jsonl")
EXAM = ("--exclude", "exam.jsonl", "--exclude-ngrams", 3, "--exclude-radius", 0)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that does not say where its texts are, task examples, a test item, and a run."""
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)
    with create_collection("store", "pool", dimension=5, metric="Euclid") as made:
        made.upsert(range(120), rows, PAYLOADS)
    np.save("Q.npy", rows[:4] + 0.01)
    Path("exam.jsonl").write_text('{"text": "customer document 7"}\n{"text": "one two three"}')
    run("select", *COMMON, "--size", 10, "--out", "k.jsonl", "--state", "task.run")


@pytest.fixture
def no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def searched(*_: object, **__: object) -> None:
        raise AssertionError("something was searched for")

    monkeypatch.setattr(EdgeCollection, "search", searched)


UNKNOWN = [
    ((*SELECT, *EXAM, "--text-field", "texts"), "'texts' that --text-field names", "text"),
    ((*SELECT, *EXAM, "--template", "{text} {nn}"), "'nn' that --template names", "n"),
    ((*SELECT, "--text-field", "meta.txt"), "'meta.txt' that --text-field names", ""),
    ((*SELECT, "--quota", "meta.lnag:0.5"), "'meta.lnag' that --quota names", "meta.lang"),
    ((*SELECT, "--quota", "lnag=en:0.5"), "'lnag' that --quota names", ""),
    ((*SELECT, "--max-per-group", 1, "--group-field", "nn"), "'nn' that --group", "n"),
    ((*SELECT, "--budget-tokens", 9, "--token-field", "nn"), "'nn' that --token-field", "n"),
    ((*SELECT, "--state", "s.run", "--since-field", "texts"), "'texts' that --since-field", "text"),
    ((*SELECT, "--report", "r.html", "--by", "meta.langs"), "'meta.langs' that --by", "meta.lang"),
    (("report", "task.run", "--out", "r.html", "--by", "txt"), "'txt' that --by names", "text"),
    (("report", "task.run", "--out", "r.html", "--text-field", "txt"), "that --text-field", "text"),
    (("compare", *COMMON, "--size", 5, "--by", "lang"), "'lang' that --by names", "meta.lang"),
    (("path", *COMMON, "--template", "{t?}"), "'t' that --template names", ""),
]


@pytest.mark.slow
@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize(("words", "said", "meant"), UNKNOWN)
def test_a_field_that_nobody_has(words: tuple[object, ...], said: str, meant: str) -> None:
    before = {path.name for path in Path().iterdir()}
    told = run(*words, code=1).stderr
    assert said in told
    assert "(its fields: text, meta.lang, n)" in told
    assert told.endswith(f"did you mean '{meant}'?\n" if meant else "name one of them\n")
    assert {path.name for path in Path().iterdir()} <= before | {"task.run.lock"}


@pytest.mark.slow
@pytest.mark.parametrize(("words", "meant"), [(one[0], one[2]) for one in UNKNOWN if one[2]])
def test_the_field_that_was_meant(words: tuple[object, ...], meant: str) -> None:
    """The advice is followed to its end; dates and tokens need more than a field that is there."""
    line = json.dumps(run(*words, code=1).stderr)
    wrong = re.findall(r"the field '([^']+)'", line)[0]
    if wrong == "nn" and "--token-field" in words:
        words = (*words, "--filter", '{"must": [{"key": "n", "range": {"gte": 1}}]}')
    mended = [str(word).replace(wrong, meant, 1) if wrong in str(word) else word for word in words]
    if "--since-field" in words:
        mended = ["n" if word == "text" else word for word in mended]
        with EdgeCollection.open("store", "pool") as pool:
            pool.index_payload("n")
    run(*mended)


@pytest.mark.slow
@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize("clause", ["must", "should"])
def test_a_filter_by_a_field_that_nobody_has(clause: str) -> None:
    where = json.dumps({clause: [{"key": "lang", "match": {"value": "en"}}]})
    for words in (SELECT, ("path", *COMMON), ("compare", *COMMON, "--size", 3)):
        told = run(*words, "--filter", where, code=1).stderr
        assert "gives no candidate: no point matches the filter; no point of collection" in told
        assert "'lang' that --filter names" in told
        assert "did you mean 'meta.lang'?" in told
    nobody = json.dumps({clause: [{"key": "meta.lang", "match": {"value": "fr"}}]})
    told = run(*SELECT, "--filter", nobody, code=1).stderr
    assert "no point matches the filter; no point has 'fr' in 'meta.lang', where others" in told


def test_a_filter_that_leaves_out_nobody_says_so() -> None:
    where = '{"must_not": [{"key": "meta.lnag", "match": {"value": "de"}}]}'
    told = run(*SELECT, "--filter", where).stderr
    assert "'meta.lnag' that --filter names" in told
    assert "did you mean 'meta.lang'?" in told
    right = run(*SELECT, "--filter", where.replace("lnag", "lang")).stderr
    assert "--filter names" not in right
    assert run(*SELECT, "--filter", where, "--json").stderr == ""


def test_copies_are_found_by_the_field_that_was_meant() -> None:
    words = ("select", *COMMON, "--size", 100, "--out", "o.jsonl", *EXAM, "--text-field", "text")
    run(*words, "--exclude-report", "kept.jsonl")
    assert [row["id"] for row in rows_of("kept.jsonl")] == [7]
    told = run(*words, "--fail-on-contamination", code=1).stderr
    assert "1 candidates copy test items" in told


def test_test_items_that_are_too_short_for_runs() -> None:
    Path("exam.jsonl").write_text('{"text": "another document 7"}\n{"text": "no no no no"}')
    words = (*SELECT, "--exclude", "exam.jsonl", "--exclude-radius", 0)
    said = run(*words).stderr
    assert "no test item has a run of 8 words, at least half of them different" in said
    assert "so only whole texts were compared" in said
    assert "no test item" not in run(*words, "--exclude-ngrams", 0).stderr
    strict = run(*words, "--fail-on-contamination", code=2).stderr
    assert "say so with --exclude-ngrams 0" in strict
    run(*words, "--fail-on-contamination", "--exclude-ngrams", 0)


def test_a_map_of_fields_that_no_selected_point_has() -> None:
    words = ("export", "task.run", "--format", "chat", "--out", "t.jsonl", "--map")
    for source in ("task.run", "k.jsonl"):
        for field in ("sytem", "meta.lnag"):
            told = run(
                "export", source, *words[2:], f"prompt=text,completion=n,system={field}", code=1
            ).stderr
            assert f"none of 10 selected points has the field '{field}' that --map names" in told
            assert not Path("t.jsonl").exists()
    run(*words, "prompt=text,completion=meta.lang,system=meta.lang")
    assert len(rows_of("t.jsonl")) == 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("--filter", "N>=3"), 1),
        (("--filter", "META.LANG=en"), 1),
        (("--quota", "META.LANG:0.5"), 1),
        (("--budget-tokens", 100, "--token-field", "N"), 1),
    ],
)
def test_keys_of_payloads_are_exact_and_the_right_one_is_named(
    flags: tuple[object, ...], code: int
) -> None:
    said = run(*SELECT, *flags, code=code).stderr
    assert "did you mean 'n'?" in said or "did you mean 'meta.lang'?" in said
    assert not Path("o.jsonl").exists()


def test_columns_of_files_match_without_case() -> None:
    Path("pool.csv").write_text("ID,TEXT\n" + "".join(f"{k},one {k}\n" for k in range(3)))
    np.save("X.npy", np.eye(3, 5, dtype=np.float32))
    place = ("--qdrant", "store", "--collection", "other", "--vectors", "X.npy")
    run("ingest", "pool.csv", *place, "--id-field", "id", "--text-field", "text")
    with open_collection("store", "other") as made:
        assert made.info().metadata["text"] == {"text_field": "TEXT"}
        assert {one.id for one in made.retrieve([0, 1, 2])} == {0, 1, 2}
    Path("pool.csv").write_text("ID,id2,Id\n1,2,3\n")
    said = run("ingest", "pool.csv", *place, "--id-field", "id", code=1).stderr
    assert "'pool.csv:2' has no field 'id' but 'ID' and 'Id'; name one of them" in said
