"""Records of a file, one at a time: JSON lines, JSON, CSV, Parquet, saved datasets."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from tsds_qdrant.errors import BadRecordError, InputError, MissingPackageError, TsdsError
from tsds_qdrant.files.compression import COMPRESSIONS, decompressed, split_suffix
from tsds_qdrant.files.json_values import json_safe
from tsds_qdrant.records.entries import Entry, Findings, Place
from tsds_qdrant.records.text_formats import json_array_or_lines, json_lines, table_rows

STDIN = "-"
_LINES = (".jsonl", ".ndjson")
_TABLES = {".csv": ",", ".tsv": "\t"}
_KNOWN = (
    f"{', '.join((*_LINES, '.json', *_TABLES))} (each also {' or '.join(COMPRESSIONS)}) or .parquet"
)
_BATCH = 1024


def read_records(path: str | Path) -> Iterator[dict[str, Any]]:
    """The records of :func:`read_entries` alone; the first that cannot be used ends the reading.

    Raises:
        InputError: as :func:`read_entries`.
        MissingPackageError: as :func:`read_entries`.
    """
    entries = read_entries(path)
    return (entry.record for entry in entries)


def read_entries(path: str | Path, findings: Findings | None = None) -> Iterator[Entry]:
    """Stream the records of ``path`` with their places, never holding the whole file.

    The suffix names the format: ``.jsonl`` and ``.ndjson`` hold a JSON object a line, ``.json``
    an array of objects (or lines), ``.csv`` and ``.tsv`` a header row (all their values stay
    strings), each of them also as ``.gz`` or ``.zst``; ``.parquet``; a directory is a Hugging
    Face dataset written by ``save_to_disk``; ``-``, or a pipe, is JSON lines. Text is UTF-8.

    Values become what JSON can hold, see :func:`~tsds_qdrant.files.json_values.json_safe`.

    Args:
        path: a file, a directory, or ``-`` for standard input.
        findings: is given the records that cannot be used, and counts changed values.

    Raises:
        InputError: the path is missing or of no known format (at once), or something in the
            file cannot be read (when its turn comes); the message names file and line.
        MissingPackageError: a directory, and the package ``datasets`` is not installed.
    """
    findings = findings or Findings()
    if str(path) == STDIN:
        return _some(
            json_lines(sys.stdin.buffer, "standard input", findings), "standard input", findings
        )
    source = Path(path)
    try:
        size = source.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"'{source}' does not exist; check the path") from None
    except OSError as error:
        raise _unreadable(source, error) from None
    if source.is_dir():
        batches = _load_dataset(source).with_format("arrow").iter(batch_size=_BATCH)
        return _some(_arrow_rows(batches, source, findings), source, findings)
    kind, compression = _format(source)
    if source.is_file() and size == 0:
        raise InputError(f"'{source}' is empty; give a file with at least one record")
    if kind == ".parquet":
        return _some(_arrow_rows(_parquet_batches(source), source, findings), source, findings)
    return _some(_text_rows(source, kind, compression, findings), source, findings)


def count_records(path: str | Path) -> int | None:
    """Count the records where that costs little beside reading them, for a progress bar.

    None for standard input, pipes, compressed files and ``.json``, and for everything that
    :func:`read_records` would refuse.
    """
    source = Path(path)
    if str(path) == STDIN:
        return None
    try:
        if source.is_dir():
            return len(_load_dataset(source))
        if not source.is_file():
            return None
        kind, compression = _format(source)
        if kind == ".parquet":
            with _arrow_errors(source), _parquet_file(source) as parquet:
                return int(parquet.metadata.num_rows)
        if compression or kind == ".json":
            return None
        with _opened(source, "") as stream:
            if kind in _TABLES:
                return sum(1 for _ in table_rows(stream, str(source), _TABLES[kind], Findings()))
            return sum(1 for line in stream if not line.isspace())
    except (TsdsError, OSError):
        return None


def _format(source: Path) -> tuple[str, str]:
    """Format and compression in lower case; what is no regular file is JSON lines."""
    if not source.is_file():
        return _LINES[0], ""
    _, kind, compression = (part.lower() for part in split_suffix(source))
    streamed = kind in (*_LINES, *_TABLES, ".json")
    if not streamed and (kind != ".parquet" or compression):
        suffix = f"the suffix '{kind}{compression}'" if kind or compression else "no suffix"
        raise InputError(f"'{source}' has {suffix}, which names no known format; use {_KNOWN}")
    return kind, compression


def _some(entries: Iterator[Entry], name: str | Path, findings: Findings) -> Iterator[Entry]:
    entry, rejected = None, findings.rejected
    for entry in entries:
        yield entry
    if entry is None and findings.rejected == rejected:
        raise InputError(f"'{name}' holds no records; give at least one")


def _text_rows(source: Path, kind: str, compression: str, findings: Findings) -> Iterator[Entry]:
    with _opened(source, compression) as stream:
        if kind in _TABLES:
            yield from table_rows(stream, str(source), _TABLES[kind], findings)
        elif kind == ".json":
            yield from json_array_or_lines(stream, str(source), findings)
        else:
            yield from json_lines(stream, str(source), findings)


@contextmanager
def _opened(source: Path, compression: str) -> Iterator[BinaryIO]:
    try:
        with source.open("rb") as stream, decompressed(stream, compression) as plain:
            yield plain
    except EOFError:
        raise InputError(f"'{source}' is cut off; fetch or compress it again") from None
    except (OSError, zlib.error) as error:
        raise _unreadable(source, error) from None


def _unreadable(source: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(f"'{source}' cannot be read ({reason}); check the file")


def _arrow_rows(batches: Iterator[Any], source: Path, findings: Findings) -> Iterator[Entry]:
    number = 0
    with _arrow_errors(source):
        for batch in batches:
            for row in _microseconds(batch).to_pylist():
                number += 1
                place = Place(str(source), number, "row")
                try:
                    yield Entry({key: _safe(row[key], key, place, findings) for key in row}, place)
                except BadRecordError as error:
                    findings.bad(error)


def _safe(value: Any, key: str, place: Place, findings: Findings) -> Any:
    try:
        return json_safe(value, findings.changes)
    except ValueError as error:
        raise BadRecordError(
            place, f"holds {error} in '{key}'", "drop or convert that column"
        ) from None


def _microseconds(batch: Any) -> Any:
    """Cut the times of a RecordBatch or Table to microseconds, the finest that Python holds."""
    import pyarrow as pa

    types = {"timestamp": pa.timestamp, "duration": pa.duration, "time64": pa.time64}
    columns = batch.columns
    for index, column in enumerate(columns):
        kind, nanoseconds, _ = str(column.type).partition("[ns")
        if kind in types and nanoseconds:
            zone = {"tz": column.type.tz} if kind == "timestamp" else {}
            columns[index] = column.cast(types[kind]("us", **zone), safe=False)
    return type(batch).from_arrays(columns, batch.schema.names)


@contextmanager
def _arrow_errors(source: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(f"'{source}' cannot be read ({reason}); write it again") from None


def _parquet_file(source: Path) -> Any:
    from pyarrow.parquet import ParquetFile

    return ParquetFile(source, buffer_size=1 << 20)


def _parquet_batches(source: Path) -> Iterator[Any]:
    with _parquet_file(source) as parquet:
        yield from parquet.iter_batches(batch_size=_BATCH)


def _load_dataset(source: Path) -> Any:
    splits = source / "dataset_dict.json"
    if splits.is_file():
        with _arrow_errors(splits):
            names = [str(name) for name in json.loads(splits.read_bytes())["splits"]]
        if len(names) != 1:
            choices = " or ".join(f"'{source / name}'" for name in names) or "another directory"
            raise InputError(
                f"'{source}' holds the {len(names)} splits {', '.join(names)}; give {choices}"
            )
        source = source / names[0]
    if not (source / "state.json").is_file():
        raise InputError(
            f"'{source}' is a directory without a dataset saved by save_to_disk; "
            "give its files one by one"
        )
    try:
        from datasets import load_from_disk
    except ModuleNotFoundError:
        raise MissingPackageError(
            f"'{source}' is a saved dataset, which needs the package datasets; "
            'run: pip install "tsds-qdrant[datasets]"'
        ) from None
    with _arrow_errors(source):
        return load_from_disk(str(source))
