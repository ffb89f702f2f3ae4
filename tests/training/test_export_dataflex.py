"""DataFlex: probabilities in the order of the pool."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import exported
import numpy as np
import pytest
from exported import POOL, QUERIES, Made
from hashed_words import HashedWords
from pool_oracle import probabilities_of

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
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import InputError, OutputError, SettingsError
from tsds_qdrant.ingestion.destination import Destination
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.records.settings import RecordSettings

make = exported.make


def dataflex_takes(probabilities: Any, rows: int, draws: int) -> None:
    """What DataFlex's selector does with the array."""
    assert probabilities.dtype == np.float64
    assert len(probabilities) == rows
    np.random.default_rng(0).choice(rows, size=draws, replace=False, p=probabilities)


def run_over(place: Destination, queries: Any = QUERIES) -> tuple[Collection, Any]:
    collection = open_collection(place.location, place.name)
    settings = SelectionSettings.of(sizes=(20,), alpha=0.05, cost_scale=1.0, bandwidth=0.5)
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


@pytest.mark.slow
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
        settings=RecordSettings(id_field="key" if way == "id field" else None),
    )
    collection, (_, selection) = run_over(place, vectors[:5])
    stored = {r.id: r.content["key"] for r in collection.retrieve(selection.ids)}
    by_key = {stored[i]: p for i, p in probabilities_of(selection).items()}
    found = probabilities(collection=collection, pool=files)
    keys = [record["key"] for record in records]
    assert keys.count("k0") == 2
    expected = [by_key.get(key, 0.0) / keys.count(key) for key in keys]
    if way == "id field":  # the first record of an id is the stored one
        expected = [0.0 if key in keys[:k] else by_key.get(key, 0.0) for k, key in enumerate(keys)]
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


def test_the_pool_is_read_as_it_was_ingested(place: Destination) -> None:
    rows = [f"{k};word{k % 40} other{k % 7};{k * k}" for k in range(200)]
    Path("pool.csv").write_text("".join(f"{row}\n" for row in rows))
    form = FileForm(";", no_header=True, drop_columns=("2",))
    template = TextTemplate(text_field="1")
    settings = RecordSettings(form=form)
    embedder = HashedWords()
    ingest_records(place, ["pool.csv"], template=template, embedder=embedder, settings=settings)
    texts = [row.split(";")[1] for row in rows]
    collection, (_, selection) = run_over(place, embedder.encode(texts[:5]))
    stored = {r.id: int(r.content["0"]) for r in collection.retrieve(selection.ids)}
    by_row = {stored[i]: p for i, p in probabilities_of(selection).items()}
    found = probabilities(collection=collection, pool=["pool.csv"])
    assert found == pytest.approx([by_row.get(k, 0.0) for k in range(200)], abs=1e-15)
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
