"""What the command line says of the forms of files, for candidates and for task examples."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import run

PLACE = ("--qdrant", "store", "--collection", "pool")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", np.eye(3, 8, dtype=np.float32))


def stored() -> list[dict[str, object]]:
    usual = ("--keep-task-examples", "--alpha", "0.5", "--out", "s.jsonl")
    run("select", *PLACE, "--queries", "X.npy", "--size", "3", *usual)
    rows = map(json.loads, Path("s.jsonl").read_text().splitlines())
    return sorted((row["payload"] for row in rows), key=json.dumps)


def ingested(*words: str) -> list[dict[str, object]]:
    run("ingest", *words, "--vectors", "X.npy", *PLACE)
    return stored()


def test_a_table_without_a_header() -> None:
    Path("a.txt").write_text("0;one;x\n1;two;y\n2;three;z\n")
    assert ingested("a.txt", "--delimiter", ";", "--no-header", "--drop-columns", "2") == [
        *({"0": "0", "1": "one"}, {"0": "1", "1": "two"}, {"0": "2", "1": "three"})
    ]


def test_a_list_of_a_document() -> None:
    records = [{"text": word} for word in ("a", "b", "c")]
    Path("a.json").write_text(json.dumps({"rows": records, "features": [{"name": "text"}]}))
    refused = run("ingest", "a.json", "--vectors", "X.npy", *PLACE, code=1).stderr
    assert "holds the lists rows, features; choose one, as in --json-field rows" in refused
    assert ingested("a.json", "--json-field", "rows") == records


def test_columns_that_cannot_be_read_are_dropped() -> None:
    table = pa.table({"text": ["a", "b", "c"], "image": [b"\xff"] * 3, "n": [1, 2, 3]})
    pq.write_table(table, "a.parquet")
    refused = run("ingest", "a.parquet", "--vectors", "X.npy", *PLACE, code=1).stderr
    assert "leave it out (ingest does with --drop-columns image)" in refused
    dropped = ("--drop-columns", "image", "--drop-columns", "n")
    assert ingested("a.parquet", *dropped) == [{"text": text} for text in "abc"]


def test_a_name_that_no_record_has_is_refused() -> None:
    rows = [{"text": str(n)} for n in range(1_100)] + [{"text": "last", "rare": 1}]
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    np.save("X.npy", np.random.default_rng(0).normal(size=(1_101, 4)).astype(np.float32))
    command = ("ingest", "a.jsonl", "--vectors", "X.npy", *PLACE, "--drop-columns")
    refused = run(*command, "rare,txt", code=1).stderr
    assert "no record has the field 'txt' that is to be dropped (the others: text)" in refused
    assert not Path("store").exists()
    assert "added 1101" in run(*command, "rare").stderr


def test_a_file_given_twice_is_refused() -> None:
    Path("a.jsonl").write_text('{"text": "a"}\n')
    refused = run("ingest", "a.jsonl", "*.jsonl", "--vectors", "X.npy", *PLACE, code=2).stderr
    assert "a.jsonl' is given twice; give each file once" in refused


def test_forms_are_for_files_of_records() -> None:
    Path("a.jsonl").write_text("".join(f'{{"text": "{word}"}}\n' for word in "abc"))
    ingested("a.jsonl")
    select = ("select", *PLACE, "--size", "1", "--out", "o.jsonl", "--queries")
    refused = run(*select, "X.npy", "--no-header", code=2).stderr
    assert "--no-header needs task examples that are records, and 'X.npy' holds vectors" in refused
    refused = run(*select, "a.jsonl", "--no-header", code=2).stderr
    assert "--no-header is for a table, and 'a.jsonl' is none" in refused
