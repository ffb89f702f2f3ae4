"""Which format a file has: by its suffix, and what to do about those that are none of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.files.compression import COMPRESSIONS, split_suffix
from tsds_qdrant.records.form import UNSAID, FileForm

LINES = (".jsonl", ".ndjson")
JSON = ".json"
TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
ARROW = (".parquet", ".arrow", ".feather")
TEXT = (*LINES, JSON, *TABLES)
KNOWN = (
    f"{', '.join(TEXT)} (each also {' or '.join(COMPRESSIONS)}), "
    f"{', '.join(ARROW[:-1])} or {ARROW[-1]}"
)
_UNPACKED_BY = {
    ".zip": "unzip",
    ".tar": "tar -xf",
    ".tgz": "tar -xf",
    ".xz": "xz -dk",
    ".lzma": "xz -dk",
    ".bz2": "bzip2 -dk",
    ".lz4": "lz4 -d",
    ".7z": "7z x",
    ".rar": "unrar x",
}
_ALSO_UNPACKED = {".gz": "gzip -dk", ".zst": "zstd -d"}
_SAVED_AS = {".xlsx": "CSV", ".xls": "CSV", ".ods": "CSV", ".orc": "Parquet", ".avro": "Parquet"}


@dataclass(frozen=True)
class RecordFile:
    """A file of records.

    Attributes:
        path: where it is.
        kind: its suffix in lower case.
        compression: ``""``, ``".gz"`` or ``".zst"``.
        columns: what the names of its folders add to its records.
    """

    path: Path
    kind: str
    compression: str = ""
    columns: dict[str, str | None] = field(default_factory=dict)


def record_file(path: Path, form: FileForm) -> RecordFile:
    """The file at ``path`` and its format; what is no regular file is JSON lines.

    Raises:
        InputError: its suffix names no known format.
        SettingsError: ``form`` says what such a file cannot be.
    """
    if not path.is_file():
        return checked_form(RecordFile(path, LINES[0]), form)
    kind, compression = _suffixes(path)
    unknown = kind not in (*TEXT, *ARROW) and (form.delimiter is None or unpacking(path))
    if unknown or (kind in ARROW and compression):
        raise InputError(f"'{path}' {_not_known(path, kind, compression, form)}")
    return checked_form(RecordFile(path, kind, compression), form)


def is_known(path: Path) -> bool:
    """Whether the suffix of ``path`` names a format."""
    kind, compression = _suffixes(path)
    return kind in TEXT or (kind in ARROW and not compression)


def _suffixes(path: Path) -> tuple[str, str]:
    _, kind, compression = split_suffix(path)
    return kind.lower(), compression.lower()


def checked_form(file: RecordFile, form: FileForm) -> RecordFile:
    """``file``, if it can be of that form.

    Raises:
        SettingsError: it cannot.
    """
    table = is_table(file, form)
    wrong = {
        "--delimiter": form.delimiter is not None and not table,
        "--no-header": form.no_header and not table,
        "--json-field": form.json_field is not None and file.kind not in (JSON, *LINES),
    }
    if flag := next((flag for flag, is_wrong in wrong.items() if is_wrong), None):
        of = "a JSON document" if flag == "--json-field" else "a table"
        raise SettingsError(f"{flag} is for {of}, and '{file.path}' is none; leave it out")
    return file


def is_table(file: RecordFile, form: FileForm) -> bool:
    """Whether rows are read from ``file``: those of a pipe too, if a delimiter is given."""
    if file.kind in TABLES:
        return True
    other = file.kind not in (*TEXT, *ARROW) or not file.path.is_file()
    return other and form.delimiter is not None


def unpacking(path: Path) -> str | None:
    """The command that unpacks the archive ``path``; None if it is none."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    command = next((_UNPACKED_BY[suffix] for suffix in suffixes if suffix in _UNPACKED_BY), None)
    return f"{command} '{path}'" if command else None


def _not_known(path: Path, kind: str, compression: str, form: FileForm) -> str:
    if command := unpacking(path):
        return f"is an archive or is packed in a way that is not read; unpack it first: {command}"
    found = f"has the suffix '{kind}{compression}'" if kind or compression else "has no suffix"
    found += ", which names no known format"
    if kind in ARROW:
        return f"{found} (use {KNOWN}); unpack it first: {_ALSO_UNPACKED[compression]} '{path}'"
    if kind in _SAVED_AS:
        return f"{found} (use {KNOWN}); save it as {_SAVED_AS[kind]} first"
    table = "" if form is UNSAID else ", or say with --delimiter that it is a table"
    return f"{found}; use {KNOWN}{table}"
