"""What ``ingest`` says of records that it cannot use, and where it lists them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import run


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    lines = ['{"text": "a", "x": NaN}', '{"text": ', "", '{"text": "b"}', "7"]
    Path("pool.jsonl").write_text("\n".join(lines))
    np.save("X.npy", np.eye(4, 8, dtype=np.float32))
    where = ["--qdrant", "store", "--collection", "pool"]
    return ["ingest", "pool.jsonl", "--vectors", "X.npy", *where]


def test_bad_records_are_named_counted_and_listed(pool: list[str]) -> None:
    refused = run(*pool, code=1)
    assert "2 of the first 4 records cannot be used: 'pool.jsonl:2' is no JSON" in refused.stderr
    assert "'pool.jsonl:5' holds 7, which is no JSON object" in refused.stderr
    assert not Path("store").exists()
    done = run(*pool, "--on-bad-record", "skip", "--rejects", "rejects.jsonl")
    assert "read 4, added 2, updated 0, unchanged 0; 2 points" in done.stderr
    assert "left out 2 that cannot be used, listed in rejects.jsonl" in done.stderr
    assert "NaN or infinite numbers became null: 1" in done.stderr
    listed = [json.loads(line) for line in Path("rejects.jsonl").read_text().splitlines()]
    assert [(row["file"], row["line"]) for row in listed] == [("pool.jsonl", 2), ("pool.jsonl", 5)]
    figures = json.loads(run(*pool, "--on-bad-record", "skip", "--json").stdout)
    assert (figures["rejected"], figures["unchanged"]) == (2, 2)
    assert figures["notes"] == ["NaN or infinite numbers became null: 1"]


def test_choices_that_cannot_be_right(pool: list[str]) -> None:
    for flags, said in (
        (["--on-bad-record", "ignore"], "--on-bad-record is 'ignore'; choose error or skip"),
        (["--rejects", "r.jsonl"], "give --on-bad-record skip too"),
    ):
        assert said in run(*pool, *flags, code=2).stderr
    lost = [*pool, "--on-bad-record", "skip", "--rejects", "nowhere/r.jsonl"]
    assert "does not exist; create it first" in run(*lost, code=1).stderr
    assert not Path("store").exists()


def test_the_list_of_rejects_takes_the_place_of_nothing_that_is_read(pool: list[str]) -> None:
    skip = [*pool, "--on-bad-record", "skip", "--rejects"]
    Path("linked.jsonl").hardlink_to("pool.jsonl")
    before = Path("pool.jsonl").read_bytes()
    for rejects in ("pool.jsonl", "linked.jsonl", "./pool.jsonl"):
        assert "holds what is ingested; write to another file" in run(*skip, rejects, code=2).stderr
    for rejects in ("X.npy", "r.jsonl.gz", "r.csv", "-"):
        assert "holds JSON lines; name a .jsonl file" in run(*skip, rejects, code=2).stderr
    Path("folder").mkdir()
    Path("folder/pool.jsonl").write_bytes(before)
    inside = ["folder" if word == "pool.jsonl" else word for word in skip]
    assert "lies in the folder" in run(*inside, "folder/r.jsonl", code=2).stderr
    pattern = ["folder/*.jsonl" if word == "pool.jsonl" else word for word in skip]
    said = run(*pattern, "folder/pool.jsonl", code=2).stderr
    assert "holds what is ingested" in said
    assert Path("pool.jsonl").read_bytes() == before
    assert not Path("store").exists()
