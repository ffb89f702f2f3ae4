"""Ingest: what is stored, what a second run leaves alone, what a killed one loses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hashed_words import HashedWords

from tsds_qdrant.collections import create_collection, open_collection
from tsds_qdrant.collections.values import METRICS, Metric
from tsds_qdrant.errors import CollectionMismatchError, InputError, SettingsError
from tsds_qdrant.ingestion.destination import Destination
from tsds_qdrant.ingestion.ingest import ingest_records, ingest_vectors
from tsds_qdrant.ingestion.report import IngestReport
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.settings import RecordSettings

TEXT = TextTemplate(text_field="text")
Record = dict[str, Any]


def texts(n: int) -> list[Record]:
    return [{"text": f"group{i % 7} word{i}", "n": i} for i in range(n)]


def write(path: Path, records: Iterable[Record]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def points(place: Destination) -> list[tuple[Any, Record, bytes]]:
    collection = open_collection(place.location, place.name)
    try:
        ids = [point_id for page in collection.scroll_ids() for point_id in page]
        found = collection.retrieve(ids, vectors=True)
        return [(r.id, r.content, np.asarray(r.vector).tobytes()) for r in found]
    finally:
        collection.close()


def told(report: IngestReport) -> tuple[int, int, int, int]:
    return report.read, report.added, report.updated, report.unchanged


@pytest.fixture
def place(tmp_path: Path) -> Destination:
    return Destination(str(tmp_path / "store"), "pool")


def test_texts_become_points_with_their_records_and_metadata(
    place: Destination, tmp_path: Path
) -> None:
    records, model = texts(600), HashedWords()
    events: list[tuple[str, int, int]] = []
    report = ingest_records(
        place,
        [write(tmp_path / "pool.jsonl", records)],
        template=TextTemplate(),
        embedder=model,
        progress=lambda *event: events.append(event),
    )
    assert told(report) == (600, 600, 0, 0)
    assert report.count == 600
    assert model.texts == [record["text"] for record in records]
    stored = points(place)
    assert sorted((payload for _, payload, _ in stored), key=lambda p: p["n"]) == records
    assert {UUID(point_id).version for point_id, _, _ in stored} == {8}
    collection = open_collection(place.location, place.name)
    metadata = dict(collection.info().metadata)
    collection.close()
    ours = {"model": "hashed-words", "text": {"template": "{text}"}, "ids": "content"}
    assert {**metadata, **ours} == metadata
    done = [done for stage, done, total in events if (stage, total) == ("ingest", 600)]
    assert done == sorted(done)
    assert done[-1] == 600
    assert events[-1] == ("ingest", 600, 600)


def test_a_second_run_adds_nothing_and_embeds_nothing(place: Destination, tmp_path: Path) -> None:
    file = write(tmp_path / "pool.jsonl", texts(300))
    ingest_records(place, [file], template=TEXT, embedder=HashedWords())
    before, model = points(place), HashedWords()
    report = ingest_records(place, [file], template=TEXT, embedder=model)
    assert told(report) == (300, 0, 0, 300)
    assert model.texts == []
    assert points(place) == before
    more = write(tmp_path / "more.jsonl", texts(310))
    assert told(ingest_records(place, [more], template=TEXT, embedder=model)) == (310, 10, 0, 300)
    assert model.texts == [record["text"] for record in texts(310)[300:]]


def test_equal_records_are_stored_and_embedded_once(place: Destination, tmp_path: Path) -> None:
    near, far = texts(3), texts(300)
    records = [*near, *near, *far]  # again in the same chunk, and in the next
    model = HashedWords()
    file = write(tmp_path / "pool.jsonl", records)
    report = ingest_records(place, [file], template=TEXT, embedder=model)
    assert told(report) == (306, 300, 0, 6)
    assert report.count == len(model.texts) == 300


def test_ids_come_from_a_field(place: Destination, tmp_path: Path) -> None:
    records = [{"text": "a b", "id": 7}, {"text": "c", "id": "12"}, {"text": "d", "id": "doc-1"}]
    file = write(tmp_path / "pool.jsonl", records)
    ingest_records(
        place, [file], template=TEXT, embedder=HashedWords(), settings=RecordSettings(id_field="id")
    )
    assert {point_id for point_id, _, _ in points(place)} > {7, 12}
    records[0]["text"] = "changed"
    records[1]["more"] = 1
    model = HashedWords()
    write(tmp_path / "pool.jsonl", records)
    report = ingest_records(
        place, [file], template=TEXT, embedder=model, settings=RecordSettings(id_field="id")
    )
    assert told(report) == (3, 0, 2, 1)
    assert model.texts == ["changed", "c"]
    assert {payload["text"] for _, payload, _ in points(place)} == {"changed", "c", "d"}
    with pytest.raises(InputError, match=r"pool.jsonl:1' has no field 'idd'.*did you mean 'id'"):
        ingest_records(
            place, [file], template=TEXT, embedder=model, settings=RecordSettings(id_field="idd")
        )


def test_vectors_alone_are_numbered_and_compared(place: Destination) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1_200, 8)).astype(np.float32)
    assert told(ingest_vectors(place, rows[:1_100], model="mine")) == (1_100, 1_100, 0, 0)
    assert told(ingest_vectors(place, rows[1_100:], first_id=1_100)) == (100, 100, 0, 0)
    assert [point_id for point_id, _, _ in points(place)] == list(range(1_200))
    rows[5] = -rows[5]
    rows[1_005] = 3 * rows[1_005]  # the same direction is the same vector under Cosine
    report = ingest_vectors(place, rows.astype(np.float64))
    assert told(report) == (1_200, 0, 1, 1_199)
    stored = np.frombuffer(points(place)[5][2], dtype=np.float32)
    np.testing.assert_allclose(stored, rows[5] / np.linalg.norm(rows[5]), atol=1e-6)
    with pytest.raises(SettingsError, match="no room for 1200 vectors"):
        ingest_vectors(place, rows, first_id=2**64 - 1_199)


def test_records_with_ready_vectors(place: Destination, tmp_path: Path) -> None:
    rows = np.eye(5, dtype=np.float16)
    file = write(tmp_path / "pool.jsonl", texts(5))
    first = ingest_records(place, [file], template=TextTemplate(), vectors=rows, model="mine")
    assert told(first) == (5, 5, 0, 0)
    by_number = {payload["n"]: vector for _, payload, vector in points(place)}
    assert [np.frombuffer(by_number[n], np.float32).argmax() for n in range(5)] == list(range(5))
    rows[2] = rows[0]
    again = ingest_records(place, [file], template=TextTemplate(), vectors=rows)
    assert told(again) == (5, 0, 1, 4)


@pytest.mark.parametrize("metric", METRICS)
def test_the_metric_is_kept_and_another_refused(tmp_path: Path, metric: Metric) -> None:
    rows = np.eye(4, dtype=np.float32)
    ingest_vectors(Destination(str(tmp_path), "pool", metric=metric), rows)
    unsaid = Destination(str(tmp_path), "pool")
    if metric in ("Euclid", "Manhattan"):
        rows[3] = 0.0  # no direction, but a place
    ingest_vectors(unsaid, rows)
    collection = open_collection(str(tmp_path), "pool")
    assert collection.info().metric == metric
    collection.close()
    other: Metric = "Manhattan" if metric == "Cosine" else "Cosine"
    with pytest.raises(CollectionMismatchError, match=f"compares by {metric}, not {other}"):
        ingest_vectors(Destination(str(tmp_path), "pool", metric=other), np.eye(4))


def test_another_model_or_dimension_is_refused(place: Destination, tmp_path: Path) -> None:
    file = write(tmp_path / "pool.jsonl", texts(3))
    ingest_records(place, [file], template=TEXT, embedder=HashedWords("one"))
    before, other = points(place), HashedWords("two")
    more = write(tmp_path / "more.jsonl", texts(9))
    with pytest.raises(CollectionMismatchError, match="made by model 'one', not 'two'"):
        ingest_records(place, [more], template=TEXT, embedder=other)
    assert other.texts == []
    with pytest.raises(CollectionMismatchError, match=r"dimension 5, .*'pool' have 32"):
        ingest_vectors(place, np.ones((3, 5)))
    assert points(place) == before
    assert place.model() == "one"


def test_an_empty_collection_learns_its_model(place: Destination, tmp_path: Path) -> None:
    create_collection(place.location, place.name, dimension=32, metadata={}).close()
    assert place.model() is None
    file = write(tmp_path / "pool.jsonl", texts(3))
    ingest_records(place, [file], template=TEXT, embedder=HashedWords("one"))
    assert place.model() == "one"


# Three events a chunk of 1,024: half embedded, embedded, read; then the index begins. A chunk is
# stored while the next one is embedded.
@pytest.mark.slow
@pytest.mark.parametrize(("event", "least"), [(1, 0), (2, 0), (3, 0), (6, 1_024), (9, 2_048)])
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, event: int, least: int) -> None:
    file = write(tmp_path / "pool.jsonl", texts(2_500))
    whole, killed = (Destination(str(tmp_path / name), "pool") for name in ("whole", "killed"))
    ingest_records(whole, [file], template=TEXT, embedder=HashedWords())
    child = subprocess.run(
        [sys.executable, __file__, killed.location, file, str(event)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    model = HashedWords()
    report = ingest_records(killed, [file], template=TEXT, embedder=model)
    stored = report.unchanged
    assert stored >= least
    assert told(report) == (2_500, 2_500 - stored, 0, stored)
    assert model.texts == [record["text"] for record in texts(2_500)[stored:]]
    assert points(killed) == points(whole)
    assert killed.model() == "hashed-words"


if __name__ == "__main__":
    left = int(sys.argv[3])

    def die(*_event: Any) -> None:
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    place_, model_ = Destination(sys.argv[1], "pool"), HashedWords()
    ingest_records(place_, [sys.argv[2]], template=TEXT, embedder=model_, progress=die)
