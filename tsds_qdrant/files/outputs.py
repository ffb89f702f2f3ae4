"""Results on disk: a file is there whole, or as it was before."""

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

_DISK_ERRORS = {
    getattr(errno, name, None)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS", "EACCES", "EPERM", "ENAMETOOLONG")
}


def check_writable(path: str | Path) -> None:
    """Check, before long work, that :func:`atomic_write` can put a file at ``path``.

    Raises:
        OutputError: its directory is missing or cannot be written to, or ``path`` is a directory
            or a device.
    """
    target = Path(path)
    try:
        directory = target.resolve().parent
        mode = target.stat().st_mode if target.exists() else stat.S_IFREG
        found = directory.is_dir()
    except OSError as error:
        raise _refused(path, error) from None
    if stat.S_ISDIR(mode):
        raise OutputError(f"'{target}' is a directory; name a file inside it")
    if not stat.S_ISREG(mode):
        raise OutputError(f"'{target}' is no regular file; name one")
    if not found:
        raise OutputError(
            f"the directory '{directory}' of '{target.name}' does not exist; create it first"
        )
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OutputError(
            f"the directory '{directory}' of '{target.name}' is not writable; "
            "choose another or change its permissions"
        )


def check_rows_path(path: str | Path) -> None:
    """Check, before long work, that :func:`write_rows` can write to ``path``.

    Raises:
        OutputError: as :func:`check_writable`, or a suffix that names no format.
    """
    _row_format(Path(path))
    check_writable(path)


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Give a temporary file that takes the place of ``path`` when the block ends well.

    It lies in the same directory, is flushed to the disk before it is renamed, and is removed
    if the block raises; a killed process leaves ``path`` as it was. A link is written through.

    Raises:
        OutputError: as :func:`check_writable`, or the disk is full or broken.
    """
    check_writable(path)
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
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            raise _refused(path, error) from None
        raise
    _sync_directory(target.parent)


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, its keys in their own order; atomic.

    Raises:
        OutputError: as :func:`atomic_write`.
    """
    text = json.dumps(json_safe(value), ensure_ascii=False, indent=2, allow_nan=False)
    with atomic_write(path) as stream:
        stream.write(f"{text}\n".encode())


def write_rows(
    path: str | Path, rows: Iterable[Mapping[str, Any]], *, columns: Sequence[str]
) -> int:
    """Write ``rows`` in the format that the suffix names, and return how many; atomic.

    - ``.jsonl``, ``.ndjson``: an object a line, the payload as it is;
    - ``.csv``, ``.tsv``, ``.parquet``: a column each; the column ``payload`` becomes
      ``payload_json``, its JSON text, so that records of any shape fit in one table;
    - ``.ids``, ``.txt``: the ids, one a line.

    All but Parquet also as ``.gz`` or ``.zst``. Floats keep all their digits, NaN becomes null,
    a Parquet column of integers and strings becomes one of strings. Equal rows give equal bytes.

    Args:
        path: the suffix is not case-sensitive.
        rows: read once; keys that are not in ``columns`` are left out, missing ones are null.
        columns: the keys to write, in this order.

    Raises:
        OutputError: as :func:`check_rows_path` and :func:`atomic_write`.
    """
    kind, compression = _row_format(Path(path))
    with atomic_write(path) as stream, compressed(stream, compression) as plain:
        return ROW_WRITERS[kind](plain, rows, columns)


def sized_path(path: str | Path, size: int) -> Path:
    """Put a size into a file name: ``sel.jsonl.gz``, 1000 -> ``sel-1000.jsonl.gz``."""
    source = Path(path)
    stem, kind, compression = split_suffix(source)
    return source.with_name(f"{stem}-{size}{kind}{compression}")


def _refused(path: str | Path, error: OSError) -> OutputError:
    return OutputError(
        f"'{path}' cannot be written ({error.strerror}); make room there or choose another path"
    )


def _row_format(path: Path) -> tuple[str, str]:
    _, kind, compression = (part.lower() for part in split_suffix(path))
    if kind not in ROW_WRITERS or (compression and kind == ".parquet"):
        found = f"the suffix '{kind}{compression}'" if kind or compression else "no suffix"
        raise OutputError(
            f"'{path}' has {found}, which names no known format; use .parquet or one of "
            f"{', '.join(sorted(ROW_WRITERS.keys() - {'.parquet'}))} "
            f"(each also {' or '.join(COMPRESSIONS)})"
        )
    return kind, compression


def _sync_directory(directory: Path) -> None:
    """Make a rename last through a power cut, where the system can (Windows cannot)."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
