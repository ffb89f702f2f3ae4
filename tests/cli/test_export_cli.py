"""Export on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from commands import rows_of, run
from exported import POOL, QUERIES, SIZE, payload_of

from tsds_qdrant.records import read_records


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, a run and its selection as the command line made them."""
    directory = tmp_path_factory.mktemp("export")
    np.save(directory / "X.npy", POOL)
    np.save(directory / "Q.npy", QUERIES)
    records = [{**payload_of(k), "kind": "other"} for k in range(len(POOL))]
    (directory / "pool.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    place = ("--qdrant", directory / "store", "--collection", "pool")
    run(
        *("ingest", directory / "pool.jsonl", "--vectors", directory / "X.npy", *place),
        *("--metric", "Euclid"),
    )
    run(
        *("select", *place, "--queries", directory / "Q.npy", "--size", SIZE, "--bandwidth", 0.5),
        *("--out", directory / "s.jsonl", "--state", directory / "task.run"),
    )
    return directory


@pytest.fixture
def here(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(stored, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(stored)  # the run knows its store by the path it was made with
    return tmp_path


def test_the_command_says_what_it_did(here: Path) -> None:
    out = here / "train.jsonl"
    done = run("export", "task.run", "--format", "trl", "--out", out, "--validation", 0.2)
    assert done.stdout == ""
    said = done.stderr.splitlines()
    assert said[:2] == [
        f"recognised instruction and output ({SIZE}), written as answers",
        f"fields left out, with how many records have them: lang ({SIZE}), kind ({SIZE})",
    ]
    assert "groups of near-duplicates within 0.5 (the largest: " in said[2]
    assert f"wrote {out} (48 rows), {here / 'train-validation.jsonl'} (12 rows)" == said[3]
    told = json.loads((here / "train.jsonl.manifest.json").read_text())
    assert told["source"] == str(Path("task.run").resolve())
    assert told["settings"]["validation"] == 0.2
    assert told["left_out"] == {"lang": SIZE, "kind": SIZE}
    assert sum(told["files"].values()) == SIZE
    shown = json.loads(run("export", "task.run", "--format", "trl", "--out", out, "--json").stdout)
    assert (shown["form"], shown["layout"], shown["files"]) == ("trl", "answers", {str(out): SIZE})
    run("export", "task.run", "--out", here / "plain.jsonl")
    run("export", "s.jsonl", "--out", here / "same.jsonl")
    assert (here / "plain.jsonl").read_bytes() == (here / "same.jsonl").read_bytes()
    assert [row["tsds_id"] for row in rows_of(here / "same.jsonl")] == [
        row["id"] for row in rows_of("s.jsonl")
    ]


def test_the_other_things_that_the_command_says(here: Path) -> None:
    out = here / "task.jsonl"
    done = run("export", "task.run", "--format", "axolotl", "--out", out)
    assert yaml.safe_load(done.stdout)["datasets"][0]["path"] == str(out)
    done = run("export", "task.run", "--format", "llamafactory", "--out", out)
    assert "dataset_info.json has task" in done.stderr
    pool = ("--format", "dataflex", "--pool", "pool.jsonl", "--out", here / "p.npy")
    assert (
        "rows have p > 0: DataFlex, which draws without" in run("export", "task.run", *pool).stderr
    )
    words = ("export", "task.run", "--format", "chat", "--out", out)
    line = run(*words, "--map", "prompt=title,completion=output", code=1).stderr
    assert "records do not fit the format 'chat' (first: point" in line
    assert "has no 'title'" in line
    for text, fault in (
        ("prompt", "--map has 'prompt'; write PART=FIELD"),
        ("text=a,text=b", "--map names text twice; keep one"),
        ("promt=a", "'promt' is no part of an example"),
    ):
        assert fault in run(*words, "--map", text, code=2).stderr
    assert (
        "there is no run state 'none.run'" in run("export", "none.run", "--out", out, code=1).stderr
    )


def test_the_command_tells_of_clashes_and_records_left_out(here: Path) -> None:
    rows = [
        {"id": k, "payload": payload, "rank": k, "probability": 0.1, "weight": 1}
        for k, payload in enumerate([{"tsds_id": 1, "a": 1}, {"a": "x", "text": "alone"}])
    ]
    (here / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("export", here / "odd.jsonl", "--out", here / "odd.parquet").stderr
    assert "the field 'tsds_id' is in the column 'payload_tsds_id'" in done
    assert "columns of several types, held as JSON text: a" in done
    words = ("--format", "trl", "--skip-unfit", "--out", here / "text.jsonl")
    done = run("export", here / "odd.jsonl", *words).stderr
    assert "1 records left out:\n  1 as point 0, which has no shape that is known" in done


def test_the_command_says_whose_answers_it_takes(here: Path) -> None:
    preferred = {"prompt": "ask", "chosen": "say", "rejected": "no"}
    labelled = {"prompt": "ask", "completion": "go away", "label": False}
    rows = [
        {"id": k, "payload": payload, "rank": k, "probability": 0.1, "weight": 1}
        for k, payload in enumerate([preferred, labelled])
    ]
    (here / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("export", here / "odd.jsonl", "--format", "trl", "--out", here / "train.jsonl")
    refused = run(*words, code=1).stderr
    assert "(first: point 1 is labelled false, so its answer is none to learn); leave" in refused
    said = run(*words, "--skip-unfit").stderr
    assert "recognised preference rows by their chosen answer (1), written as answers\n" in said
    assert "fields left out, with how many records have them: rejected (1)\n" in said
    assert "1 records left out:\n  1 as point 1, which is labelled false" in said


def test_what_is_left_out_is_counted_by_reason(here: Path) -> None:
    said, long = {"instruction": "ask", "output": "say", "lang": "en"}, "word " * 1_000
    payloads = [
        {**said, "note": None},
        {**said, "output": long},
        {"instruction": "ask", "output": ""},
        {"instruction": "ask", "output": "", "lang": "de"},
        {"text": "alone"},
        {"title": "what?"},
        *({"instruction": "", "output": "a", "system": f"{k}"} for k in range(2)),
        *({"instruction": [k], "output": "a"} for k in range(4)),
        {**said, "output": "x" * 4_096},
    ]
    rows = [
        {"id": k, "payload": payload, "rank": k, "probability": 0.1, "weight": 1}
        for k, payload in enumerate(payloads)
    ]
    (here / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("export", here / "odd.jsonl", "--format", "trl", "--out", here / "train.jsonl")
    refused = run(*words, code=1).stderr
    assert "10 of 13 records do not fit the format 'trl' (first: point 2 has an empty" in refused
    assert "completion, and 8 for other reasons); " in refused
    told = run(*words, "--skip-unfit").stderr.splitlines()
    assert told[:8] == [
        "recognised instruction and output (3), written as answers",
        "fields left out, with how many records have them: lang (3)",
        "10 records left out:",
        "  2 as point 2, which has an empty completion",
        "  2 as point 6, which has an empty prompt",
        "  1 as point 5, which has no shape that is known (its fields: title)",
        "  1 as point 8, which holds [0] as its prompt, which is no text",
        "  1 as point 9, which holds [1] as its prompt, which is no text",
    ]
    assert told[8:10] == [
        "  and others for 3 more reasons",
        "about 2 are longer than 1024 tokens, at which the trainer cuts unless max_length says "
        "otherwise",
    ]
    manifest = json.loads((here / "train.jsonl.manifest.json").read_text())
    assert sum(manifest["reasons"].values()) == len(manifest["unfit"]) == 10
    assert manifest["reasons"]["is text alone, unlike most of the others"] == 1
    assert manifest["long"] == {"count": 2, "tokens": 1024, "setting": "max_length"}
    assert "about" not in run(*words[:-4], "--format", "chat", *words[-2:], "--skip-unfit").stderr
    run("export", here / "odd.jsonl", "--out", "-")
    assert not Path("-.manifest.json").exists()


def test_a_reopened_run_is_not_changed_by_an_export(here: Path) -> None:
    before = (here / "task.run").read_bytes()
    run("export", here / "task.run", "--out", here / "train.jsonl", "--validation", 0.5)
    assert (here / "task.run").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["s.csv", "s.parquet", "s.tsv"])
def test_the_table_of_a_selection_serves_everywhere(tmp_path: Path, name: str) -> None:
    asked = {"role": "user", "content": 'wörd \u2028 "a",\n\tb'}
    records = [
        {"messages": [{**asked, "content": f"{asked['content']} {k}"}, {"role": "assistant",
         "content": "[1]"}], **({"lang": "de"} if k % 2 else {"tags": ["x"], "rank": "mine"})}
        for k in range(len(POOL))
    ]  # fmt: skip
    store, out = tmp_path / "store", tmp_path / name
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    np.save(tmp_path / "X.npy", POOL)
    np.save(tmp_path / "Q.npy", QUERIES)
    place = ("--qdrant", store, "--collection", "pool")
    vectors = ("--vectors", tmp_path / "X.npy", "--metric", "Euclid")
    run("ingest", tmp_path / "pool.jsonl", *vectors, *place)
    wanted = ("select", *place, "--queries", tmp_path / "Q.npy", "--size", SIZE)
    state = tmp_path / "task.run"
    done = run(*wanted, "--out", out, "--state", state)
    assert (
        "lists and objects of payloads are JSON text, in columns of their own: "
        "payload.messages.json, payload.tags.json\n"
    ) in done.stderr
    run("reselect", state, "--out", tmp_path / "s.jsonl")
    lines = rows_of(tmp_path / "s.jsonl")
    again = run("reselect", state, "--out", out)
    assert "JSON text, in columns of their own: payload.messages.json" in again.stderr
    run("watch", state, "--once", "--out", tmp_path / "s.ids")
    read = list(read_records(out))
    assert [row["payload"] for row in read] == [row["payload"] for row in lines]
    assert [str(row["id"]) for row in read] == (tmp_path / "s.ids").read_text().split()
    for source in (out, tmp_path / "s.jsonl"):
        run("export", source, "--format", "chat", "--out", tmp_path / f"{source.suffix[1:]}.jsonl")
    exported = tmp_path / f"{out.suffix[1:]}.jsonl"
    assert rows_of(exported) == rows_of(tmp_path / "jsonl.jsonl")
    np.save(tmp_path / "X.npy", POOL[:SIZE])
    shown = run(
        *("ingest", out, "--qdrant", store, "--collection", "again", "--id-field", "id"), *vectors
    ).stderr
    assert f"added {SIZE}," in shown
