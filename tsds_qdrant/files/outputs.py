"""Results on disk, where a file is there whole or as it was before; and results into streams."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from tsds_qdrant.errors import OutputError
from tsds_qdrant.files.compression import COMPRESSIONS, compressed, split_suffix
from tsds_qdrant.files.json_values import json_safe
from tsds_qdrant.files.row_formats import ROW_WRITERS
from tsds_qdrant.files.streams import check_stream, fitting, is_stream, stream_to
from tsds_qdrant.paths import Location

PARQUET = ".parquet"
ROWS_OF_STREAMS = ".jsonl"

_DISK_ERRORS = {
    getattr(errno, name, None)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS", "EACCES", "EPERM", "ENAMETOOLONG")
}


def check_writable(path: Location) -> None:
    """Check, before long work, that :func:`atomic_write` can put a file at ``path``.

    Raises:
        OutputError: its directory is missing or cannot be written to, or ``path`` is a directory,
            or a stream that cannot be written to.
    """
    if is_stream(path):
        check_stream(path)
        return
    target = Path(path)
    try:
        directory = target.resolve().parent
        is_directory = target.is_dir()
        found = directory.is_dir()
    except OSError as error:
        raise _refused(path, error) from None
    if is_directory:
        raise OutputError(f"'{target}' is a directory; name a file inside it")
    if not found:
        raise OutputError(
            f"the directory '{directory}' of '{target.name}' does not exist; create it first"
        )
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OutputError(
            f"the directory '{directory}' of '{target.name}' is not writable; "
            "choose another or change its permissions"
        )


def check_rows_path(path: Location, form: str | None = None) -> None:
    """Check, before long work, that :func:`write_rows` can write to ``path``.

    Raises:
        OutputError: as :func:`check_writable`, or neither suffix nor ``form`` name a format, or
            they name two, or a terminal would be sent bytes that it cannot show.
    """
    kind, compression = row_format(path, form)
    check_writable(path)
    if is_stream(path):
        check_stream(path, binary=kind == PARQUET or bool(compression))


@contextmanager
def atomic_write(path: Location) -> Iterator[BinaryIO]:
    """Give a temporary file that takes the place of ``path`` when the block ends well.

    It lies in the same directory, is flushed to the disk before it is renamed, and is removed
    if the block raises; a killed process leaves ``path`` as it was. A link is written through. A
    stream (``-``, a device, a pipe) is written to at once.

    Raises:
        OutputError: as :func:`check_writable`, or the disk is full or broken.
        BrokenPipeError: whoever reads a stream has gone.
    """
    check_writable(path)
    if is_stream(path):
        with _refusing(path), stream_to(path) as stream:
            yield stream
        return
    target = Path(path).resolve()
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        stream = temporary.open("xb")
    except OSError as error:
        raise _refused(path, error) from None
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        with _refusing(path):
            raise error
    _sync_directory(target.parent)


def write_json(path: Location, value: Any) -> None:
    """Write ``value`` as indented JSON, its keys in their own order; atomic.

    Raises:
        OutputError: as :func:`atomic_write`.
    """
    text = json.dumps(json_safe(value), ensure_ascii=False, indent=2, allow_nan=False)
    with atomic_write(path) as stream:
        stream.write(f"{text}\n".encode())


def write_rows(
    path: Location,
    rows: Iterable[Mapping[str, Any]],
    *,
    columns: Sequence[str],
    form: str | None = None,
    as_text: list[str] | None = None,
) -> int:
    """Write ``rows`` in the format that the suffix names, and return how many; atomic.

    - ``.jsonl``, ``.ndjson``: an object a line, the payload as it is;
    - ``.csv``, ``.tsv``, ``.parquet``: a column each, and of ``payload`` one for each of its fields
      (see :mod:`~tsds_qdrant.files.flat_rows`); of more than 1,000 fields, or names that are no
      plain text, one column ``payload_json``;
    - ``.ids``, ``.txt``: the ids, one a line.

    All but Parquet also as ``.gz`` or ``.zst``. Floats keep all their digits, NaN becomes null,
    a Parquet column of integers and strings becomes one of strings. Equal rows give equal bytes.

    Args:
        path: the suffix is not case-sensitive; ``-`` and other streams need none.
        rows: read once; keys that are not in ``columns`` are left out, missing ones are null.
        columns: the keys to write, in this order.
        form: the format (``csv``, ``jsonl.gz``) where no suffix says; JSON lines for a stream.
        as_text: is given the columns that hold JSON text of a payload's lists and objects.

    Raises:
        OutputError: as :func:`check_rows_path` and :func:`atomic_write`.
    """
    check_rows_path(path, form)
    kind, compression = row_format(path, form)
    with (
        atomic_write(path) as stream,
        fitting(stream, path, jumps=kind == PARQUET) as file,
        compressed(file, compression) as plain,
    ):
        return ROW_WRITERS[kind](plain, rows, columns, [] if as_text is None else as_text)


def sized_path(path: Location, size: int | str) -> Path:
    """Put a size, or a name, into a file name: ``sel.jsonl.gz``, 10 -> ``sel-10.jsonl.gz``."""
    source = Path(path)
    stem, kind, compression = split_suffix(source)
    return source.with_name(f"{stem}-{size}{kind}{compression}")


def _refused(path: Location, error: OSError) -> OutputError:
    return OutputError(
        f"'{path}' cannot be written ({error.strerror}); make room there or choose another path"
    )


def row_format(path: Location, form: str | None = None) -> tuple[str, str]:
    """The format of rows in ``path`` and its compression, as suffixes: ``(".csv", ".gz")``.

    The suffix says it, or else ``form``; a stream without either takes JSON lines.

    Raises:
        OutputError: neither does, they say two things, or Parquet is to be compressed.
    """
    _, kind, compression = (part.lower() for part in split_suffix(Path(path)))
    named = kind
    if form is not None:
        _, wanted, packed = (
            part.lower() for part in split_suffix(Path(f"rows.{form.lstrip('.')}"))
        )
        if wanted not in ROW_WRITERS:
            raise OutputError(f"'{form}' is no format of rows; use one of {_known('')}")
        if kind in ROW_WRITERS and (kind != wanted or packed not in ("", compression)):
            raise OutputError(
                f"'{path}' is named {kind}{compression} and the format is {form}; leave one out"
            )
        named, compression = wanted, compression or packed
    elif kind not in ROW_WRITERS and is_stream(path):
        named = ROWS_OF_STREAMS
    if named not in ROW_WRITERS or (compression and named == PARQUET):
        found = f"the suffix '{kind}{compression}'" if kind or compression else "no suffix"
        raise OutputError(
            f"'{path}' has {found}, which names no known format; use .parquet or one of "
            f"{_known('.')} (each also {' or '.join(COMPRESSIONS)})"
        )
    return named, compression


def _known(dot: str) -> str:
    """The formats of rows, with or without a dot."""
    plain = sorted(ROW_WRITERS.keys() - ({PARQUET} if dot else set()))
    return ", ".join(dot + kind.removeprefix(".") for kind in plain)


@contextmanager
def _refusing(path: Location) -> Iterator[None]:
    """Raise what a full or broken disk raises as ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_ERRORS:
            raise _refused(path, error) from None
        raise


def _sync_directory(directory: Path) -> None:
    """Make a rename last through a power cut, where the system can (Windows cannot)."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
