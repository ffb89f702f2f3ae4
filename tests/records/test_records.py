"""Reading records: every format there and back, in little memory."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
import subprocess
import sys
import tracemalloc
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import reuses_folder
from record_files import RECORDS, TEXT, VALUES, packed, refusal, written

from tsds_qdrant.files.json_values import NULLED, ROUNDED, Decoder, json_safe
from tsds_qdrant.records import count_records, read_entries, read_records
from tsds_qdrant.records.entries import Findings
from tsds_qdrant.records.fields import label
from tsds_qdrant.records.json_window import Window

# Formats, there and back


@pytest.mark.slow
@reuses_folder
@given(records=RECORDS)
@pytest.mark.parametrize("suffix", [".jsonl", ".NDJSON", ".jsonl.gz", ".jsonl.zst"])
def test_json_lines_round_trip(tmp_path: Path, records: list[dict[str, Any]], suffix: str) -> None:
    path = written(tmp_path / f"a{suffix}", "".join(json.dumps(r) + "\n" for r in records))
    assert list(read_records(path)) == records


@pytest.mark.slow
@reuses_folder
@given(records=RECORDS, indent=st.sampled_from([None, 0, 2]))
@pytest.mark.parametrize("suffix", [".json", ".json.gz", ".json.zst"])
def test_json_array_round_trip(
    tmp_path: Path, records: list[dict[str, Any]], indent: int | None, suffix: str
) -> None:
    path = written(tmp_path / f"a{suffix}", json.dumps(records, indent=indent) + "\n")
    assert list(read_records(path)) == records


@given(values=st.lists(VALUES), chunk=st.integers(1, 40), indent=st.sampled_from([None, 1]))
def test_json_array_in_pieces_of_any_size(
    values: list[Any], chunk: int, indent: int | None
) -> None:
    text = io.StringIO(json.dumps(values, indent=indent, ensure_ascii=False))
    assert [item for _, _, item in Window(text.read, Decoder(), chunk).array()] == values


@given(values=st.lists(VALUES, min_size=1), chunk=st.integers(1, 40), cut=st.integers(0))
def test_json_array_cut_off_anywhere_is_an_error(values: list[Any], chunk: int, cut: int) -> None:
    text = json.dumps(values)
    stream = io.StringIO(text[: cut % len(text)])
    with pytest.raises(ValueError, match=r"^\d+: "):
        list(Window(stream.read, Decoder(), chunk).array())


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0\t\n"), max_size=20)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.tuples(
        st.lists(NAMES, min_size=width, max_size=width),
        st.lists(
            st.lists(TEXT.filter(lambda cell: "\0" not in cell), min_size=width, max_size=width),
            min_size=1,
            max_size=4,
        ),
    )
)


@pytest.mark.slow
@reuses_folder
@given(table=TABLES)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".tsv.zst"])
def test_table_round_trip(
    tmp_path: Path, table: tuple[list[str], list[list[str]]], suffix: str
) -> None:
    columns = [f"{index}{name}" for index, name in enumerate(table[0])]
    text = io.StringIO()
    writer = csv.writer(
        text, delimiter="\t" if "tsv" in suffix else ",", quoting=csv.QUOTE_ALL, lineterminator="\n"
    )
    writer.writerows([columns, *table[1]])
    path = written(tmp_path / f"a{suffix}", text.getvalue())
    assert list(read_records(path)) == [dict(zip(columns, row, strict=True)) for row in table[1]]


@reuses_folder
@given(
    columns=st.integers(1, 5).flatmap(
        lambda rows: st.fixed_dictionaries(
            {
                "n": st.lists(
                    st.none() | st.integers(-(2**63), 2**63 - 1), min_size=rows, max_size=rows
                ),
                "x": st.lists(st.none() | st.floats(), min_size=rows, max_size=rows),
                "s": st.lists(st.none() | TEXT, min_size=rows, max_size=rows),
                "l": st.lists(st.lists(TEXT, max_size=3), min_size=rows, max_size=rows),
            }
        )
    )
)
def test_parquet_round_trip(tmp_path: Path, columns: dict[str, list[Any]]) -> None:
    types = {"n": pa.int64(), "x": pa.float64(), "s": pa.string(), "l": pa.list_(pa.string())}
    arrays = [pa.array(columns[name], kind) for name, kind in types.items()]
    pq.write_table(pa.table(arrays, list(types)), tmp_path / "a.parquet")
    columns["x"] = [x if x is not None and math.isfinite(x) else None for x in columns["x"]]
    rows = zip(*columns.values(), strict=True)
    expected = [dict(zip(columns, row, strict=True)) for row in rows]
    assert list(read_records(tmp_path / "a.parquet")) == expected
    assert count_records(tmp_path / "a.parquet") == len(expected)


def test_parquet_values_become_json(tmp_path: Path) -> None:
    moment = dt.datetime(2024, 2, 29, 12, 30, 15, 123456, dt.timezone.utc)
    table = pa.table(
        {
            "ns": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")),
            "zone": pa.array([moment], pa.timestamp("us", tz="UTC")),
            "day": pa.array([moment.date()]),
            "clock": pa.array([1_000_000_001], pa.time64("ns")),
            "span": pa.array([1_500_000_001], pa.duration("ns")),
            "price": pa.array([Decimal("1.50")]),
            "word": pa.array(["a"]).dictionary_encode(),
            "old": pa.array(["é".encode()], pa.binary()),
            "half": pa.array([np.float16(0.5)], pa.float16()),
            "nested": pa.array([{"a": [moment], "b": None}]),
            "pairs": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    (record,) = read_records(tmp_path / "a.parquet")
    json.dumps(record, allow_nan=False)
    assert record == {
        "ns": "2023-11-14T22:13:20.123456",
        "zone": "2024-02-29T12:30:15.123456+00:00",
        "day": "2024-02-29",
        "clock": "00:00:01",
        "span": 1.5,
        "price": 1.5,
        "word": "a",
        "old": "é",
        "half": 0.5,
        "nested": {"a": ["2024-02-29T12:30:15.123456+00:00"], "b": None},
        "pairs": [["k", 1]],
    }


def test_json_safe_takes_numpy_and_arrow_values() -> None:
    name = uuid.UUID(int=7)
    values = {
        1: np.float32("nan"),
        "i": np.int64(3),
        "f": np.float64(0.1),
        "b": np.bool_(True),
        "m": np.datetime64("2024-01-01T00:00:00.000000001", "ns"),
        "a": np.array([[1.5, np.inf]]),
        "s": pa.scalar("x"),
        "u": name,
        "t": (1, {2}),
        "d": Decimal("NaN"),
    }
    safe = json_safe(values)
    assert safe == {
        "1": None, "i": 3, "f": 0.1, "b": True, "m": "2024-01-01T00:00:00", "a": [[1.5, None]],
        "s": "x", "u": str(name), "t": [1, [2]], "d": None,
    }  # fmt: skip
    assert type(safe["f"]) is float
    with pytest.raises(ValueError, match="type object"):
        json_safe(object())


def test_numbers_and_letters_that_json_cannot_hold(tmp_path: Path) -> None:
    line = r'{"a": NaN, "b": [-Infinity, 1e308], "c": "\\ud800", "d": "\ud83d\ude00"}'
    expected = {"a": None, "b": [None, 1e308], "c": "\\ud800", "d": "😀"}
    for name, text in (("a.jsonl", line), ("a.json", f"[{line}]")):
        findings = Findings()
        (entry,) = read_entries(written(tmp_path / name, text), findings)
        assert entry.record == expected
        assert findings.changes == {NULLED: 2}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"a": [1e999]}', "holds the number 1e999, which is beyond 64-bit floats"),
        ('{"a": -1E+400}', "holds the number -1E+400, which"),
        (r'{"a": "some x\ud800y"}', r"half of a surrogate pair (\ud800 behind 'some x')"),
        (r'{"a": {"x\udfff": 1}}', r"half of a surrogate pair (\udfff behind"),
    ],
)
def test_values_that_no_collection_can_hold(tmp_path: Path, line: str, fault: str) -> None:
    for name, text in (("a.jsonl", f"{{}}\n{line}"), ("a.json", f"[{{}},\n{line}]")):
        message = refusal(written(tmp_path / name, text))
        assert f"{name}:2' holds" in message
        assert fault in message


@pytest.mark.parametrize(
    ("digits", "rounded"),
    [
        ("0.1", 0),
        ("0.30000000000000004", 0),
        ("0.1000000000000000055511151231257827", 0),  # what 0.1 is, written out
        ("0.1234567890123456789", 1),
        ("3.14159265358979323846264338327950288", 1),
        ("1234567890123456.7", 1),
        ("1e22", 0),
        ("100000000000000000000000000.0", 0),
        ("123456789012345678901234567.0", 1),
    ],
)
def test_rounded_decimals_are_counted(tmp_path: Path, digits: str, rounded: int) -> None:
    for name, text in (("a.jsonl", f'{{"a": {digits}}}'), ("a.json", f'[{{"a": {digits}}}]')):
        findings = Findings()
        (entry,) = read_entries(written(tmp_path / name, text), findings)
        assert entry.record == {"a": float(digits)}
        assert findings.changes[ROUNDED] == rounded


def test_marks_blank_lines_and_line_ends(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '\ufeff{"a": 1}\r\n\r\n  \n{"a": 2}')
    assert list(read_records(path)) == [{"a": 1}, {"a": 2}]
    assert count_records(path) == 2
    path = written(tmp_path / "a.csv", '\ufeffa,b\r\n\r\n1,"x\r\ny"\r\n')
    assert list(read_records(path)) == [{"a": "1", "b": "x\r\ny"}]
    assert count_records(path) == 1
    path = written(tmp_path / "a.json", '\ufeff\n [ {"a": 1} ]\n')
    assert list(read_records(path)) == [{"a": 1}]


def test_json_suffix_takes_lines_too(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", '{"a": 1}\n{"a": 2}\n')
    assert list(read_records(path)) == [{"a": 1}, {"a": 2}]


def test_standard_input_and_pipes(tmp_path: Path) -> None:
    code = (
        "import sys; from tsds_qdrant.records import read_records\n"
        "print(sum(1 for _ in read_records(sys.argv[1])))"
    )
    lines = b'{"a": 1}\n{"a": 2}\n'
    for source in ("-", "/dev/stdin"):
        command = [sys.executable, "-c", code, source]
        answer = subprocess.run(command, input=lines, capture_output=True, check=True)
        assert answer.stdout == b"2\n"
    answer = subprocess.run([*command[:-1], "-"], input=b"", capture_output=True, check=False)
    assert b"'standard input' holds no records" in answer.stderr
    assert count_records("-") is None


def test_several_frames_and_members(tmp_path: Path) -> None:
    one, two = b'{"a": 1}\n' * 50_000, b'{"a": 2}\n'
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    for suffix, middle in ((".gz", b""), (".zst", skippable)):
        path = tmp_path / f"a.jsonl{suffix}"
        path.write_bytes(middle + packed(one, suffix) + middle + packed(two, suffix))
        assert sum(record["a"] for record in read_records(path)) == 50_002


@pytest.mark.slow
@pytest.mark.parametrize(
    "suffix", [".jsonl", ".json", ".csv", ".jsonl.gz", ".jsonl.zst", ".parquet"]
)
def test_memory_stays_small(tmp_path: Path, suffix: str) -> None:
    rows, text = 12_000, "word " * 400
    path = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"text": [f"{i} {text}" for i in range(rows)]}), path)
    elif suffix == ".csv":
        written(path, "text\n" + "".join(f"{i} {text}\n" for i in range(rows)))
    else:
        lines = [json.dumps({"text": f"{i} {text}"}) for i in range(rows)]
        written(path, "[" + ",\n".join(lines) + "]" if suffix == ".json" else "\n".join(lines))
        del lines
    next(read_records(path))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_records(path)) == rows
        assert tracemalloc.get_traced_memory()[1] < 6_000_000  # the file holds 24 MB
    finally:
        tracemalloc.stop()


# Counting


def test_count_only_where_it_is_cheap(tmp_path: Path) -> None:
    lines = '{"a": 1}\n{"a": 2}'
    assert count_records(written(tmp_path / "a.jsonl", lines)) == 2
    assert count_records(written(tmp_path / "a.tsv", 'a\tb\n1\t"2\n3"\n')) == 1
    assert count_records(written(tmp_path / "a.jsonl.gz", lines)) is None
    assert count_records(written(tmp_path / "a.json", f"[{lines}]")) is None
    assert count_records(written(tmp_path / "a.parquet", "garbage")) is None
    assert count_records(written(tmp_path / "a.xml", "<a/>")) is None
    assert count_records(tmp_path / "missing.jsonl") is None
    assert count_records(tmp_path) is None
    assert count_records("x" * 300) is None


def test_long_csv_fields_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", f"a\n{'x' * 300_000}\n")
    assert [len(record["a"]) for record in read_records(path)] == [300_000]


def test_labels_are_strings_or_json() -> None:
    assert [label(value) for value in ("é", "1", 1, 1.5, True, None)] == [
        *("é", "1", "1", "1.5", "true", "null")
    ]
    assert label({"b": ["é"], "a": {}}) == label({"a": {}, "b": ["é"]}) == '{"a": {}, "b": ["é"]}'
