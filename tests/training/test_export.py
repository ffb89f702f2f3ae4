"""Export of a run to training files that ``datasets`` reads back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import exported
import numpy as np
import pytest
import yaml
from commands import rows_of
from conftest import MakeCollection
from exported import HOSTILE, POOL, SIZE, Load, Made, payload_of
from pool_oracle import probabilities_of

from tsds_qdrant.errors import InputError, OutputError, SettingsError
from tsds_qdrant.training.rows import TRACE

load, make, offline = exported.load, exported.make, exported.offline


def traced(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in TRACE) for row in rows]


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst", "out.parquet"])
def test_whole_payloads_come_back(make: Callable[..., Made], load: Load, name: str) -> None:
    made = make()
    report = made.export(name)
    assert (report.layout, dict(report.files)) == ("payload", {name: SIZE})
    rows = load(name)
    drawn = made.drawn()
    assert traced(rows) == [(d["id"], d["probability"], d["rank"], d["weight"]) for d in drawn]
    assert [{key: row[key] for key in payload_of(0)} for row in rows] == [
        payload_of(d["id"]) for d in drawn
    ]
    assert list(rows[0]) == [*payload_of(0), *TRACE]


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_plain_rows_of_mapped_parts(make: Callable[..., Made], load: Load, name: str) -> None:
    """The values as they are, whatever they lie in; the rest of the payload is left out."""
    payloads: list[dict[str, Any]] = [
        {"node": json.dumps({"text": f"text {k}", "n": k}), "tags": {"of": [k, k + 1]}, "b": None}
        for k in range(len(POOL))
    ]
    made = make(payloads)
    report = made.export(name, fields={"prompt": "tags.of.*", "completion": "node.text"})
    assert report.layout == "mapped"
    assert not report.left_out
    rows = load(name)
    assert list(rows[0]) == ["prompt", "completion", *TRACE]
    drawn = made.drawn()
    assert traced(rows) == [(d["id"], d["probability"], d["rank"], d["weight"]) for d in drawn]
    for row in rows:
        k = row["tsds_id"]
        assert (row["prompt"], row["completion"]) == ([k, k + 1], f"text {k}")
    report = made.export(name, fields={"text": "node.text", "system": "b"})
    assert report.left_out == {"tags": SIZE}
    assert list(load(name)[0]) == ["text", "system", *TRACE]
    with pytest.raises(InputError, match=r"has the field 'node.txt' that --map names"):
        made.export(name, fields={"text": "node.text", "system": "node.txt"})


def test_plain_rows_without_a_mapped_part(make: Callable[..., Made]) -> None:
    made = make([{"a": k} if k % 2 else {"a": k, "t": None} for k in range(len(POOL))])
    kept = [d["id"] for d in made.drawn() if d["id"] % 2 == 0]
    fault = f"{SIZE - len(kept)} of {SIZE} records do not fit the format 'plain'"
    with pytest.raises(InputError, match=rf"{fault} .*has no 't' \(its fields: a\)"):
        made.export("out.jsonl", fields={"text": "t"})
    made.export("out.jsonl", fields={"text": "t"}, skip_unfit=True)
    assert [(row["text"], row["tsds_id"]) for row in rows_of("out.jsonl")] == [
        (None, one) for one in kept
    ]


def test_every_engine(
    make_collection: MakeCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    payloads = [payload_of(k) for k in range(len(POOL))]
    made = Made(make_collection(metric="Euclid", vectors=POOL, payloads=payloads), exact=True)
    report = made.export("train.jsonl", "trl", validation=0.2)
    rows = [row for path in report.files for row in rows_of(path)]
    assert sorted(traced(rows)) == sorted(
        (d["id"], d["probability"], d["rank"], d["weight"]) for d in made.drawn()
    )
    assert {row["completion"][0]["content"] for row in rows} == {
        f"say {d['id']}" for d in made.drawn()
    }
    made.export("p.npy", "dataflex")
    p = probabilities_of(made.selection)
    assert np.load("p.npy") == pytest.approx([p.get(k, 0.0) for k in range(len(POOL))], abs=1e-15)


def stripped(value: Any) -> Any:
    """``value`` without keys that hold null, which tables do not tell from missing ones."""
    if isinstance(value, dict):
        return {key: stripped(item) for key, item in value.items() if item is not None}
    return [stripped(item) for item in value] if isinstance(value, list) else value


def test_hostile_payloads_come_back(make: Callable[..., Made], load: Load) -> None:
    made = make(HOSTILE)
    clash = {"tsds_id": "payload_payload_tsds_id"}
    expected = [
        {clash.get(name, name): value for name, value in HOSTILE[d["id"] % len(HOSTILE)].items()}
        for d in made.drawn()
    ]
    as_lines = made.export("out.jsonl")
    as_table = made.export("out.parquet")
    assert as_lines.renamed == as_table.renamed == clash
    assert as_table.as_text == ["mixed"]
    for row in (rows := rows_of("out.jsonl")):
        assert row.keys() == rows[0].keys()  # readers infer the columns from the first rows
    ours = [{key: row[key] for key in row.keys() - set(TRACE)} for row in rows]
    assert stripped(ours) == stripped(expected)
    loaded = load("out.parquet")
    assert [row["tsds_id"] for row in loaded] == [d["id"] for d in made.drawn()]
    theirs = [{key: row[key] for key in row.keys() - set(TRACE)} for row in loaded]
    for row in theirs:
        row["mixed"] = row["mixed"] and json.loads(row["mixed"])
    assert stripped(theirs) == stripped(expected)
    from_lines = [{key: row[key] for key in theirs[0]} for row in load("out.jsonl")]
    assert stripped(from_lines) == stripped(expected)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("form", "row"),
    [
        ("chat", {"messages": ["ask {}", "say {}"]}),
        ("instruction", {"instruction": "ask {}", "input": "", "output": "say {}"}),
        ("trl", {"prompt": ["ask {}"], "completion": ["say {}"]}),
        ("axolotl", {"messages": ["ask {}", "say {}"]}),
        ("llamafactory", {"instruction": "ask {}", "input": "", "output": "say {}"}),
    ],
)
def test_forms_of_trainers_load(
    make: Callable[..., Made], load: Load, form: str, row: dict[str, Any], suffix: str
) -> None:
    made = make()
    report = made.export(f"train.{suffix}", form)
    assert report.shapes == {"instruction and output": SIZE}
    assert report.left_out == {"lang": SIZE}
    rows = load(f"train.{suffix}")
    assert list(rows[0]) == [*row, *TRACE]
    roles = {"ask": "user", "say": "assistant"}
    for loaded, drawn in zip(rows, made.drawn(), strict=True):
        assert loaded["tsds_id"] == drawn["id"]
        for column, wanted in row.items():
            filled = [text.format(drawn["id"]) for text in wanted if isinstance(wanted, list)]
            messages = [{"role": roles[text[:3]], "content": text} for text in filled]
            assert loaded[column] == (messages or str(wanted).format(drawn["id"]))


def test_dialogues_with_tools_load_where_tables_can_hold_them(
    make: Callable[..., Made], load: Load
) -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}, "type": "function"}
    messages = [
        {"role": "user", "content": "ask"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "3", "name": "f"},
        {"role": "assistant", "content": "three"},
    ]
    made = make([{"messages": messages, "tools": [{"name": "f"}]}, payload_of(0)])
    report = made.export("train.parquet", "trl")
    assert report.layout == "messages"
    for row in load("train.parquet"):
        if row["tsds_id"] % 2 == 0:
            assert stripped(row["messages"]) == messages
            assert json.loads(row["tools"]) == [{"name": "f"}]
        else:
            assert row["tools"] is None
    odd = {**call, "function": {"name": "f", "arguments": {"a": "x"}}}
    mixed = [*messages[:1], {**messages[1], "tool_calls": [odd]}, *messages[2:]]
    shutil.rmtree("task.run", ignore_errors=True)
    Path("task.run").unlink()
    made = make([{"messages": messages}, {"messages": mixed}])
    with pytest.raises(OutputError, match=r"the values in 'messages' have no one type .* \.jsonl"):
        made.export("mixed.parquet", "chat")
    assert not Path("mixed.parquet").exists()
    assert [row["messages"] for row in (made.export("m.jsonl", "chat"), rows_of("m.jsonl"))[1]] == [
        [messages, mixed][d["id"] % 2] for d in made.drawn()
    ]


def test_a_mapped_payload(make: Callable[..., Made], load: Load) -> None:
    made = make([{"q": {"text": "ask"}, "a": 4, "who": "be brief"}])
    fields = {"prompt": "q.text", "completion": "a", "system": "who"}
    made.export("train.jsonl", "instruction", fields=fields)
    assert {tuple(list(row.values())[:4]) for row in load("train.jsonl")} == {
        ("ask", "", "4", "be brief")
    }


def test_records_that_do_not_fit_are_named_and_left_out_on_request(
    make: Callable[..., Made],
) -> None:
    made = make([payload_of(0), payload_of(1), payload_of(2), {"text": "alone"}])
    alone = [d["id"] for d in made.drawn() if d["id"] % 4 == 3]
    kept = [d["id"] for d in made.drawn() if d["id"] % 4 != 3]
    fault = (
        rf"{len(alone)} of {SIZE} records do not fit the format '{{}}' \(first: point {alone[0]} is"
    )
    with pytest.raises(InputError, match=fault.format("chat") + ".*--map.*--skip-unfit"):
        made.export("train.jsonl", "chat")
    for form in ("chat", "trl"):  # of which only one could hold the text
        report = made.export("train.jsonl", form, skip_unfit=True)
        assert [row["tsds_id"] for row in rows_of("train.jsonl")] == kept
        assert [point_id for point_id, _ in report.unfit] == alone
    report = made.export("train.jsonl", "trl", skip_unfit=True, validation=0.3)
    assert sum(report.files.values()) == len(kept)


def test_where_text_alone_prevails_it_is_the_rest_that_does_not_fit(
    make: Callable[..., Made],
) -> None:
    made = make([{"text": "alone"}, {"text": "other"}, payload_of(0)])
    report = made.export("train.jsonl", "axolotl", skip_unfit=True)
    assert report.layout == "text"
    assert {row["text"] for row in rows_of("train.jsonl")} == {"alone", "other"}
    assert {reason for _, reason in report.unfit} == {
        "has an answer to learn, unlike most of the others"
    }
    assert yaml.safe_load(report.config) == {
        "datasets": [
            {"path": "train.jsonl", "ds_type": "json", "type": "completion", "field": "text"}
        ]
    }


def test_nothing_fits(make: Callable[..., Made]) -> None:
    made = make([{"title": "x"}])
    for skip in (False, True):
        with pytest.raises(InputError, match=rf"{SIZE} of {SIZE} records do not fit"):
            made.export("train.jsonl", "chat", skip_unfit=skip)
    assert not Path("train.jsonl").exists()


def test_smaller_sizes_are_the_first_rows(make: Callable[..., Made]) -> None:
    made = make()
    for size in (20, 33):
        assert made.export("train.jsonl", size=size).files == {"train.jsonl": size}
        assert [row["tsds_id"] for row in rows_of("train.jsonl")] == [
            d["id"] for d in made.drawn()[:size]
        ]
    with pytest.raises(SettingsError, match=f"size is 61, but the run drew 20, {SIZE}; ask for"):
        made.export("train.jsonl", size=61)


def test_weights_are_a_column_or_repeats(make: Callable[..., Made]) -> None:
    made = make(sampler="multinomial", sizes=(200,))
    drawn = made.drawn(200)
    assert len(drawn) < 200
    made.export("column.jsonl")
    assert [row["tsds_weight"] for row in rows_of("column.jsonl")] == [d["weight"] for d in drawn]
    report = made.export("repeats.jsonl", "chat")
    assert report.files == {"repeats.jsonl": 200}
    rows = rows_of("repeats.jsonl")
    assert [row["tsds_id"] for row in rows] == [d["id"] for d in drawn for _ in range(d["weight"])]
    assert {row["tsds_weight"] for row in rows} == {1}
    made.export("mixed.jsonl", "chat", shuffle=3)
    made.export("again.jsonl", "chat", shuffle=3)
    assert Path("mixed.jsonl").read_bytes() == Path("again.jsonl").read_bytes()
    assert rows_of("mixed.jsonl") != rows
    assert sorted(rows_of("mixed.jsonl"), key=str) == sorted(rows, key=str)
    with pytest.raises(SettingsError, match="size is 50, but the run drew 200"):
        made.export("train.jsonl", size=50)
    report = made.export("train.jsonl", "chat", validation=0.25)
    assert sum(report.files.values()) == 200
    parts = [rows_of(path) for path in report.files]
    assert not {row["tsds_id"] for row in parts[0]} & {row["tsds_id"] for row in parts[1]}
    assert report.split.share == pytest.approx(0.25, abs=0.05)


def test_points_that_left_are_named(make: Callable[..., Made]) -> None:
    made = make()
    gone = [d["id"] for d in made.drawn()[3:5]]
    made.collection.delete(gone)
    with pytest.raises(
        InputError, match=rf"2 of {SIZE} .* no longer stored \(first: point {gone[0]}\)"
    ):
        made.export("train.jsonl")


def test_ids_that_readers_of_numbers_would_break_are_text(
    make: Callable[..., Made], load: Load
) -> None:
    made = make(ids=[2**64 - 1 - k for k in range(len(POOL))])
    for name in ("out.jsonl", "out.parquet"):
        made.export(name)
        assert [row["tsds_id"] for row in load(name)] == [str(d["id"]) for d in made.drawn()]


@pytest.mark.parametrize(
    ("out", "form", "wanted"),
    [
        ("train.csv", "plain", r"name it .jsonl \(also .gz, .zst\) or .parquet"),
        ("train", "chat", "cannot hold the format 'chat'"),
        ("train.parquet.gz", "plain", "cannot hold"),
        ("train.jsonl.gz", "llamafactory", "name it .jsonl or .parquet"),
        ("train.ndjson", "axolotl", "name it .jsonl or .parquet"),
        ("probs.jsonl", "dataflex", "name it .npy"),
        ("nowhere/train.jsonl", "plain", "does not exist; create it first"),
        ("task.run", "plain", "cannot hold"),
    ],
)
def test_files_that_cannot_be_written(
    make: Callable[..., Made], out: str, form: str, wanted: str
) -> None:
    with pytest.raises(OutputError, match=wanted):
        make().export(out, form)
