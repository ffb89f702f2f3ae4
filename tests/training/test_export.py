"""Export: from a run, or its file, to training files that ``datasets`` reads back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import MakeCollection
from pool_oracle import METRICS, clustered_rows, edge_pool, near_queries, probabilities_of
from scipy.spatial.distance import cdist
from test_ingest import HashedWords
from typer.testing import CliRunner, Result

from tsds_qdrant import (
    ExportSettings,
    SelectionSettings,
    TextTemplate,
    begin_run,
    export,
    ingest_records,
    ingest_vectors,
    open_collection,
)
from tsds_qdrant.cli import app
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Metric
from tsds_qdrant.errors import InputError, OutputError, SettingsError
from tsds_qdrant.ingest.destination import Destination
from tsds_qdrant.selection.results import write_manifest, write_samples
from tsds_qdrant.training.rows import TRACE
from tsds_qdrant.training.spool import Spool

SIZE = 60
POOL = clustered_rows(400, 8, 90, spread=0.1)
"""Clusters of near-duplicates."""
QUERIES = near_queries(POOL, 12)
HOSTILE: list[dict[str, Any]] = [
    {"text": "line\u2028and\u2029paragraph\x85next\rthe\n\tend", "": 1, "a.b": {"": None}},
    {"text": "\x00 \ufeff \U0001f600", "tsds_id": "mine", "payload_tsds_id": 2, "rank": 7},
    {"text": "nested", "deep": [[{"x": [1, None]}], []], "id": None, "payload": {"text": "in"}},
    {"text": "other", "a.b": {"other": True}, "mixed": [1, "a"], "weight": 0.5, "id": 2**60 + 1},
]

Load = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        yield


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Rows of a file as ``datasets.load_dataset`` reads them."""
    from datasets import load_dataset

    def rows(path: str | Path) -> list[dict[str, Any]]:
        kind = "parquet" if str(path).endswith(".parquet") else "json"
        cache = str(tmp_path / "cache")
        loaded = load_dataset(kind, data_files=str(path), split="train", cache_dir=cache)
        found: list[dict[str, Any]] = loaded.to_list()
        return found

    return rows


def lines(path: str | Path) -> list[dict[str, Any]]:
    # Not by splitlines: texts may hold separators of Unicode.
    return [json.loads(line) for line in Path(path).read_bytes().split(b"\n") if line]


def payload_of(number: int) -> dict[str, Any]:
    return {"instruction": f"ask {number}", "output": f"say {number}", "lang": "en"}


class Made:
    """A run over an embedded collection, in the working directory."""

    def __init__(self, collection: Collection, **wanted: Any) -> None:
        chosen = {"sizes": (20, SIZE), "alpha": 0.05, "cost_scale": 1.0, "bandwidth": 0.5}
        self.collection = collection
        self.state, self.selection = begin_run(
            "task.run", collection, QUERIES, SelectionSettings(**{**chosen, **wanted})
        )

    def export(self, out: str, form: str = "plain", **wanted: Any) -> Any:
        keys = ("pool", "id_field")
        passed = {key: wanted.pop(key) for key in keys if key in wanted}
        settings = ExportSettings(form, **wanted)
        return export(self.state, out, settings, collection=self.collection, **passed)

    def drawn(self, size: int = SIZE) -> list[dict[str, Any]]:
        return list(self.selection.sample_rows(size))


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Made]]:
    """``make(payloads, **settings)``: a run over ``POOL`` with these payloads in turn."""
    from contextlib import ExitStack

    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:

        def made(
            payloads: Sequence[dict[str, Any]] = (),
            metric: Metric = "Euclid",
            ids: Sequence[Any] | None = None,
            rows: Any = POOL,
            **wanted: Any,
        ) -> Made:
            each = [
                dict(payloads[k % len(payloads)]) if payloads else payload_of(k)
                for k in range(len(rows))
            ]
            pool = stack.enter_context(edge_pool(rows, metric, ids=ids, payloads=each))
            return Made(pool, **wanted)

        yield made


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


def test_every_engine(
    make_collection: MakeCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    payloads = [payload_of(k) for k in range(len(POOL))]
    made = Made(make_collection(metric="Euclid", vectors=POOL, payloads=payloads), exact=True)
    report = made.export("train.jsonl", "trl", validation=0.2)
    rows = [row for path in report.files for row in lines(path)]
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
    for row in (rows := lines("out.jsonl")):
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
    assert report.left_out == ["lang"]
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
    assert [row["messages"] for row in (made.export("m.jsonl", "chat"), lines("m.jsonl"))[1]] == [
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
        assert [row["tsds_id"] for row in lines("train.jsonl")] == kept
        assert [point_id for point_id, _ in report.unfit] == alone
    report = made.export("train.jsonl", "trl", skip_unfit=True, validation=0.3)
    assert sum(report.files.values()) == len(kept)


def test_where_text_alone_prevails_it_is_the_rest_that_does_not_fit(
    make: Callable[..., Made],
) -> None:
    made = make([{"text": "alone"}, {"text": "other"}, payload_of(0)])
    report = made.export("train.jsonl", "axolotl", skip_unfit=True)
    assert report.layout == "text"
    assert {row["text"] for row in lines("train.jsonl")} == {"alone", "other"}
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
        assert [row["tsds_id"] for row in lines("train.jsonl")] == [
            d["id"] for d in made.drawn()[:size]
        ]
    with pytest.raises(SettingsError, match=f"size is 61, but the run drew 20, {SIZE}; ask for"):
        made.export("train.jsonl", size=61)


def test_weights_are_a_column_or_repeats(make: Callable[..., Made]) -> None:
    made = make(sampler="multinomial", sizes=(200,))
    drawn = made.drawn(200)
    assert len(drawn) < 200
    made.export("column.jsonl")
    assert [row["tsds_weight"] for row in lines("column.jsonl")] == [d["weight"] for d in drawn]
    report = made.export("repeats.jsonl", "chat")
    assert report.files == {"repeats.jsonl": 200}
    rows = lines("repeats.jsonl")
    assert [row["tsds_id"] for row in rows] == [d["id"] for d in drawn for _ in range(d["weight"])]
    assert {row["tsds_weight"] for row in rows} == {1}
    made.export("mixed.jsonl", "chat", shuffle=3)
    made.export("again.jsonl", "chat", shuffle=3)
    assert Path("mixed.jsonl").read_bytes() == Path("again.jsonl").read_bytes()
    assert lines("mixed.jsonl") != rows
    assert sorted(lines("mixed.jsonl"), key=str) == sorted(rows, key=str)
    with pytest.raises(SettingsError, match="size is 50, but the run drew 200"):
        made.export("train.jsonl", size=50)
    report = made.export("train.jsonl", "chat", validation=0.25)
    assert sum(report.files.values()) == 200
    parts = [lines(path) for path in report.files]
    assert not {row["tsds_id"] for row in parts[0]} & {row["tsds_id"] for row in parts[1]}
    assert report.split.share == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("exact", [False, True])
def test_no_pair_of_near_duplicates_straddles_the_split(
    make: Callable[..., Made], metric: Metric, exact: bool
) -> None:
    scale = {"Cosine": 0.1, "Euclid": 1.0, "Manhattan": 2.5}[metric]
    made = make(metric=metric, bandwidth=0.4 * scale, cost_scale=scale, exact=exact)
    report = made.export("train.jsonl", validation=0.2, seed=1)
    sides = [[row["tsds_id"] for row in lines(path)] for path in report.files]
    assert list(report.files) == ["train.jsonl", "train-validation.jsonl"]
    assert sorted(sides[0] + sides[1]) == sorted(d["id"] for d in made.drawn())
    assert len(sides[1]) == pytest.approx(0.2 * SIZE, abs=2)
    rows = POOL.astype(np.float32).astype(np.float64)
    if metric == "Cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    kind = "cityblock" if metric == "Manhattan" else "euclidean"
    assert cdist(rows[sides[0]], rows[sides[1]], kind).min() > report.split.radius
    within = cdist(rows[sides[0]], rows[sides[0]], kind)[np.triu_indices(len(sides[0]), 1)]
    assert (within <= report.split.radius).any()  # so there was something to keep together
    assert report.split.radius == pytest.approx(0.4 * scale)
    again = made.export("again.jsonl", validation=0.2, seed=1)
    assert Path("again.jsonl").read_bytes() == Path("train.jsonl").read_bytes()
    assert again.split == report.split
    wider = made.export("wide.jsonl", validation=0.2, radius=2.0 * scale)
    assert wider.split.groups < report.split.groups


def test_copies_stay_together_at_bandwidth_zero(make: Callable[..., Made]) -> None:
    rows = np.repeat(POOL[:100], 4, axis=0)
    made = make(rows=rows, bandwidth=0.0)
    report = made.export("train.parquet", validation=0.3)
    assert report.split.radius == 0.0
    import pyarrow.parquet as pq

    sides = [{i // 4 for i in pq.read_table(path)["tsds_id"].to_pylist()} for path in report.files]
    assert not sides[0] & sides[1]
    assert report.split.groups == len(sides[0] | sides[1])


def test_both_files_of_a_split_have_the_same_columns(make: Callable[..., Made], load: Load) -> None:
    made = make([{**payload_of(0), "rare": "yes"}, *([payload_of(1)] * 30)])
    report = made.export("train.parquet", validation=0.5)
    first, second = (load(path) for path in report.files)
    assert first[0].keys() == second[0].keys()
    assert "rare" in first[0]


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


def test_llamafactory_entries_are_merged(make: Callable[..., Made]) -> None:
    made = make()
    listed = Path("dataset_info.json")
    other = {"alpaca_en": {"hf_hub_url": "x/y"}, "known": {"file_name": "known.jsonl", "é": [1]}}
    listed.write_text(json.dumps(other))
    report = made.export("task.jsonl", "llamafactory", validation=0.2)
    assert report.datasets == ["task", "task-validation"]
    entry = {
        "formatting": "alpaca",
        "columns": {"prompt": "instruction", "query": "input", "response": "output"},
    }
    assert json.loads(listed.read_text()) == {
        **other,
        "task": {"file_name": "task.jsonl", **entry},
        "task-validation": {"file_name": "task-validation.jsonl", **entry},
    }
    made.export("task.jsonl", "llamafactory", size=20)  # in place of the one before
    assert list(json.loads(listed.read_text())) == [*other, "task", "task-validation"]
    before = listed.read_bytes()
    with pytest.raises(OutputError, match="'alpaca_en' for something else; give --out another"):
        made.export("alpaca_en.jsonl", "llamafactory")
    with pytest.raises(OutputError, match="'known' for something else"):
        made.export("known.parquet", "llamafactory")
    assert listed.read_bytes() == before
    for broken in ("{", "[]"):
        listed.write_text(broken)
        with pytest.raises(InputError, match="write to another directory"):
            made.export("new.jsonl", "llamafactory")
        assert listed.read_text() == broken
    assert not list(Path().glob("alpaca_en.jsonl")) + list(Path().glob("new.jsonl"))


def test_llamafactory_dialogues_and_texts(make: Callable[..., Made]) -> None:
    turn = [{"from": "human", "value": "ask"}, {"from": "gpt", "value": "say"}]
    made = make([{"conversations": turn * 2, "system": "be brief"}, payload_of(0)])
    made.export("task.parquet", "llamafactory")
    (entry,) = json.loads(Path("dataset_info.json").read_text()).values()
    assert entry == {
        "file_name": "task.parquet",
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }


def test_axolotl_lines_are_yaml_for_both_files(make: Callable[..., Made]) -> None:
    made = make()
    Path("a: #b").mkdir()
    report = made.export("a: #b/train.parquet", "axolotl", validation=0.2)
    dataset = {
        "ds_type": "parquet",
        "type": "chat_template",
        "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content"},
        "roles_to_train": ["assistant"],
    }
    assert yaml.safe_load(report.config) == {
        "datasets": [{"path": "a: #b/train.parquet", **dataset}],
        "test_datasets": [{"path": "a: #b/train-validation.parquet", **dataset, "split": "train"}],
        "val_set_size": 0,
    }


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


@pytest.mark.parametrize(("name", "reads"), [("train.jsonl", 55), ("train.parquet", SIZE + 55)])
def test_a_failed_export_leaves_both_files_as_they_were(
    make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch, name: str, reads: int
) -> None:
    made = make()
    made.export(name, validation=0.2, seed=1)
    before = {path.name: path.read_bytes() for path in Path().glob("train*")}
    assert len(before) == 2
    read, left = Spool.__getitem__, iter(range(reads))

    def fail_late(self: Spool, number: int) -> dict[str, Any]:
        if next(left, None) is None:
            raise KeyboardInterrupt  # the first of the files has been written, the second has not
        return read(self, number)

    monkeypatch.setattr(Spool, "__getitem__", fail_late)
    with pytest.raises(KeyboardInterrupt):
        made.export(name, validation=0.2, seed=2)
    assert {path.name: path.read_bytes() for path in Path().glob("*train*")} == before


def test_a_validation_file_of_an_earlier_export_is_told_of(make: Callable[..., Made]) -> None:
    made = make()
    assert made.export("train.jsonl", validation=0.2).stale == ""
    assert made.export("train.jsonl").stale == "train-validation.jsonl"


# DataFlex: probabilities in the order of the pool


def dataflex_takes(probabilities: Any, rows: int, draws: int) -> None:
    """What DataFlex's selector does with the array."""
    assert probabilities.dtype == np.float64
    assert len(probabilities) == rows
    np.random.default_rng(0).choice(rows, size=draws, replace=False, p=probabilities)


def run_over(place: Destination, queries: Any = QUERIES) -> tuple[Collection, Any]:
    collection = open_collection(place.location, place.name)
    settings = SelectionSettings(sizes=(20,), alpha=0.05, cost_scale=1.0, bandwidth=0.5)
    return collection, begin_run("task.run", collection, queries, settings)


def probabilities(out: str = "p.npy", **passed: Any) -> Any:
    report = export("task.run", out, ExportSettings("dataflex"), **passed)
    found = np.load(out, allow_pickle=False)
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    assert (report.files, report.positive) == ({out: len(found)}, np.count_nonzero(found))
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Destination:
    monkeypatch.chdir(tmp_path)
    return Destination(str(tmp_path / "store"), "pool", "Euclid")


def test_row_numbers_are_the_order_of_vectors_alone(place: Destination) -> None:
    ingest_vectors(place, POOL[:250])
    ingest_vectors(place, POOL[250:], first_id=250)
    collection, (_, selection) = run_over(place)
    found = probabilities(collection=collection)
    p = probabilities_of(selection)
    assert found == pytest.approx([p.get(k, 0.0) for k in range(len(POOL))], abs=1e-15)
    dataflex_takes(found, 400, 20)
    collection.delete([next(k for k in range(400) if not p.get(k))])
    with pytest.raises(InputError, match=r"not the row numbers 0, 1, \.\. \(point .* --pool"):
        probabilities(collection=collection)
    write("pool.jsonl", [{"n": k} for k in range(400)])
    assert probabilities(collection=collection, pool=["pool.jsonl"]) == pytest.approx(found)
    collection.close()


def test_rows_that_left_the_end_of_the_pool(place: Destination) -> None:
    ingest_vectors(place, POOL)
    collection, (_, selection) = run_over(place)
    last = max(i for i, p in probabilities_of(selection).items() if p)
    collection.delete(range(last, 400))
    with pytest.raises(InputError, match=f"point {last} of the run has left the collection; run"):
        probabilities(collection=collection)
    collection.close()


def write(path: str, records: Sequence[Mapping[str, Any]]) -> str:
    Path(path).write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize("way", ["vectors", "vectors and template", "texts", "id field"])
def test_the_order_is_that_of_the_records(place: Destination, way: str) -> None:
    records = [{"text": f"word{k % 40} other{k % 7}", "key": f"k{k}"} for k in range(300)]
    records += [records[0], records[3]]  # equal records are one point
    files = [write("a.jsonl", records[:150]), write("b.jsonl", records[150:])]
    embedder = HashedWords()
    vectors = embedder.encode([str(record["text"]) for record in records])
    template = TextTemplate(text_field=None if way in ("vectors", "id field") else "text")
    ingest_records(
        place,
        files,
        template=template,
        embedder=embedder if way == "texts" else None,
        vectors=None if way == "texts" else vectors,
        id_field="key" if way == "id field" else None,
    )
    collection, (_, selection) = run_over(place, vectors[:5])
    stored = {r.id: r.content["key"] for r in collection.retrieve(selection.ids)}
    by_key = {stored[i]: p for i, p in probabilities_of(selection).items()}
    found = probabilities(collection=collection, pool=files)
    keys = [record["key"] for record in records]
    assert keys.count("k0") == 2
    expected = [by_key.get(key, 0.0) / keys.count(key) for key in keys]
    if way == "id field":  # the last record of an id is the stored one
        expected = [
            0.0 if key in keys[k + 1 :] else by_key.get(key, 0.0) for k, key in enumerate(keys)
        ]
    assert by_key["k0"] > 0
    assert found == pytest.approx(expected, abs=1e-15)
    if way != "id field":
        swapped = probabilities(collection=collection, pool=files[::-1])
        assert swapped == pytest.approx(expected[150:] + expected[:150], abs=1e-15)
    with pytest.raises(InputError, match=r"candidates with p > 0 are not in a\.jsonl \(point"):
        probabilities(collection=collection, pool=files[:1])
    with pytest.raises(InputError, match="the order of the pool is not known; give the files"):
        probabilities(collection=collection)
    collection.close()


def test_foreign_ids_need_a_field_that_holds_them(make: Callable[..., Made]) -> None:
    made = make(ids=[1000 + k for k in range(len(POOL))])
    write("pool.jsonl", [{"id": 1000 + k} for k in reversed(range(len(POOL)))])
    with pytest.raises(InputError, match=r"name the field of the pool's records .* --id-field"):
        made.export("p.npy", "dataflex", pool=["pool.jsonl"])
    made.export("p.npy", "dataflex", pool=["pool.jsonl"], id_field="id")
    p = probabilities_of(made.selection)
    expected = [p.get(1000 + k, 0.0) for k in reversed(range(len(POOL)))]
    assert np.load("p.npy") == pytest.approx(expected, abs=1e-15)
    with pytest.raises(SettingsError, match="only the dataflex format needs"):
        made.export("train.jsonl", "chat", pool=["pool.jsonl"])
    with pytest.raises(OutputError, match="cannot hold"):
        made.export("pool.jsonl", "dataflex", pool=["pool.jsonl"])


# From the file of a selection, and from the command line


@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.gz", "s.csv", "s.parquet"])
def test_the_file_of_a_selection_serves_as_well(make: Callable[..., Made], name: str) -> None:
    made = make([*HOSTILE[:1], payload_of(0)], sizes=(SIZE,))
    write_samples(made.collection, made.selection, name)
    made.export("run.jsonl")
    export(name, "file.jsonl")
    assert Path("file.jsonl").read_bytes() == Path("run.jsonl").read_bytes()
    with pytest.raises(SettingsError, match=r"does not tell how '.*' was drawn; leave it out"):
        export(name, "small.jsonl", ExportSettings(size=7))
    write_manifest(made.selection, name, queries={})
    export(name, "small.jsonl", ExportSettings(size=7))
    assert lines("small.jsonl") == lines("run.jsonl")[:7]
    with pytest.raises(SettingsError, match=f"size is 99, but '{name}' holds {SIZE} rows"):
        export(name, "small.jsonl", ExportSettings(size=99))
    for form, wanted in (("plain", {"validation": 0.1}), ("dataflex", {})):
        out = "p.npy" if wanted == {} else "train.jsonl"
        with pytest.raises(
            SettingsError, match=r"needs what the run knows, .* is only its selection"
        ):
            export(name, out, ExportSettings(form, **wanted))
    with pytest.raises(OutputError, match="is what is exported; write to another file"):
        export("run.jsonl", "run.jsonl")


def test_a_file_drawn_with_replacement_has_no_smaller_sample(make: Callable[..., Made]) -> None:
    made = make(sampler="multinomial", sizes=(100,))
    write_samples(made.collection, made.selection, "s.jsonl")
    write_manifest(made.selection, "s.jsonl", queries={})
    export("s.jsonl", "repeats.jsonl", ExportSettings("chat"))
    assert len(lines("repeats.jsonl")) == 100
    with pytest.raises(SettingsError, match="was drawn with replacement or by quotas"):
        export("s.jsonl", "small.jsonl", ExportSettings("chat", size=10))


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ({"id": 1, "probability": 0.5}, "holds no ids with payloads .*its fields: id, probability"),
        ({"text": "a"}, "holds no ids with payloads"),
        ({"id": "x", "payload": {}}, "'x' is no point id"),
        ({"id": 1, "payload": {}, "probability": "much"}, "row 1 of .* is no selected candidate"),
        ({"id": 1, "payload": "text"}, "is no selected candidate"),
        ({"id": 1, "payload": None}, "1 of 1 selected points are no longer stored"),
    ],
)
def test_files_that_are_no_selection(tmp_path: Path, record: dict[str, Any], fault: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(record) + "\n")
    with pytest.raises(InputError, match=fault):
        export(path, tmp_path / "out.jsonl")


def run(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


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
    assert said[0] == (
        f"recognised instruction and output ({SIZE}), written as answers; "
        "fields left out: lang, kind"
    )
    assert "groups of near-duplicates within 0.5 (the largest: " in said[1]
    assert f"wrote {out} (48 rows), {here / 'train-validation.jsonl'} (12 rows)" == said[2]
    shown = json.loads(run("export", "task.run", "--format", "trl", "--out", out, "--json").stdout)
    assert (shown["form"], shown["layout"], shown["files"]) == ("trl", "answers", {str(out): SIZE})
    run("export", "task.run", "--out", here / "plain.jsonl")
    run("export", "s.jsonl", "--out", here / "same.jsonl")
    assert (here / "plain.jsonl").read_bytes() == (here / "same.jsonl").read_bytes()
    assert [row["tsds_id"] for row in lines(here / "same.jsonl")] == [
        row["id"] for row in lines("s.jsonl")
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
    assert "1 records left out (first: point 0 has no shape that is known" in done


def test_a_reopened_run_is_not_changed_by_an_export(here: Path) -> None:
    before = (here / "task.run").read_bytes()
    run("export", here / "task.run", "--out", here / "train.jsonl", "--validation", 0.5)
    assert (here / "task.run").read_bytes() == before
