"""Folders, patterns, archives, addresses: what a path stands for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from record_files import refusal, written

from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.records import count_records, read_entries, read_records
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.records.reading import check_given_once


def parquet(path: Path, *texts: str, **columns: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": pa.array(list(texts), pa.string()), **columns}), path)
    return path


def lines(path: Path, *texts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return written(path, "".join(json.dumps({"text": text}) + "\n" for text in texts))


def texts_of(path: Path | str) -> list[str]:
    return [record["text"] for record in read_records(path)]


def test_a_folder_of_spark(tmp_path: Path) -> None:
    folder = tmp_path / "out.parquet"
    parquet(folder / "part-00001.snappy.parquet", "c")
    parquet(folder / "part-00000.snappy.parquet", "a", "b")
    parquet(folder / "part-00002.snappy.parquet")
    for name in ("_SUCCESS", "._SUCCESS.crc", ".part-00000.snappy.parquet.crc", "_metadata"):
        written(folder / name, "x")
    assert texts_of(folder) == ["a", "b", "c"]
    assert count_records(folder) == 3
    places = [str(entry.place) for entry in read_entries(folder)]
    assert places[2] == f"row 1 of '{folder / 'part-00001.snappy.parquet'}'"


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".json", ".csv", ".tsv.zst"])
def test_folders_of_text_files(tmp_path: Path, suffix: str) -> None:
    head = "text\n" if suffix[1] in "ct" else ""
    for name, text in (("b", "2"), ("a", "1"), ("sub/c", "3")):
        path = tmp_path / "pool" / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = text if head else json.dumps({"text": text})
        written(path, f"{head}{row}\n")
    written(tmp_path / "pool" / "README.md", "About.")
    written(tmp_path / "pool" / f"empty{suffix.split('.')[1]}", b"")
    (tmp_path / "pool" / f"part-9{suffix}").write_bytes(b"")
    assert texts_of(tmp_path / "pool") == ["1", "2", "3"]


def test_partitions_become_columns(tmp_path: Path) -> None:
    parquet(tmp_path / "p" / "lang=en" / "year=2020" / "a.parquet", "a")
    parquet(tmp_path / "p" / "lang=d%20e" / "year=__HIVE_DEFAULT_PARTITION__" / "a.parquet", "b")
    parquet(tmp_path / "p" / "lang=fr" / "a.parquet", "c", lang=["of the file"])
    assert list(read_records(tmp_path / "p")) == [
        {"text": "b", "lang": "d e", "year": None},
        {"text": "a", "lang": "en", "year": "2020"},
        {"text": "c", "lang": "of the file"},
    ]
    dropped = read_entries(tmp_path / "p", form=FileForm(drop_columns=("lang", "year")))
    assert [entry.record for entry in dropped] == [{"text": "b"}, {"text": "a"}, {"text": "c"}]


@pytest.mark.parametrize(
    "names",
    [
        ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
         "data/test-00000-of-00001.parquet"),
        ("train.jsonl", "test.jsonl"),
        ("train/0.jsonl", "train/1.jsonl", "validation/0.jsonl"),
        ("my_train_set[1].jsonl", "my_train_set[2].jsonl", "my_dev_set.jsonl"),
    ],
)  # fmt: skip
def test_splits_are_named_and_the_advice_reads_one(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (parquet if name.endswith(".parquet") else lines)(tmp_path / "d" / name, name)
    written(tmp_path / "d" / "dataset_infos.json", "{}")
    message = refusal(tmp_path / "d")
    assert "holds the 2 splits" in message
    choices = message.partition("; give ")[2].split(" or ")
    read = [texts_of(choice.strip("'")) for choice in choices]
    assert sorted(text for texts in read for text in texts) == sorted(names)
    assert len(read) == 2


def test_one_split_and_words_that_contain_its_name_are_no_splits(tmp_path: Path) -> None:
    for name in ("train-0.jsonl", "train-1.jsonl", "latest.jsonl", "constraint.jsonl"):
        lines(tmp_path / "d" / name, name)
    assert len(texts_of(tmp_path / "d")) == 4


def test_folders_that_hold_no_records_of_one_kind(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    assert "is a folder without files of records; give" in refusal(folder)
    written(folder / "notes.docx", "x")
    assert "without files of records (it holds notes.docx); use .jsonl" in refusal(folder)
    lines(folder / "a.jsonl", "a")
    parquet(folder / "b.parquet", "b")
    message = refusal(folder)
    assert "holds files of several formats, .jsonl, .parquet" in message
    pattern = message.partition("as in '")[2].rstrip("'")
    assert texts_of(pattern) in (["a"], ["b"])
    written(folder / "c.jsonl.xz", "x")
    assert "c.jsonl.xz' is packed; unpack it first: xz -dk '" in refusal(folder)
    (tmp_path / "delta" / "_delta_log").mkdir(parents=True)
    parquet(tmp_path / "delta" / "a.parquet", "stale")
    assert "is a Delta table" in refusal(tmp_path / "delta")


def test_patterns(tmp_path: Path) -> None:
    for name in ("b", "a", "sub/c"):
        lines(tmp_path / "p" / f"{name}.jsonl", name)
    parquet(tmp_path / "p" / "x.parquet", "x")
    assert texts_of(f"{tmp_path}/p/*.jsonl") == ["a", "b"]
    assert texts_of(f"{tmp_path}/p/**/*.jsonl") == ["a", "b", "sub/c"]
    assert texts_of(f"{tmp_path}/p/[ax].*") == ["a", "x"]
    assert count_records(f"{tmp_path}/p/*.jsonl") == 2
    assert "stands for no file; check the pattern" in refusal(f"{tmp_path}/p/*.csv")
    odd = lines(tmp_path / "odd[1].jsonl", "odd")
    assert texts_of(odd) == ["odd"]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("a.zip", "unzip"), ("a.jsonl.zip", "unzip"), ("a.tar", "tar -xf"), ("a.tar.gz", "tar -xf"),
        ("a.TGZ", "tar -xf"), ("a.jsonl.xz", "xz -dk"), ("a.jsonl.bz2", "bzip2 -dk"),
        ("a.jsonl.lz4", "lz4 -d"), ("a.7z", "7z x"), ("a.parquet.gz", "gzip -dk"),
        ("a.arrow.zst", "zstd -d"),
    ],
)  # fmt: skip
def test_archives_name_the_command_that_unpacks_them(
    tmp_path: Path, name: str, command: str
) -> None:
    path = written(tmp_path / name, "x")
    assert f"unpack it first: {command} '{path}'" in refusal(path)
    if not name.endswith((".gz", ".zst")):
        with pytest.raises(InputError, match="unpack it first"):
            read_entries(path, form=FileForm(delimiter=";"))


def test_other_files_and_addresses(tmp_path: Path) -> None:
    assert "save it as CSV first" in refusal(written(tmp_path / "a.xlsx", "x"))
    assert "save it as Parquet first" in refusal(written(tmp_path / "a.orc", "x"))
    for address in ("https://example.org/a.jsonl", "s3://bucket/a.parquet", "hf://datasets/a/b"):
        assert "is a URL, and files are read from the disk; download it first" in refusal(address)
    for magic, found in ((b"PK\x03\x04\xff", "a zip archive"), (b"BZh9\xff", "bzip2"),
                         (b"PAR1\xff", "Parquet (name it"), (b"\xfd7zXZ\0", "xz")):  # fmt: skip
        path = tmp_path / "false.jsonl"
        path.write_bytes(magic)
        assert f"is not UTF-8 text but {found}" in refusal(path)


def test_no_file_is_given_twice(tmp_path: Path) -> None:
    form = FileForm()
    one, two = lines(tmp_path / "p" / "a.jsonl", "a"), lines(tmp_path / "p" / "b.jsonl", "b")
    (tmp_path / "link.jsonl").symlink_to(one)
    check_given_once([str(one), str(two), "-", "hf:a/b"], form)
    for again in (one, tmp_path / "link.jsonl", tmp_path / "p", f"{tmp_path}/p/*.jsonl"):
        with pytest.raises(SettingsError, match=r"a\.jsonl' is given twice; give each file once"):
            check_given_once(
                [str(two) if again == one else str(one), str(one), str(again)][1:], form
            )
    with pytest.raises(SettingsError, match="'-' is given twice"):
        check_given_once(["-", "-"], form)


def test_links_that_lead_back_are_read_once(tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    lines(folder / "a.jsonl", "a")
    lines(folder / "inner" / "b.jsonl", "b")
    (folder / "loop").symlink_to(folder)
    (folder / "inner" / "up").symlink_to(folder)
    (tmp_path / "elsewhere").symlink_to(folder)
    lines(folder / ".hidden.jsonl", "c")
    for path in (folder, tmp_path / "elsewhere", f"{folder}/**/*.jsonl", f"{folder}/**"):
        assert sorted(texts_of(path)) == ["a", "b"]
    assert texts_of(f"{folder}/.h*.jsonl") == ["c"]
