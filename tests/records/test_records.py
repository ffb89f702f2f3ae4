"""Reading records: every format there and back, every way a file can be broken."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import gzip
import io
import json
import math
import os
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
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tsds_qdrant.errors import InputError, MissingPackageError, SettingsError
from tsds_qdrant.files.json_values import json_safe
from tsds_qdrant.records import TextTemplate, count_records, load_vectors, read_records, record_id
from tsds_qdrant.records.json_array import iterate_array
from tsds_qdrant.records.template import CONVENTIONS

reuses_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(TEXT, VALUES, max_size=4), min_size=1, max_size=5)


def packed(raw: bytes, compression: str) -> bytes:
    if compression == ".gz":
        return gzip.compress(raw, mtime=0)
    return zstandard.ZstdCompressor().compress(raw) if compression == ".zst" else raw


def written(path: Path, text: str | bytes) -> Path:
    raw = text.encode() if isinstance(text, str) else text
    path.write_bytes(packed(raw, path.suffix))
    return path


def refusal(path: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        list(read_records(path))
    message = str(caught.value)
    assert "\n" not in message
    return message


# Formats, there and back


@reuses_folder
@given(records=RECORDS)
@pytest.mark.parametrize("suffix", [".jsonl", ".NDJSON", ".jsonl.gz", ".jsonl.zst"])
def test_json_lines_round_trip(tmp_path: Path, records: list[dict[str, Any]], suffix: str) -> None:
    path = written(tmp_path / f"a{suffix}", "".join(json.dumps(r) + "\n" for r in records))
    assert list(read_records(path)) == records


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
    assert [value for _, value in iterate_array(text.read, chunk=chunk)] == values


@given(values=st.lists(VALUES, min_size=1), chunk=st.integers(1, 40), cut=st.integers(0))
def test_json_array_cut_off_anywhere_is_an_error(values: list[Any], chunk: int, cut: int) -> None:
    text = json.dumps(values)
    stream = io.StringIO(text[: cut % len(text)])
    with pytest.raises(ValueError, match=r"^\d+: "):
        list(iterate_array(stream.read, chunk=chunk))


TABLES = st.integers(1, 4).flatmap(
    lambda width: st.tuples(
        st.lists(TEXT.filter(lambda name: "\0" not in name), min_size=width, max_size=width),
        st.lists(
            st.lists(TEXT.filter(lambda cell: "\0" not in cell), min_size=width, max_size=width),
            min_size=1,
            max_size=4,
        ),
    )
)


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
    line = r'{"a": NaN, "b": [-Infinity, 1e999], "c": "x\ud800y", "d": "\ud83d\ude00"}'
    expected = {"a": None, "b": [None, None], "c": "x\ufffdy", "d": "😀"}
    assert list(read_records(written(tmp_path / "a.jsonl", line))) == [expected]
    assert list(read_records(written(tmp_path / "a.json", f"[{line}]"))) == [expected]


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


# What is refused


def test_missing_file_and_unknown_suffix_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.jsonl' does not exist; check the path"):
        read_records(tmp_path / "missing.jsonl")
    with pytest.raises(InputError, match=r"cannot be read \(File name too long\)"):
        read_records("x" * 300)
    for name, found in (
        ("a.xml", "the suffix '.xml'"),
        ("a.parquet.gz", "the suffix '.parquet.gz'"),
        ("a", "no suffix"),
    ):
        with pytest.raises(InputError) as caught:
            read_records(written(tmp_path / name, "x"))
        assert found in str(caught.value)
        for known in (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".gz", ".zst", ".parquet"):
            assert known in str(caught.value)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_empty_file(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"a{suffix}", b"")
    with pytest.raises(InputError, match=f"a{suffix}' is empty; give a file"):
        read_records(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.jsonl", "\n \n"), ("a.json", " [ ]\n"), ("a.csv", "a,b\n"), ("a.jsonl.gz", ""),
     ("a.csv.zst", "")],
)  # fmt: skip
def test_no_records(tmp_path: Path, name: str, text: str) -> None:
    assert f"{name}' holds no records" in refusal(written(tmp_path / name, text))


def test_parquet_without_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "a.parquet")
    assert "holds no records" in refusal(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.jsonl", '{"a": 1}\n{"a" 1}\n', "a.jsonl:2' is no JSON (Expecting ':' delimiter at "),
        ("a.jsonl", '{"a": 1} {"a": 2}\n', "a.jsonl:1' is no JSON (Extra data at column 10)"),
        ("a.jsonl", '\n{"a": "x\n', "a.jsonl:2' is no JSON (Invalid control character at"),
        ("a.jsonl", '{"a": ' + "[" * 200_000, "a.jsonl:1' is no JSON (nested too deep)"),
        ("a.jsonl", '{"a": ' + "1" * 5000 + "}", "a.jsonl:1' is no JSON (Exceeds the limit"),
        ("a.jsonl", '{"a": 1}\n[1, 2]\n', "a.jsonl:2' holds [1, 2], which is no JSON object"),
        ("a.jsonl.gz", "7", "a.jsonl.gz:1' holds 7, which is no JSON object"),
        ("a.json", '[{"a": 1},\n\n{"a": x}]', "a.json:3' is no JSON (Expecting value)"),
        ("a.json", '[{"a": 1}\n{"a": 2}]', "a.json:2' is no JSON (',' expected, '{' found)"),
        ("a.json", '[{"a": 1},\n', "a.json:2' is no JSON (Expecting value)"),
        ("a.json", '[{"a": 1}', "a.json:1' is no JSON (',' expected, the end of the file found)"),
        ("a.json", '[{"a": 1}]\n]', "a.json:2' is no JSON (text after the end of the array)"),
        ("a.json", "[" * 200_000, "a.json:1' is no JSON (nested too deep)"),
        ("a.json", '[{"a": 1},\n2]', "a.json:2' holds 2, which is no JSON object"),
        ("a.json", '{\n"a": 1\n}', "a.json:1' is no JSON (Expecting property name"),
        ("a.csv", "a,b\n1,2\n1,2,3\n", "a.csv:3' has 3 fields where the header has 2"),
        ("a.csv", "a,b\n1\n", "a.csv:2' has 1 fields where the header has 2"),
        ("a.csv", 'a,b\n1,"2" x\n', "a.csv:2' is no CSV"),
        ("a.csv", 'a,b\n1,"2\n', "a.csv:2' is no CSV (unexpected end of data"),
        ("a.csv", "a,b,a\n1,2,3\n", "a.csv' has the column 'a' twice"),
    ],
)
def test_broken_text(tmp_path: Path, name: str, text: str, wanted: str) -> None:
    assert wanted in refusal(written(tmp_path / name, text))


@pytest.mark.parametrize(
    ("name", "raw", "wanted"),
    [
        (
            "a.jsonl",
            b'{"a": 1}\n{"a": "\xe9"}\n',
            "a.jsonl:2' is not UTF-8 text but holds byte 0xe9",
        ),
        ("a.csv", b"a\nb\n\xff\n", "a.csv:3' is not UTF-8 text but holds byte 0xff"),
        ("a.json", b'[{"a": "\xe9"}]', "a.json' is not UTF-8 text but holds byte 0xe9"),
        ("a.jsonl", '{"a": 1}\n'.encode("utf-16"), "but UTF-16 text; convert the file to UTF-8"),
        ("a.jsonl", packed(b"{}", ".gz"), "but gzip (name it .gz)"),
        ("a.jsonl", packed(b"{}", ".zst"), "but Zstandard (name it .zst)"),
    ],
)
def test_wrong_encoding(tmp_path: Path, name: str, raw: bytes, wanted: str) -> None:
    (tmp_path / name).write_bytes(raw)
    assert wanted in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.json.zst", "a.csv.gz"])
def test_cut_off_and_false_compression(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 10**9, 50_000).tolist()
    lines = "a\n" if "csv" in name else ""
    lines += "".join(f"{n}\n" if "csv" in name else f'{{"a": {n}}}\n' for n in noise)
    raw = written(tmp_path / name, lines).read_bytes()
    for size in (len(raw) // 2, len(raw) - 1):
        (tmp_path / name).write_bytes(raw[:size])
        assert f"{name}' is cut off; fetch or compress it again" in refusal(tmp_path / name)
    (tmp_path / name).write_bytes(b"plain text, not compressed")
    assert f"{name}' cannot be read (" in refusal(tmp_path / name)


def test_damaged_compression(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl.gz", '{"a": 1}\n' * 1000)
    raw = bytearray(path.read_bytes())
    raw[12:20] = b"\xff" * 8
    path.write_bytes(bytes(raw))
    assert "cannot be read (" in refusal(path)


def test_parquet_garbage(tmp_path: Path) -> None:
    assert "a.parquet' cannot be read (" in refusal(written(tmp_path / "a.parquet", "garbage" * 9))
    pq.write_table(pa.table({"a": list(range(1000))}), tmp_path / "b.parquet")
    raw = bytearray((tmp_path / "b.parquet").read_bytes())
    raw[10:200] = b"\xff" * 190
    (tmp_path / "b.parquet").write_bytes(bytes(raw))
    assert "b.parquet' cannot be read (" in refusal(tmp_path / "b.parquet")


def test_parquet_binary_is_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2], "image": [b"ok", b"\xff\xd8"]}), tmp_path / "a.parquet")
    message = refusal(tmp_path / "a.parquet")
    assert "record 2 of" in message
    assert "holds bytes that are not UTF-8 text in 'image'" in message


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path / "a.jsonl", "{}")
    monkeypatch.setattr(Path, "open", deny)
    assert "a.jsonl' cannot be read (Permission denied)" in refusal(path)


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsds_qdrant.records.text_formats._MAX_LINE", 1 << 20)
    assert "a.jsonl:1' is longer than 1 MiB" in refusal(
        written(tmp_path / "a.jsonl", "x" * (1 << 21))
    )


def test_long_csv_fields_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", f"a\n{'x' * 300_000}\n")
    assert [len(record["a"]) for record in read_records(path)] == [300_000]


# Directories


def test_directories_that_hold_no_dataset_or_several(tmp_path: Path) -> None:
    assert "without a dataset saved by save_to_disk" in refusal(tmp_path)
    splits = tmp_path / "dataset_dict.json"
    splits.write_text('{"splits": ["train", "test"]}')
    message = refusal(tmp_path)
    assert "holds the 2 splits train, test; give '" in message
    assert str(tmp_path / "test") in message
    splits.write_text("{")
    assert "dataset_dict.json' cannot be read (" in refusal(tmp_path)


def test_missing_package_names_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingPackageError, match=r'pip install "tsds-qdrant\[datasets\]"'):
        read_records(tmp_path)
    assert count_records(tmp_path) is None


@pytest.mark.filterwarnings("default")
def test_saved_datasets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"text": f"t{i}", "label": i, "when": dt.datetime(2024, 1, 1)} for i in range(3)]
    saved = datasets.Dataset.from_list(rows)
    saved.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": saved}).save_to_disk(str(tmp_path / "single"))
    datasets.DatasetDict({"train": saved, "test": saved}).save_to_disk(str(tmp_path / "two"))
    expected = [{**row, "when": "2024-01-01T00:00:00"} for row in rows]
    for name in ("one", "single", "two/test"):
        assert list(read_records(tmp_path / name)) == expected
        assert count_records(tmp_path / name) == 3
    assert "holds the 2 splits train, test" in refusal(tmp_path / "two")
    (tmp_path / "one" / "state.json").write_text("{}")
    assert "one' cannot be read (" in refusal(tmp_path / "one")


# Text of a record


@given(name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), value=TEXT)
def test_a_text_field_gives_the_text_as_it_is(name: str, value: str) -> None:
    template = TextTemplate.parse(text_field=name)
    if value.strip():
        assert template.render({name: value}) == value
    else:
        with pytest.raises(InputError, match="is empty in"):
            template.render({name: value})


NAMES = st.text("abcdef_", min_size=1, max_size=5)
WORDS = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


@given(
    parts=st.lists(st.tuples(TEXT, NAMES), min_size=1, max_size=4),
    end=TEXT,
    chosen=st.data(),
)
def test_a_template_is_its_parts_joined(
    parts: list[tuple[str, str]], end: str, chosen: st.DataObject
) -> None:
    record = {name: chosen.draw(WORDS) for _, name in parts}

    def plain(literal: str) -> str:
        escaped = literal.replace("{", "{{").replace("}", "}}")
        return escaped.replace("\\", "\\\\").replace("\n", "\\n")

    source = "".join(f"{plain(literal)}{{{name}}}" for literal, name in parts) + plain(end)
    template = TextTemplate.parse(template=source)
    expected = "".join(literal + record[name] for literal, name in parts) + end
    assert template.render(record) == expected
    assert TextTemplate.from_dict(json.loads(json.dumps(template.to_dict()))) == template
    assert TextTemplate.from_dict(template.to_dict()).render(record) == expected


def test_dotted_fields_lists_and_numbers() -> None:
    record = {
        "a": {"b": [{"c": "x"}, {"c": 1.5}, {"c": None}]},
        "a.b": "whole name first",
        "n": 7,
        "yes": True,
        "d.e": {"f": "inner"},
    }
    for path, text in {
        "a.b": "whole name first",
        "a.b.0.c": "x",
        "a.b.1.c": "1.5",
        "a.b.*.c": "x\n1.5",
        "n": "7",
        "yes": "true",
    }.items():
        assert TextTemplate.parse(text_field=path).render(record) == text
    assert TextTemplate.parse(template=r"{n}\t{yes}\\n {{n}}").render(record) == "7\ttrue\\n {n}"


@pytest.mark.parametrize(
    ("template", "record", "text"),
    [
        ("{a}\n{b?}\n{c}", {"a": "1", "b": "2", "c": "3"}, "1\n2\n3"),
        ("{a}\n{b?}\n{c}", {"a": "1", "b": "", "c": "3"}, "1\n3"),
        ("{a}\n{b?}\n{c}", {"a": "1", "c": "3"}, "1\n3"),
        ("{b?}\n{a}", {"a": "1"}, "1"),
        ("{a}\n{b?}", {"a": "1", "b": None}, "1"),
        ("{b?}{d?}\n{a}", {"a": "1"}, "1"),
        ("{a} {b?}\n{c}", {"a": "1", "c": "3"}, "1 \n3"),
        ("x\n{b?}: {a}", {"a": "1"}, "x\n: 1"),
    ],
)
def test_optional_fields(template: str, record: dict[str, Any], text: str) -> None:
    assert TextTemplate.parse(template=template).render(record) == text


@pytest.mark.parametrize(
    ("record", "convention", "text"),
    [
        ({"id": 1, "content": "c", "text": "t"}, "{text}", "t"),
        ({"content": "c", "prompt": "p"}, "{content}", "c"),
        (
            {"instruction": "i", "input": "", "output": "o"},
            "{instruction}\n{input?}\n{output}",
            "i\no",
        ),
        ({"prompt": "p", "completion": "c"}, "{prompt}\n{completion}", "p\nc"),
        ({"prompt": "p", "chosen": "c"}, "{prompt}", "p"),
        ({"question": "q", "answer": "a"}, "{question}\n{answer}", "q\na"),
        (
            {"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "v"}]},
            "{messages.*.content}",
            "u\nv",
        ),
        ({"content": ["parts"], "body": "b"}, "{body}", "b"),
    ],
)
def test_conventions(record: dict[str, Any], convention: str, text: str) -> None:
    undecided = TextTemplate.parse()
    assert undecided.to_dict() == {}
    decided = undecided.decide(record)
    assert decided.template == convention
    assert convention in CONVENTIONS
    assert decided.decide({}) is decided
    assert decided.render(record) == undecided.render(record) == text
    assert TextTemplate.from_dict(decided.to_dict()) == decided


def test_no_convention_lists_the_fields() -> None:
    with pytest.raises(InputError, match=r"\(its fields: id, label\); name it with --text-field"):
        TextTemplate.parse().decide({"id": 1, "label": "x"})
    with pytest.raises(InputError, match=r"it has no fields"):
        TextTemplate.parse().decide({})


def test_template_settings_that_cannot_be_right() -> None:
    for arguments, wanted in (
        (("a", "{b}"), "both the text field 'a' and the template '{b}' are given"),
        (("", None), "the text field '' has no name"),
        ((None, ""), "has no field; write one as {name}"),
        ((None, "{{a}}"), "has no field; write one as {name}"),
        ((None, "x {a} }"), "has a stray '}' at character 7"),
        ((None, "{} {a}"), "has a stray '{' at character 1"),
        ((None, "{a{b}}"), "has a stray '{' at character 1"),
    ):
        with pytest.raises(SettingsError) as caught:
            TextTemplate.parse(*arguments)
        assert wanted in str(caught.value)


def test_text_errors_name_record_field_and_the_closest_one() -> None:
    record = {"id": 1, "text": " ", "meta": {"title": None, "tags": ["a"]}}
    for field, wanted in {
        "txt": "record 3 has no field 'txt' (its fields: id, text, meta); did you mean 'text'?",
        "meta.titel": "did you mean 'meta.title'?",
        "zzz": "record 3 has no field 'zzz' (its fields: id, text, meta); name one of them",
        "text": "record 3 is empty in 'text'; fill it, drop the record, or mark the field as "
        "optional in a template, {text?}",
        "meta.title": "record 3 is empty in 'meta.title'",
        "meta": 'record 3 holds {"title": null, "tags": ["a"]} in \'meta\', which is no text',
        "meta.tags": "record 3 holds [\"a\"] in 'meta.tags', which is no text; reach into it",
        "meta.tags.1": "record 3 has no field 'meta.tags.1'",
    }.items():
        with pytest.raises(InputError) as caught:
            TextTemplate.parse(text_field=field).render(record, 3)
        assert wanted in str(caught.value)
    with pytest.raises(InputError, match="a record has no text in any of its optional fields"):
        TextTemplate.parse(template="{a?}\n{b?}").render(record)
    many = {f"field{i}": i for i in range(30)}
    with pytest.raises(InputError, match="field19 and 10 more"):
        TextTemplate.parse(text_field="x").render(many)


# Ids


def test_golden_ids() -> None:
    record = {"text": "Grüße, 世界", "n": 1, "x": 0.1, "nested": {"b": [True, None], "a": 1e100}}
    assert record_id(record, record["text"]) == "2b819340-f50d-8f3d-84e2-7e74ffb01000"
    assert record_id({}, "") == "b2f8d3b8-a102-8d07-9f05-ae8d234cd9cd"
    assert record_id({"id": "doc-1"}, "t", "id") == "64083907-3064-855e-bc07-44eb9a3a0b0a"


def test_ids_see_content_and_not_the_order_of_keys() -> None:
    a, b = {"x": 1, "y": {"p": 1, "q": 2}}, {"y": {"q": 2, "p": 1}, "x": 1}
    assert record_id(a, "t") == record_id(b, "t")
    others = [record_id(a, "u"), record_id({"x": 1}, "t"), record_id({"x": "1"}, "t")]
    assert len({record_id(a, "t"), *others}) == 4


@given(record=st.dictionaries(TEXT, VALUES, max_size=3), text=TEXT)
def test_content_ids_are_uuids_of_version_8(record: dict[str, Any], text: str) -> None:
    chosen = uuid.UUID(str(record_id(record, text)))
    assert chosen.variant == uuid.RFC_4122
    assert chosen.bytes[6] >> 4 == 8
    assert record_id(json.loads(json.dumps(record)), text) == str(chosen)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (2**64 - 1, 2**64 - 1),
        ("18446744073709551615", 2**64 - 1),
        ("7", 7),
        (7.0, 7),
        ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ],
)
def test_ids_that_are_kept(value: Any, expected: Any) -> None:
    chosen = record_id({"k": {"id": value}}, "t", "k.id")
    assert chosen == expected
    assert type(chosen) is type(expected)


def test_other_ids_become_uuids_of_their_own() -> None:
    names = ["007", "7 ", "-1", -1, 2**64, "doc", "Doc", "1.5", "a0eebc99-9c0b", "٣"]
    chosen = [record_id({"id": name}, "t", "id") for name in names]
    assert all(isinstance(one, str) and uuid.UUID(one).bytes[6] >> 4 == 8 for one in chosen)
    assert len(set(chosen)) == len(names) - 1  # -1 is "-1"
    assert record_id({"id": "doc", "a": 1}, "x", "id") == record_id({"id": "doc"}, "y", "id")


def test_ids_that_are_refused() -> None:
    record = {"ident": 1, "empty": "", "none": None, "list": [1, 2], "flag": True}
    with pytest.raises(InputError, match=r"record 5 has no field 'idnt' .*did you mean 'ident'\?"):
        record_id(record, "t", "idnt", number=5)
    for field in ("empty", "none", "list", "flag", "list.*"):
        with pytest.raises(InputError, match=r"record 5 holds .* an id must be one number"):
            record_id(record, "t", field, number=5)
    with pytest.raises(InputError, match=r"record 5 cannot be written as JSON \("):
        record_id({"a": math.nan}, "t", number=5)


# Vectors


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_vectors_stay_on_disk(tmp_path: Path, dtype: str, order: Any) -> None:
    stored = np.asarray(np.arange(12).reshape(4, 3), dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", stored)
    vectors = load_vectors(tmp_path / "a.npy")
    assert isinstance(vectors, np.memmap)
    assert vectors.dtype == dtype
    np.testing.assert_array_equal(vectors, stored)


def test_huge_vectors_open_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(10**8, 64))  # sparse file
    tracemalloc.start()
    try:
        vectors = load_vectors(path)
        assert vectors[10**8 - 1].tolist() == [0.0] * 64
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (np.zeros(3), "holds an array of shape (3,); it must be (vectors, dimension)"),
        (np.zeros((1, 2, 3)), "holds an array of shape (1, 2, 3)"),
        (np.zeros((0, 3)), "is empty, its shape is (0, 3)"),
        (np.zeros((3, 0)), "is empty, its shape is (3, 0)"),
        (np.zeros((2, 2), int), "holds int64; convert it with .astype('float32')"),
        (np.array([["a"]]), "holds <U1; convert it"),
        (np.zeros((2, 2), complex), "holds complex128; convert it"),
        (np.array([[{}]]), "holds Python objects, which are never unpickled"),
    ],
)
def test_vectors_that_are_refused(tmp_path: Path, array: Any, wanted: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError) as caught:
        load_vectors(tmp_path / "a.npy")
    assert f"a.npy' {wanted}" in str(caught.value)


def test_files_that_hold_no_vectors(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", np.zeros((10, 3)))
    good = (tmp_path / "good.npy").read_bytes()
    np.savez(tmp_path / "b.npz", np.zeros((2, 2)))
    for raw, wanted in (
        (b"", "is no .npy file"),
        (b"garbage" * 20, "is no .npy file"),
        ((tmp_path / "b.npz").read_bytes(), "is no .npy file; write one with numpy.save"),
        (good[:200], "is cut off or broken ("),
        (good[:20], "is cut off or broken ("),
        (good[:7], "is cut off or broken ("),
        (good.replace(b"'shape'", b"'shapf'"), "is cut off or broken ("),
    ):
        (tmp_path / "a.npy").write_bytes(raw)
        with pytest.raises(InputError) as caught:
            load_vectors(tmp_path / "a.npy")
        assert wanted in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"missing.npy' does not exist; check the path"):
        load_vectors(tmp_path / "missing.npy")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        load_vectors(tmp_path)


@given(junk=st.binary(max_size=80), keep=st.integers(6, 128))
@reuses_folder
def test_any_broken_header_is_an_input_error(tmp_path: Path, junk: bytes, keep: int) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    raw = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(raw[:keep] + junk)
    with contextlib.suppress(InputError):
        load_vectors(tmp_path / "a.npy")
