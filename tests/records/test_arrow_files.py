"""Parquet, Arrow and Feather: columns of one name, nested types, times, bytes."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import reuses_folder
from record_files import Noted, refusal

from tsds_qdrant.errors import InputError
from tsds_qdrant.files.json_values import CUT
from tsds_qdrant.records import count_records, read_entries, read_records
from tsds_qdrant.records.entries import Findings
from tsds_qdrant.records.form import FileForm


def ipc(path: Path, table: pa.Table, *, stream: bool) -> None:
    opened = pa.ipc.new_stream if stream else pa.ipc.new_file
    with opened(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def write(path: Path, table: pa.Table, way: str) -> Path:
    if way == "parquet":
        path = path.with_suffix(".parquet")
        pq.write_table(table, path)
    elif way == "feather":
        path = path.with_suffix(".feather")
        pyarrow.feather.write_feather(table, str(path), compression="uncompressed")
    else:
        path = path.with_suffix(".arrow")
        ipc(path, table, stream=way == "stream")
    return path


WAYS = ["parquet", "feather", "file", "stream"]


@pytest.mark.parametrize("way", WAYS)
def test_rows_of_every_kind_of_file(tmp_path: Path, way: str) -> None:
    rows = [
        {"text": f"t{n}", "inner": {"a": [n, None], "b": None}, "list": [{"x": "é"}], "n": n}
        for n in range(5)
    ]
    path = write(tmp_path / "a", pa.Table.from_pylist(rows), way)
    assert list(read_records(path)) == rows
    assert count_records(path) == (5 if way == "parquet" else None)
    assert [entry.place.line for entry in read_entries(path)] == [1, 2, 3, 4, 5]


def test_compressed_feather_and_what_is_none(tmp_path: Path) -> None:
    table = pa.table({"text": ["a"] * 3})
    pyarrow.feather.write_feather(table, str(tmp_path / "a.feather"), compression="zstd")
    assert len(list(read_records(tmp_path / "a.feather"))) == 3
    for raw in (b"garbage", b"ARROW1\0\0garbage", (tmp_path / "a.feather").read_bytes()[:-20]):
        (tmp_path / "b.arrow").write_bytes(raw)
        assert "b.arrow' cannot be read (" in refusal(tmp_path / "b.arrow")
    (tmp_path / "c.feather").write_bytes(b"FEA1....FEA1")
    assert "is of version 1 of Feather" in refusal(tmp_path / "c.feather")


def struct(names: list[str]) -> Any:
    return pa.StructArray.from_arrays([pa.array([1]) for _ in names], names=names)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ([("text", pa.array(["a"])), ("text", pa.array(["b"]))], "the column 'text' twice; rename"),
        ([("n", pa.array([1])), ("s", struct(["a", "b", "a"]))], "the column 'a' twice in 's'"),
        ([("l", pa.ListArray.from_arrays([0, 1], struct(["x", "x"])))], "'x' twice in 'l'"),
        (
            [("o", pa.StructArray.from_arrays([struct(["y", "y"])], names=["i"]))],
            "the column 'y' twice in 'o.i'",
        ),
    ],
)
def test_two_columns_of_one_name(
    tmp_path: Path, columns: list[tuple[str, Any]], wanted: str, way: str
) -> None:
    names = [name for name, _ in columns]
    table = pa.Table.from_arrays([values for _, values in columns], names=names)
    if way == "feather" and len(set(names)) < len(names):
        pytest.skip("Feather itself refuses them")
    path = write(tmp_path / "a", table, way)
    assert wanted in refusal(path)
    table = table.append_column("rest", pa.array(["r"]))
    path = write(tmp_path / "a", table, way)
    dropped = read_entries(path, form=FileForm(drop_columns=tuple(names)))
    assert [entry.record for entry in dropped] == [{"rest": "r"}]


TIMES = {
    "timestamp": pa.timestamp("ns"),
    "zone": pa.timestamp("ns", tz="UTC"),
    "time": pa.time64("ns"),
    "duration": pa.duration("ns"),
}


@pytest.mark.slow
@reuses_folder
@given(values=st.lists(st.none() | st.integers(0, 86_399_999_999_999), min_size=1, max_size=5))
@pytest.mark.parametrize("shape", ["plain", "list", "fixed", "struct", "map", "large", "words"])
@pytest.mark.parametrize("kind", TIMES)
def test_times_are_cut_and_counted(
    tmp_path: Path, values: list[int | None], kind: str, shape: str
) -> None:
    type_ = TIMES[kind]
    whole = [value for value in values if value is not None]
    column = {
        "plain": pa.array(values, type_),
        "list": pa.array([values, None, []], pa.list_(type_)),
        "large": pa.array([values], pa.large_list(type_)),
        "fixed": pa.array([values], pa.list_(type_, len(values))),
        "struct": pa.array([{"a": [value]} for value in values],
                            pa.struct([("a", pa.list_(type_))])),
        "map": pa.array([[("k", value) for value in values]], pa.map_(pa.string(), type_)),
        "words": pa.array(values, type_),
    }[shape]  # fmt: skip
    if shape == "words":
        column = column.dictionary_encode() if kind == "timestamp" else column
    ipc(tmp_path / "a.arrow", pa.table({"t": column}), stream=True)
    findings = Findings()
    found = json.dumps([entry.record for entry in read_entries(tmp_path / "a.arrow", findings)])
    assert findings.changes[CUT] == sum(value % 1000 > 0 for value in whole)
    for value in whole:
        moment = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=value // 1000)
        shown = {
            "timestamp": moment.isoformat(),
            "zone": f"{moment.isoformat()}+00:00",
            "time": moment.time().isoformat(),
            "duration": json.dumps(dt.timedelta(microseconds=value // 1000).total_seconds()),
        }[kind]
        assert shown in found


def test_types_of_arrow_become_json(tmp_path: Path) -> None:
    table = pa.table(
        {
            "large": pa.array(["a"], pa.large_string()),
            "words": pa.array(["w"]).dictionary_encode(),
            "view": pa.array(["v"], pa.string_view()),
            "price": pa.array([Decimal("12.50")]),
            "map": pa.array(
                [[("k", {"x": 1})]], pa.map_(pa.string(), pa.struct([("x", pa.int8())]))
            ),
            "half": pa.array([None], pa.struct([("a", pa.int64())])),
            "nothing": pa.nulls(1),
            "zone": pa.array([0], pa.timestamp("s", tz="+02:00")),
            "bytes": pa.array([b"ok"], pa.large_binary()),
            "inner": pa.array([{"b": b"ok", "l": [{"d": dt.date(2024, 1, 2)}]}]),
        }
    )
    ipc(tmp_path / "a.arrow", table, stream=False)
    (record,) = read_records(tmp_path / "a.arrow")
    assert record == {
        "large": "a", "words": "w", "view": "v", "price": 12.5, "map": [["k", {"x": 1}]],
        "half": None, "nothing": None, "zone": "1970-01-01T02:00:00+02:00", "bytes": "ok",
        "inner": {"b": "ok", "l": [{"d": "2024-01-02"}]},
    }  # fmt: skip


def broken_text() -> Any:
    offsets = pa.array([0, 1, 3, 4], pa.int32()).buffers()[1]
    return pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"a\xff\xfeb")])


@pytest.mark.parametrize(
    ("column", "fault"),
    [
        (pa.array([b"a", b"\xff\xd8", b"b"]), "holds bytes that are not UTF-8 text in 'x'"),
        (broken_text(), "holds bytes that are not UTF-8 text in 'x'"),
        (pa.array([{"i": b"a"}, {"i": b"\xff"}, None]), "bytes that are not UTF-8 text in 'x'"),
        (pa.array([0, 2**61, 1], pa.timestamp("s")), "holds a value beyond what can be read"),
    ],
)
@pytest.mark.parametrize("way", ["parquet", "stream"])
def test_values_that_cannot_be_read_are_bad_rows_or_dropped(
    tmp_path: Path, column: Any, fault: str, way: str
) -> None:
    if way == "parquet" and pa.types.is_timestamp(column.type):
        pytest.skip("Parquet has no such times")
    path = write(tmp_path / "a", pa.table({"n": [1, 2, 3], "x": column}), way)
    noted = Noted()
    assert [entry.record["n"] for entry in read_entries(path, noted)] == [1, 3]
    (message,) = noted.faults
    assert message.startswith(f"row 2 of '{path}' ")
    assert fault in message
    assert "--drop-columns x" in message
    dropped = read_entries(path, form=FileForm(drop_columns=("x",)))
    assert [entry.record for entry in dropped] == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_a_broken_batch_ends_the_reading(tmp_path: Path) -> None:
    path = write(tmp_path / "a", pa.table({"n": list(range(5000))}), "stream")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(InputError, match="cannot be read"):
        list(read_entries(path))
