"""Writing results: every format there and back, and files that are whole or untouched."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from profiles import reuses_folder

from tsds_qdrant.errors import OutputError
from tsds_qdrant.files.outputs import (
    atomic_write,
    check_rows_path,
    check_writable,
    sized_path,
    write_json,
    write_rows,
)
from tsds_qdrant.records import read_records

COLUMNS = ("id", "payload", "probability", "query")
EVERY_SUFFIX = (
    ".jsonl", ".ndjson", ".jsonl.gz", ".jsonl.zst", ".csv", ".tsv", ".csv.gz", ".parquet",
    ".ids", ".txt", ".ids.gz",
)  # fmt: skip
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(0, 2**64 - 1) | st.uuids().map(str),
            "payload": st.dictionaries(TEXT, VALUES, max_size=4),
            "probability": st.floats(0, 1),
            "query": st.none() | TEXT,
        }
    ),
    max_size=6,
)
SAMPLE: list[dict[str, Any]] = [
    {"id": 1, "payload": {"text": "a", "n": 1}, "probability": 0.1, "query": None},
    {"id": "x", "payload": {"text": ["b"]}, "probability": 1e-300, "query": "q\r\n"},
]


def refusal(path: Path | str) -> str:
    with pytest.raises(OutputError) as caught:
        check_writable(path)
    with pytest.raises(OutputError, match=r"."), atomic_write(path):
        pytest.fail("the block must not run")
    return str(caught.value)


# Formats, there and back


@pytest.mark.slow
@reuses_folder
@given(rows=ROWS)
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_json_lines_round_trip(tmp_path: Path, rows: list[dict[str, Any]], suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    assert write_rows(path, iter(rows), columns=COLUMNS) == len(rows)
    if rows:
        assert list(read_records(path)) == rows
        assert list(next(read_records(path))) == list(COLUMNS)


def in_a_table(payload: dict[str, Any], blank: tuple[Any, ...]) -> dict[str, Any] | None:
    """What a table keeps of ``payload``: scalars may have become text, blank ones are gone."""
    left = {name: value for name, value in payload.items() if value not in blank}
    return left or None


def as_text(value: Any) -> Any:
    if isinstance(value, (str, list, dict)):
        return value
    return json.dumps(value) if isinstance(value, bool) else str(value)


@pytest.mark.slow
@reuses_folder
@given(rows=ROWS)
@pytest.mark.parametrize("suffix", [".csv", ".TSV", ".csv.gz", ".tsv.zst"])
def test_table_round_trip(tmp_path: Path, rows: list[dict[str, Any]], suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    clean = [
        {**row, "query": (row["query"] or "").replace("\0", ""), "rank": rank}
        for rank, row in enumerate(rows)
    ]
    assert write_rows(path, clean, columns=(*COLUMNS, "rank")) == len(rows)
    if not rows:
        return
    for row, back in zip(clean, read_records(path), strict=True):
        whole = "payload_json" in back
        assert back["id"] == str(row["id"])
        assert float(back["probability"]) == row["probability"]
        assert back["query"] == row["query"]
        if whole:
            assert json.loads(back["payload_json"]) == row["payload"]
            continue
        kept = in_a_table(row["payload"], (None, ""))
        expected = kept and {name: as_text(value) for name, value in kept.items()}
        assert back.get("payload") == expected


@pytest.mark.slow
@reuses_folder
@given(rows=ROWS)
def test_parquet_round_trip(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = tmp_path / "a.parquet"
    ranked = [{**row, "rank": rank} for rank, row in enumerate(rows)]
    assert write_rows(path, ranked, columns=(*COLUMNS, "rank")) == len(rows)
    if not rows:
        return
    mixed = any(isinstance(row["id"], str) for row in rows)
    kinds: dict[str, set[type]] = {}
    for name, value in ((name, v) for row in rows for name, v in row["payload"].items()):
        if value is not None and not isinstance(value, (list, dict)):
            kinds.setdefault(name, set()).add(type(value))
    for row, back in zip(rows, read_records(path), strict=True):
        assert back["id"] == (str(row["id"]) if mixed else row["id"])
        assert back["probability"] == row["probability"]
        assert back["query"] == row["query"]
        if "payload_json" in back:
            assert json.loads(back["payload_json"]) == row["payload"]
            continue
        kept = in_a_table(row["payload"], (None,)) or {}
        found = back.get("payload") or {}
        assert list(found) == list(kept) or found.keys() == kept.keys()
        for name, value in kept.items():
            alone = len(kinds.get(name, {0})) == 1 and not is_large(value)
            assert found[name] == (value if alone else found[name])


def is_large(value: Any) -> bool:
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def test_payloads_are_columns_of_their_own(tmp_path: Path) -> None:
    payloads: list[dict[str, Any] | None] = [
        {"text": "[1, 2]", "rank": 7, "größe": 1.5, "tags": ["a", {"b": None}], "a.b": "dot"},
        {"text": ["x"], "seen": True, "notes.json": "plain", "null": None},
        {"text": "no\0text", "größe": 2, "empty": "", "none": []},
        None,
    ]
    rows = [{"id": n, "payload": one, "rank": n} for n, one in enumerate(payloads)]
    spread = (
        *("payload.text", "payload.rank", "payload.größe", "payload.tags.json", "payload.a.b"),
        *("payload.text.json", "payload.seen", "payload.notes.json.json", "payload.null"),
        *("payload.empty", "payload.none.json"),
    )
    expected: list[Any] = [
        payloads[0],
        {"text": ["x"], "seen": True, "notes.json": "plain"},
        {"text": "no\0text", "größe": 2, "empty": "", "none": []},
        None,
    ]
    for suffix in (".parquet", ".csv", ".tsv", ".csv.gz"):
        path, named = tmp_path / f"a{suffix}", list[str]()
        write_rows(path, rows, columns=("id", "payload", "rank"), as_text=named)
        assert named == [column for column in spread if column.endswith(".json")]
        back = list(read_records(path))
        assert list(back[0]) == ["id", "payload", "rank"]
        found = [row["payload"] for row in back]
        if suffix == ".parquet":
            assert pq.read_table(path).column_names == ["id", *spread, "rank"]
            assert found == expected
            continue
        texts = [
            one and {name: as_text(value) for name, value in one.items() if value != ""}
            for one in expected
        ]
        assert found == texts
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    assert table[0]["payload.text"] == "[1, 2]"
    assert json.loads(table[0]["payload.tags.json"]) == ["a", {"b": None}]


@pytest.mark.parametrize("payload", [{"a\nb": 1}, {f"k{n}": n for n in range(1_001)}])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_payloads_that_make_no_columns_stay_whole(
    tmp_path: Path, payload: dict[str, Any], suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    rows = [{"id": 1, "payload": {"a": "x"}, "rank": 0}, {"id": 2, "payload": payload, "rank": 1}]
    assert write_rows(path, rows, columns=("id", "payload", "rank")) == 2
    back = list(read_records(path))
    assert list(back[0]) == ["id", "payload_json", "rank"]
    assert [json.loads(row["payload_json"]) for row in back] == [row["payload"] for row in rows]


def test_only_rows_of_a_selection_are_nested(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,payload.text,payload.bad.json\n1,a,[\n")
    assert list(read_records(path)) == [{"id": "1", "payload.text": "a", "payload.bad.json": "["}]
    path.write_text("id,rank,payload.text,payload.bad.json\n1,0,a,[\n")
    (back,) = read_records(path)
    assert back == {"id": "1", "rank": "0", "payload": {"text": "a", "bad.json": "["}}


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None, -2], pa.int64(), [1, None, -2]),
        ([0, 2**64 - 1], pa.uint64(), [0, 2**64 - 1]),
        ([-1, 2**64 - 1], pa.string(), ["-1", "18446744073709551615"]),
        ([2**70], pa.string(), [str(2**70)]),
        ([1, 0.5], pa.float64(), [1.0, 0.5]),
        ([True, None], pa.bool_(), [True, None]),
        ([True, 1], pa.string(), ["true", "1"]),
        ([1, "a"], pa.string(), ["1", "a"]),
        ([None, None], pa.string(), [None, None]),
        ([[1, "é"], None], pa.string(), ['[1, "é"]', None]),
        ([np.float64(0.1), float("nan")], pa.float64(), [0.1, None]),
        ([np.int32(1), np.int64(2)], pa.int64(), [1, 2]),
    ],
)
def test_parquet_columns_hold_what_their_rows_hold(
    tmp_path: Path, values: list[Any], kind: pa.DataType, expected: list[Any]
) -> None:
    write_rows(tmp_path / "a.parquet", [{"v": value} for value in values], columns=["v"])
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.field("v").type == kind
    assert table["v"].to_pylist() == expected


@pytest.mark.slow
def test_parquet_types_are_settled_by_the_last_row(tmp_path: Path) -> None:
    rows = ({"id": i, "payload": {f"k{i % 999}": i}} for i in range(20_000))
    late = [{"id": "last", "payload": {"k0": "text"}}]
    count = write_rows(tmp_path / "a.parquet", (*rows, *late), columns=["id", "payload"])
    table = pq.read_table(tmp_path / "a.parquet")
    assert count == len(table) == 20_001
    assert table["id"][:2].to_pylist() == ["0", "1"]
    assert table["id"][-1].as_py() == "last"
    assert table["payload.k0"][999].as_py() == "999"
    assert table["payload.k0"][-1].as_py() == "text"
    assert table["payload.k1"][1000].as_py() == 1_000
    assert len(table.column_names) == 1_000


def test_files_are_what_their_readers_expect(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", SAMPLE, columns=COLUMNS)
    assert (tmp_path / "a.csv").read_bytes() == (
        b"id,payload.text,payload.n,payload.text.json,probability,query\n"
        b"1,a,1,,0.1,\n"
        b'x,,,"[""b""]",1e-300,"q\r\n"\n'
    )
    write_rows(tmp_path / "a.ids", SAMPLE, columns=["probability"])
    assert (tmp_path / "a.ids").read_bytes() == b"1\nx\n"
    write_rows(tmp_path / "a.jsonl", [{"id": 1, "é": float("nan"), "x": 0}], columns=["é", "b"])
    assert (tmp_path / "a.jsonl").read_text("utf-8") == '{"é": null, "b": null}\n'
    write_rows(tmp_path / "b.csv", [{"a": "x\ry", "b": True}, {"a": ""}], columns=["a", "b"])
    assert (tmp_path / "b.csv").read_bytes() == b'a,b\n"x\ry",true\n,\n'
    text = io.StringIO((tmp_path / "b.csv").read_bytes().decode(), newline="")
    assert list(csv.reader(text)) == [["a", "b"], ["x\ry", "true"], ["", ""]]


@pytest.mark.parametrize("suffix", EVERY_SUFFIX)
def test_equal_rows_give_equal_bytes(tmp_path: Path, suffix: str) -> None:
    one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    for path in (one, two):
        assert write_rows(path, SAMPLE, columns=COLUMNS) == 2
        time.sleep(0.002)
    assert one.read_bytes() == two.read_bytes()
    if suffix.endswith(".gz"):
        assert one.read_bytes()[4:8] == bytes(4)
        assert gzip.decompress(one.read_bytes())
    if suffix.endswith(".zst"):
        assert zstandard.ZstdDecompressor().decompressobj().decompress(one.read_bytes())
    assert sorted(tmp_path.iterdir()) == [one, two]


def test_json_is_indented_in_its_own_order(tmp_path: Path) -> None:
    value = {"z": 1, "a": [np.float64(0.1), float("inf")], "é": "\ud800"}
    write_json(tmp_path / "a.json", value)
    assert (tmp_path / "a.json").read_text("utf-8") == (
        '{\n  "z": 1,\n  "a": [\n    0.1,\n    null\n  ],\n  "é": "\ufffd"\n}\n'
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sel.jsonl", "sel-1000.jsonl"),
        ("out/sel.v2.jsonl.gz", "out/sel.v2-1000.jsonl.gz"),
        ("/a.b/sel.CSV.ZST", "/a.b/sel-1000.CSV.ZST"),
        ("sel.parquet", "sel-1000.parquet"),
        ("sel", "sel-1000"),
    ],
)
def test_sized_path(name: str, expected: str) -> None:
    assert sized_path(name, 1000) == Path(expected)


# What is refused


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.gz", "a.parquet.gz", "a.jsonl.bz2"])
def test_unknown_suffix(tmp_path: Path, name: str) -> None:
    for call in (
        lambda: check_rows_path(tmp_path / name),
        lambda: write_rows(tmp_path / name, SAMPLE, columns=COLUMNS),
    ):
        with pytest.raises(OutputError, match="which names no known format; use") as caught:
            call()
        for known in (".parquet", ".csv", ".ids", ".jsonl", ".ndjson", ".tsv", ".txt", ".gz"):
            assert known in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    check_writable(tmp_path / "a.jsonl")
    check_rows_path(tmp_path / "a.jsonl")
    assert list(tmp_path.iterdir()) == []
    assert f"'{tmp_path}' is a directory; name a file inside it" in refusal(tmp_path)
    message = refusal(tmp_path / "no" / "a.jsonl")
    assert f"the directory '{tmp_path / 'no'}' of 'a.jsonl' does not exist; create" in message
    (tmp_path / "file").write_text("x")
    assert "does not exist; create it first" in refusal(tmp_path / "file" / "a.jsonl")
    with pytest.raises(OutputError, match="does not exist"):
        check_rows_path(tmp_path / "no" / "a.jsonl")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_read_only_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):  # root may write everywhere
        monkeypatch.setattr(os, "access", lambda *_: False)
    message = refusal(closed / "a.jsonl")
    assert f"the directory '{closed}' of 'a.jsonl' is not writable; choose another" in message


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_full_or_broken_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "a.jsonl"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError) as caught:
        write_rows(path, SAMPLE, columns=COLUMNS)
    assert f"a.jsonl' cannot be written ({os.strerror(number)}); make room" in str(caught.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_are_too_long(tmp_path: Path) -> None:
    write_rows(tmp_path / f"{'x' * 249}.jsonl", SAMPLE, columns=COLUMNS)
    with pytest.raises(OutputError, match=r"cannot be written \(File name too long\)"):
        write_rows(tmp_path / f"{'x' * 300}.jsonl", SAMPLE, columns=COLUMNS)


# Whole or untouched


@pytest.mark.parametrize("suffix", EVERY_SUFFIX)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, ConnectionResetError])
def test_an_exception_midway_leaves_the_old_file(
    tmp_path: Path, suffix: str, error: type[BaseException]
) -> None:
    def rows() -> Any:
        yield from SAMPLE
        raise error("midway")

    path = tmp_path / f"a{suffix}"
    path.write_text("old")
    with pytest.raises(error, match="midway"):
        write_rows(path, rows(), columns=COLUMNS)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_values_that_cannot_be_written_leave_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(ValueError, match="type object"):
        write_json(path, {"a": object()})
    assert path.read_text() == "old"


def test_the_temporary_file_is_beside_and_hidden(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    with atomic_write(path) as stream:
        stream.write(b"new")
        (temporary,) = tmp_path.iterdir()
        assert temporary.name.startswith(".a.html.")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")
def test_modes_and_links_are_kept(tmp_path: Path) -> None:
    plain, path, link = tmp_path / "plain", tmp_path / "a.json", tmp_path / "link.json"
    plain.write_text("x")
    write_json(path, 1)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o604)
    link.symlink_to(path)
    write_json(link, 2)
    assert link.is_symlink()
    assert path.read_text() == "2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("suffix", [".jsonl.gz", ".parquet"])
def test_a_killed_writer_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_rows(path, SAMPLE, columns=COLUMNS)
    old = path.read_bytes()
    code = (
        "import itertools, sys; from tsds_qdrant.files.outputs import write_rows\n"
        "def rows():\n"
        "    for i in itertools.count():\n"
        "        yield {'id': i, 'payload': {'text': str(i) * 50}}\n"
        "        if i == 20_000: print('midway', flush=True)\n"
        "write_rows(sys.argv[1], rows(), columns=['id', 'payload'])"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"midway\n"
        writer.send_signal(signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL
    assert path.read_bytes() == old
    write_rows(path, SAMPLE, columns=COLUMNS)
    assert path.read_bytes() == old


def test_neither_reading_nor_writing_imports_the_large_packages_early() -> None:
    code = (
        "import sys, tsds_qdrant.records, tsds_qdrant.files.outputs\n"
        "print([m for m in ('pyarrow', 'zstandard', 'datasets', 'pandas') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert answer.stdout == b"[]\n"
