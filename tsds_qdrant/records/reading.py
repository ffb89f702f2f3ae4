"""Records of files, one at a time: JSON, tables, Parquet and Arrow, folders, datasets."""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from tsds_qdrant.errors import InputError, SettingsError, TsdsError
from tsds_qdrant.files.compression import decompressed
from tsds_qdrant.files.flat_rows import nested
from tsds_qdrant.records.arrow_rows import arrow_batches, arrow_rows, count_rows
from tsds_qdrant.records.entries import Entry, Findings
from tsds_qdrant.records.folders import files_of_folder, files_of_pattern, is_pattern
from tsds_qdrant.records.form import UNSAID, FileForm
from tsds_qdrant.records.formats import ARROW, JSON, LINES, RecordFile, is_table, record_file
from tsds_qdrant.records.hub import HubName, batches_of, is_hub_name, is_saved, saved_dataset
from tsds_qdrant.records.json_files import holds_lines, json_file, json_stream
from tsds_qdrant.records.memory import InMemory, Source
from tsds_qdrant.records.tables import table_rows
from tsds_qdrant.records.vector_columns import with_vectors

STDIN = "-"
_STDIN_NAME = "standard input"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def read_records(path: Source | Path) -> Iterator[dict[str, Any]]:
    """The records of :func:`read_entries` alone; the first that cannot be used ends the reading.

    Raises:
        TsdsError: as :func:`read_entries`.
    """
    entries = read_entries(path)
    return (entry.record for entry in entries)


def read_entries(
    path: Source | Path, findings: Findings | None = None, form: FileForm | None = None
) -> Iterator[Entry]:
    """Stream the records of ``path`` with their places, never holding the whole file.

    The suffix names the format: ``.jsonl`` and ``.ndjson`` hold a JSON object a line; ``.json``
    holds an array, lines, or a document (see :func:`~tsds_qdrant.records.json_files.json_file`);
    ``.csv`` and ``.tsv`` (also ``.tab``) a header row, and all their values stay strings (see
    :func:`~tsds_qdrant.records.tables.table_rows`); each of them also as ``.gz`` or ``.zst``.
    ``.parquet``, ``.arrow`` and ``.feather`` are Arrow's. A directory is a Hugging Face dataset
    written by ``save_to_disk``, or holds files of one format; a pattern stands for the files that
    it fits; ``hf:NAME`` is a dataset of the hub; ``-``, or a pipe, is JSON lines. Text is UTF-8.

    Values become what JSON can hold, see :func:`~tsds_qdrant.files.json_values.json_safe`. Rows of
    a selection have their ``payload`` again, where a table spreads it over columns.

    Args:
        path: a file, a directory, a pattern, a dataset, ``-`` for standard input, or records in
            memory.
        findings: is given the records that cannot be used, and counts changed values.
        form: what name and content do not show.

    Raises:
        InputError: the path is missing or of no known format (at once), or something in the
            file cannot be read (when its turn comes); the message names file and line.
        MissingPackageError: a dataset, and the package ``datasets`` is not installed.
        SettingsError: ``form`` says what such a file cannot be.
    """
    findings = findings or Findings()
    form = form or UNSAID
    name = str(path)
    held = path.entries(form, findings) if isinstance(path, InMemory) else None
    entries = _without(held or _entries(name, form, findings), form, findings)
    entries = (replace(entry, record=nested(entry.record)) for entry in entries)
    if form.vector_field is not None:
        entries = with_vectors(entries, form.vector_field, findings)
    return _some(entries, name, findings)


def count_records(path: Source | Path, form: FileForm | None = None) -> int | None:
    """Count the records where that costs little beside reading them, for a progress bar.

    None for standard input, pipes, compressed files, ``.json``, Arrow's own files and datasets of
    the hub, and for everything that :func:`read_records` would refuse.
    """
    if isinstance(path, InMemory):
        return path.count
    form = form or FileForm()
    name = str(path)
    if name == STDIN or is_hub_name(name):
        return None
    try:
        if is_saved(Path(name)):
            return len(saved_dataset(Path(name)))
        counts = [_count(file, form) for file in _files(name, form)]
        return None if None in counts else sum(count or 0 for count in counts)
    except (TsdsError, OSError):
        return None


def is_read_once(path: Source) -> bool:
    """Whether ``path`` gives its records only once: standard input, or a pipe."""
    if isinstance(path, InMemory):
        return False
    return path == STDIN or (Path(path).exists() and not _is_stored(Path(path)))


def check_given_once(paths: Sequence[Source], form: FileForm) -> None:
    """Check that no two of ``paths`` stand for the same file.

    Raises:
        SettingsError: two do.
        InputError: one is missing or of no known format.
    """
    seen: set[str] = set()
    for path in paths:
        if isinstance(path, InMemory):
            continue
        alone = path == STDIN or is_hub_name(path) or is_saved(Path(path))
        found = [path] if alone else [str(file.path.resolve()) for file in _files(path, form)]
        if twice := next((file for file in found if file in seen), None):
            raise SettingsError(f"'{twice}' is given twice; give each file once")
        seen.update(found)


def _entries(name: str, form: FileForm, findings: Findings) -> Iterator[Entry]:
    if name == STDIN:
        return _streamed(sys.stdin.buffer, _STDIN_NAME, form, findings)
    if is_hub_name(name):
        batches = HubName.parse(name).batches()
        return arrow_rows(batches, name, form, findings)
    if is_saved(Path(name)):
        batches = batches_of(saved_dataset(Path(name)))
        return arrow_rows(batches, name, form, findings)
    files = _files(name, form)
    return chain.from_iterable(_entries_of(file, form, findings) for file in files)


def _files(name: str, form: FileForm) -> list[RecordFile]:
    """The files that ``name`` stands for.

    Raises:
        InputError: there is none, it is empty, or of no known format.
    """
    if _URL.match(name):
        raise InputError(
            f"'{name}' is a URL, and files are read from the disk; download it first, or name a "
            "dataset of the Hugging Face hub as hf:NAME"
        )
    source = Path(name)
    try:
        if is_pattern(name):
            return files_of_pattern(name, form)
        size = source.stat().st_size
        if source.is_dir():
            return files_of_folder(source, form)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"'{source}' does not exist; check the path") from None
    except OSError as error:
        raise _unreadable(source, error) from None
    file = record_file(source, form)
    if source.is_file() and size == 0:
        raise InputError(f"'{source}' is empty; give a file with at least one record")
    return [file]


def _entries_of(file: RecordFile, form: FileForm, findings: Findings) -> Iterator[Entry]:
    for entry in _entries_in(file, form, findings):
        for column, value in file.columns.items():
            entry.record.setdefault(column, value)
        yield entry


def _entries_in(file: RecordFile, form: FileForm, findings: Findings) -> Iterator[Entry]:
    name = str(file.path)
    if file.kind in ARROW:
        yield from arrow_rows(arrow_batches(file.path), name, form, findings)
    elif is_table(file, form):
        with _opened(file) as stream:
            yield from table_rows(stream, name, file.kind, form, findings)
    elif not file.path.is_file():
        with _opened(file) as stream:
            yield from _streamed(stream, name, form, findings)
    else:
        opened = partial(_opened, file)
        lines = file.kind in LINES
        yield from json_file(opened, name, form.json_field, findings, lines=lines)


def _streamed(stream: BinaryIO, name: str, form: FileForm, findings: Findings) -> Iterator[Entry]:
    if form.delimiter is not None:
        return table_rows(stream, name, "", form, findings)
    return json_stream(stream, name, findings)


def _is_stored(path: Path) -> bool:
    return path.is_file() or path.is_dir()


def _count(file: RecordFile, form: FileForm) -> int | None:
    if file.kind in ARROW:
        return count_rows(file.path)
    if file.compression or file.kind == JSON or not file.path.is_file():
        return None
    with _opened(file) as stream:
        if is_table(file, form):
            rows = table_rows(stream, str(file.path), file.kind, form, Findings())
            return sum(1 for _ in rows)
        if not holds_lines(stream):
            return None
        return sum(1 for line in stream if not line.isspace())


def _without(entries: Iterator[Entry], form: FileForm, findings: Findings) -> Iterator[Entry]:
    """The entries without the fields that are to be dropped."""
    if not form.drop_columns:
        return entries
    return (_dropped(entry, form, findings) for entry in entries)


def _dropped(entry: Entry, form: FileForm, findings: Findings) -> Entry:
    for column in form.drop_columns:
        if column in entry.record:
            del entry.record[column]
            findings.dropped.add(column)
    return entry


def _some(entries: Iterator[Entry], name: str, findings: Findings) -> Iterator[Entry]:
    entry, rejected = None, findings.rejected
    for entry in entries:
        yield entry
    if entry is None and findings.rejected == rejected:
        name = _STDIN_NAME if name == STDIN else name
        raise InputError(f"'{name}' holds no records; give at least one")


@contextmanager
def _opened(file: RecordFile) -> Iterator[BinaryIO]:
    try:
        with (
            file.path.open("rb") as stream,
            decompressed(stream, file.compression) as plain,
        ):
            yield plain
    except EOFError:
        raise InputError(f"'{file.path}' is cut off; fetch or compress it again") from None
    except (OSError, zlib.error) as error:
        raise _unreadable(file.path, error) from None


def _unreadable(source: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(f"'{source}' cannot be read ({reason}); check the file")
