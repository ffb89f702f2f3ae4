"""Results into standard output, pipes and devices: the same bytes as in a file, and no more."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tsds_qdrant.errors import OutputError
from tsds_qdrant.files.outputs import check_rows_path, check_writable, row_format, write_rows
from tsds_qdrant.files.streams import is_stdout, is_stream, shown_output

COLUMNS = ("id", "payload", "p")
ROWS: list[dict[str, Any]] = [
    {"id": k, "payload": {"text": f"a,{k}\n"}, "p": k / 7} for k in range(30)
]
WRITER = (
    "import sys; from tsds_qdrant.files.outputs import write_rows\n"
    "rows = [{'id': k, 'payload': {'text': f'a,{k}\\n'}, 'p': k / 7} for k in range(30)]\n"
    "write_rows(sys.argv[1], rows, columns=('id', 'payload', 'p'), form=sys.argv[2] or None)"
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes and devices of POSIX")


def in_bash(line: str, directory: Path, *, path: str, form: str = "") -> bytes:
    """What ``line`` prints; in it ``$@`` writes :data:`ROWS` to ``path`` in the format ``form``."""
    words = [sys.executable, "-c", WRITER, path, form]
    ran = subprocess.run(
        ["bash", "-c", line, "bash", *words], cwd=directory, capture_output=True, check=False
    )
    assert ran.stderr == b""
    return ran.stdout


@pytest.mark.slow
@pytest.mark.parametrize("form", ["", "jsonl", "csv", "tsv.gz", "ids", "jsonl.zst", "parquet"])
@pytest.mark.parametrize("path", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_has_the_bytes_of_a_file(tmp_path: Path, form: str, path: str) -> None:
    plain = tmp_path / f"a.{form or 'jsonl'}"
    write_rows(plain, ROWS, columns=COLUMNS)
    written = in_bash('"$@" | cat', tmp_path, path=path, form=form)
    if form == "parquet":
        assert pq.read_table(io.BytesIO(written)).equals(pq.read_table(plain))
    else:
        assert written == plain.read_bytes()
    assert list(tmp_path.iterdir()) == [plain]


@pytest.mark.parametrize("path", ["-", "/dev/stdout", "/dev/fd/1"])
def test_a_redirected_file_goes_on_where_it_was(tmp_path: Path, path: str) -> None:
    in_bash('(echo before; "$@"; echo after) > f', tmp_path, path=path, form="ids")
    lines = (tmp_path / "f").read_text().splitlines()
    assert lines == ["before", *(str(row["id"]) for row in ROWS), "after"]
    in_bash('echo first > g; exec 7>> g; "$@"; echo last >&7', tmp_path, path="/dev/fd/7")
    assert len((tmp_path / "g").read_text().splitlines()) == len(ROWS) + 2


def test_a_process_behind_a_descriptor_reads_it(tmp_path: Path) -> None:
    until_read = "for k in {1..50}; do gzip -t x.gz 2> /dev/null && break; sleep 0.1; done"
    line = f'"${{@:1:3}}" >(gzip > x.gz) csv; {until_read}'
    in_bash(line, tmp_path, path="", form="")
    write_rows(tmp_path / "a.csv", ROWS, columns=COLUMNS)
    assert gzip.decompress((tmp_path / "x.gz").read_bytes()) == (tmp_path / "a.csv").read_bytes()


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "rows.jsonl.gz", "rows"])
def test_a_named_pipe_is_written_by_its_suffix(tmp_path: Path, name: str) -> None:
    pipe, plain = tmp_path / name, tmp_path / f"plain-{name if '.' in name else 'rows.jsonl'}"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    check_rows_path(pipe)  # which must not look like a writer that has gone
    assert write_rows(pipe, ROWS, columns=COLUMNS) == len(ROWS)
    reader.join(timeout=30)
    write_rows(plain, ROWS, columns=COLUMNS)
    assert read == [plain.read_bytes()]


def test_what_is_a_stream(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    assert [is_stream(tmp_path / name) for name in ("file", "pipe", "absent", ".")] == [
        False, True, False, False,
    ]  # fmt: skip
    for name in ("-", "/dev/stdout", "/dev/stderr", "/dev/null", "/dev/fd/63", "/proc/self/fd/1"):
        assert is_stream(name), name
    for name in ("/dev/shm/rows.jsonl", "/dev/shm/fd/1", "-.jsonl", "./-", "--"):
        assert not is_stream(name), name
    assert [is_stdout(name) for name in ("-", "/dev/stdout", "/dev/fd/1", "/dev/fd/11")] == [
        True, True, True, False,
    ]  # fmt: skip
    assert shown_output("/dev/fd/1") == "standard output"
    assert shown_output("a.csv") == "a.csv"


@pytest.mark.parametrize(
    ("path", "form", "found"),
    [
        ("a.csv", None, (".csv", "")),
        ("a.JSONL.GZ", None, (".jsonl", ".gz")),
        ("a.jsonl.gz", "jsonl", (".jsonl", ".gz")),
        ("a", "csv", (".csv", "")),
        ("a.dat", ".tsv", (".tsv", "")),
        ("a.gz", "ids", (".ids", ".gz")),
        ("-", None, (".jsonl", "")),
        ("-", "csv.zst", (".csv", ".zst")),
        ("/dev/fd/9", "parquet", (".parquet", "")),
    ],
)
def test_suffix_or_format_say_how(path: str, form: str | None, found: tuple[str, str]) -> None:
    assert row_format(path, form) == found


@pytest.mark.parametrize(
    ("path", "form", "words"),
    [
        ("a.csv", "jsonl", "'a.csv' is named .csv and the format is jsonl; leave one out"),
        ("a.jsonl", "jsonl.gz", "'a.jsonl' is named .jsonl and the format is jsonl.gz"),
        ("a", None, "'a' has no suffix"),
        ("-", "xml", "'xml' is no format of rows; use one of csv, ids, jsonl"),
        ("-", "", "'' is no format of rows"),
        ("-", "parquet.gz", "names no known format"),
    ],
)
def test_what_says_no_format_is_refused(path: str, form: str | None, words: str) -> None:
    with pytest.raises(OutputError, match=words):
        check_rows_path(path, form)


def test_streams_that_cannot_be_written(tmp_path: Path) -> None:
    check_writable("/dev/null")
    assert write_rows("/dev/null", ROWS, columns=COLUMNS) == len(ROWS)
    with pytest.raises(OutputError, match=r"'/dev/fd/977' cannot be written \(Bad file"):
        check_writable("/dev/fd/977")
    with pytest.raises(OutputError, match=r"'/dev/full' cannot be written \(No space left"):
        write_rows("/dev/full", ROWS, columns=COLUMNS)
    main, terminal = os.openpty()
    try:
        name = os.ttyname(terminal)
        check_rows_path(name, "csv")
        for form in ("parquet", "csv.gz"):
            with pytest.raises(OutputError, match="is a terminal, which cannot show such bytes"):
                check_rows_path(name, form)
    finally:
        os.close(main)
        os.close(terminal)


def test_a_reader_that_goes_is_a_broken_pipe(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        with pytest.raises(BrokenPipeError):
            write_rows(f"/dev/fd/{write}", ROWS * 2_000, columns=COLUMNS)
    finally:
        os.close(write)
