"""Vectors that records bring along in a field of theirs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tsds_qdrant.collections import open_collection
from tsds_qdrant.collections.reserved import STAMP_FIELD, TO_BE_STAMPED, stamp_of
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.ingestion.destination import Destination
from tsds_qdrant.ingestion.ingest import ingest_records, ingest_vectors
from tsds_qdrant.ingestion.report import IngestReport
from tsds_qdrant.records import TextTemplate, record_id
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.records.settings import RecordSettings

ROWS = np.random.default_rng(0).standard_normal((2_100, 5)).astype(np.float32)
TEXTS = [f"text {k}" for k in range(len(ROWS))]


@pytest.fixture
def place(tmp_path: Path) -> Destination:
    return Destination(str(tmp_path / "store"), "pool", "Euclid")


def ingested(place: Destination, file: Path, field: str = "embedding", **more: Any) -> IngestReport:
    settings = RecordSettings(form=FileForm(vector_field=field), **more)
    return ingest_records(place, [str(file)], template=TextTemplate(), settings=settings)


def stored(place: Destination) -> dict[Any, tuple[dict[str, Any], Any]]:
    with open_collection(place.location, place.name) as collection:
        ids = [one for page in collection.scroll_ids() for one in page]
        found = collection.retrieve(ids, vectors=True)
        assert all(stamp_of(record.payload) for record in found)
        return {record.id: (record.content, record.vector) for record in found}


def lists(kind: Any) -> Callable[[Any], Any]:
    return lambda rows: pa.array(list(rows), kind)


def fixed(rows: Any) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])


def sliced(rows: Any) -> Any:
    return pa.concat_arrays([fixed(rows[:3]), fixed(rows)]).slice(3)


COLUMNS = {
    "list": (np.float32, lists(pa.list_(pa.float32()))),
    "halves": (np.float16, lists(pa.list_(pa.float16()))),
    "doubles": (np.float64, lists(pa.large_list(pa.float64()))),
    "fixed": (np.float32, fixed),
    "fixed halves": (np.float16, fixed),
    "fixed doubles": (np.float64, fixed),
    "sliced": (np.float32, sliced),
}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_vectors_are_taken_as_they_are(
    place: Destination, tmp_path: Path, name: str, suffix: str
) -> None:
    dtype, made = COLUMNS[name]
    rows = ROWS.astype(dtype)
    table = pa.table({"text": TEXTS, "embedding": made(rows), "n": range(len(rows))})
    file = tmp_path / f"pool.{suffix}"
    if suffix == "parquet":
        parquet.write_table(table, file, row_group_size=700)
    else:
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=900)
    assert ingested(place, file).added == len(rows)
    for number, text in enumerate(TEXTS):
        content = {"text": text, "n": number}
        found, vector = stored_once(place)[record_id(content, "")]
        assert found == content
        np.testing.assert_array_equal(vector, rows[number].astype(np.float32))
    assert ingested(place, file).unchanged == len(rows)


_LAST: dict[str, Any] = {}


def stored_once(place: Destination) -> dict[Any, tuple[dict[str, Any], Any]]:
    if _LAST.get("at") != place.location:
        _LAST.update(at=place.location, points=stored(place))
    points: dict[Any, tuple[dict[str, Any], Any]] = _LAST["points"]
    return points


def write(file: Path, records: Sequence[Any]) -> Path:
    file.write_text("".join(json.dumps(one) + "\n" for one in records))
    return file


def test_json_and_nested_fields_are_the_same(place: Destination, tmp_path: Path) -> None:
    plain = [{"text": t, "embedding": v.tolist()} for t, v in zip(TEXTS, ROWS, strict=True)]
    assert ingested(place, write(tmp_path / "a.jsonl", plain)).added == len(ROWS)
    beside = Destination(place.location, "beside", "Euclid")
    texts = write(tmp_path / "texts.jsonl", [{"text": t} for t in TEXTS])
    ingest_records(beside, [str(texts)], template=TextTemplate(), vectors=ROWS)
    one, other = stored(place), stored(beside)
    assert one.keys() == other.keys()
    for point_id, (content, vector) in one.items():
        assert content == other[point_id][0]
        np.testing.assert_array_equal(vector, other[point_id][1])

    def points(name: str, file: Path) -> list[tuple[dict[str, Any], list[float]]]:
        at = Destination(place.location, name, "Euclid")
        ingested(at, file, "m.v.e")
        return sorted(((c, v.tolist()) for c, v in stored(at).values()), key=repr)

    few = [{"m": {"v": {"e": v.tolist(), "k": k}}} for k, v in enumerate(ROWS[:9])]
    table = tmp_path / "b.parquet"
    parquet.write_table(pa.Table.from_pylist(few), table)
    expected = sorted(
        (({"m": {"v": {"k": k}}}, v.tolist()) for k, v in enumerate(ROWS[:9])), key=repr
    )
    assert points("lines", write(tmp_path / "b.jsonl", few)) == expected
    assert points("columns", table) == expected


def test_vectors_alone_are_numbered(place: Destination, tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"embedding": fixed(ROWS)}), file)
    assert ingested(place, file).added == len(ROWS)
    points = stored(place)
    assert list(points) == list(range(len(ROWS)))
    assert all(content == {} for content, _ in points.values())
    np.testing.assert_array_equal([vector for _, vector in points.values()], ROWS)
    assert ingest_vectors(place, ROWS).unchanged == len(ROWS)


GOOD = {"text": "a", "embedding": [1, 2.5, -3]}
BAD = {
    "null": (None, "has no numbers in 'embedding', but null or an empty list"),
    "empty": ([], "has no numbers in 'embedding', but null or an empty list"),
    "short": ([1.0, 2], "has 2 numbers in 'embedding' where 3 are needed"),
    "long": ([1.0, 2, 3, 4], "has 4 numbers in 'embedding' where 3 are needed"),
    "text": ("[1, 2, 3]", "holds \"[1, 2, 3]\" in 'embedding', no list of numbers"),
    "texts": (["1", "2", "3"], 'holds ["1", "2", "3"] in'),
    "hole": ([1.0, None, 2], "holds [1.0, null, 2] in"),
    "nested": ([[1.0, 2, 3]], "holds [[1.0, 2, 3]] in"),
    "switch": ([True, False, True], "holds [true, false, true] in"),
    "huge": ([1e39, 0, 0], "infinity or a number that float32 cannot hold in 'embedding'"),
    "vast": ([10**400, 0, 0], "beyond 64-bit"),
    "zero": ([0, 0.0, 0], "has a vector of length zero in 'embedding', which has no cosine"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_vector_is_named_and_can_be_left_out(tmp_path: Path, name: str) -> None:
    place = Destination(str(tmp_path / "store"), "pool")
    value, fault = BAD[name]
    file = write(tmp_path / "a.jsonl", [GOOD, {"text": "b", "embedding": value}])
    if name == "vast":
        file.write_text(file.read_text().replace("1" + "0" * 400, "1e400"))
    with pytest.raises(InputError) as refused:
        ingested(place, file)
    assert f"'{file}:2' " in str(refused.value)
    assert fault in str(refused.value)
    assert "--on-bad-record skip" in str(refused.value)
    rejects = tmp_path / "rejects.jsonl"
    report = ingested(place, file, on_bad_record="skip", rejects=rejects)
    assert (report.added, report.rejected, report.count) == (1, 1, 1)
    assert fault in json.loads(rejects.read_text())["reason"]


def test_bad_rows_of_columns_are_named(place: Destination, tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    rows = [[1.0, 2], [float("nan"), 1], None, [1.0, None], [3.0]]
    parquet.write_table(pa.table({"n": range(5), "embedding": rows}), file)
    with pytest.raises(InputError, match="4 of the first 5 records") as refused:
        ingested(place, file)
    for row in (2, 3, 4, 5):
        assert f"row {row} of '{file}'" in str(refused.value)
    assert ingested(place, file, on_bad_record="skip").count == 1
    with pytest.raises(InputError, match="did you mean 'embedding'"):
        ingested(place, file, "embeding")
    other = tmp_path / "b.parquet"
    parquet.write_table(pa.table({"n": [1], "embedding": [[1.0, 2, 3]]}), other)
    with pytest.raises(InputError, match="3 numbers in 'embedding' where 2 are needed"):
        ingested(place, other)
    with pytest.raises(SettingsError, match="give one of the three"):
        ingest_records(place, [str(file)], template=TextTemplate())


def test_points_that_a_killed_run_did_not_stamp_are_stamped(place: Destination) -> None:
    ingest_vectors(place, ROWS[:1_000])
    with open_collection(place.location, place.name) as collection:
        ids = list(range(1_000, 1_400))
        collection.upsert(ids, ROWS[1_000:1_400], [{STAMP_FIELD: TO_BE_STAMPED}] * 400)
    report = ingest_vectors(place, ROWS)
    assert (report.added, report.updated, report.unchanged) == (700, 400, 1_000)
    np.testing.assert_array_equal([vector for _, vector in stored(place).values()], ROWS)
    assert ingest_vectors(place, ROWS).unchanged == len(ROWS)
