"""Reading records: every way a file or a directory can be broken."""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from record_files import packed, refusal, written

from tsds_qdrant.errors import InputError, MissingPackageError
from tsds_qdrant.records import count_records, read_records


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


@pytest.mark.slow
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
    assert "row 2 of" in message
    assert "holds bytes that are not UTF-8 text in 'image'" in message


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path / "a.jsonl", "{}")
    monkeypatch.setattr(Path, "open", deny)
    assert "a.jsonl' cannot be read (Permission denied)" in refusal(path)


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsds_qdrant.records.lines.MAX_LINE", 1 << 20)
    assert "a.jsonl:1' is longer than 1 MiB" in refusal(
        written(tmp_path / "a.jsonl", "x" * (1 << 21))
    )


# Directories


def test_directories_that_hold_no_dataset_or_several(tmp_path: Path) -> None:
    assert "is a folder without files of records" in refusal(tmp_path)
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
