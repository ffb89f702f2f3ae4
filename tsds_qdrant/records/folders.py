"""Folders and patterns of file names: which files of records they stand for."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

from tsds_qdrant.errors import InputError
from tsds_qdrant.files.compression import split_suffix
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.records.formats import KNOWN, RecordFile, is_known, record_file, unpacking

_PARTITION = re.compile(r"([^=]+)=(.*)")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
_SPLITS |= dict.fromkeys(("validation", "valid", "val", "dev"), "validation")
_SPLITS |= dict.fromkeys(("eval", "evaluation"), "test")
_BESIDE = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_MANIFEST = ".manifest.json"
_LISTED = 5


def is_pattern(path: str) -> bool:
    """Whether ``path`` is no file but a pattern such as ``pool/*.jsonl``."""
    return glob.has_magic(path) and not Path(path).exists()


def files_of_pattern(pattern: str, form: FileForm) -> list[RecordFile]:
    """The files that a pattern stands for, sorted by name.

    Raises:
        InputError: none, or one is of no known format.
    """
    found = sorted(paths_of_pattern(pattern))
    paths = [*{os.path.realpath(path): path for path in reversed(found)}.values()][::-1]
    if not paths:
        raise InputError(f"'{pattern}' stands for no file; check the pattern")
    return [record_file(Path(path), form) for path in paths]


def paths_of_pattern(pattern: str) -> list[str]:
    """Names of the files that a pattern stands for, without hidden ones.

    *subtle*: ``**`` of the module glob follows links, without end where they lead back; that of
    pathlib does not, but takes hidden names.
    """
    whole = Path(pattern)
    base = Path(whole.anchor)
    parts = whole.relative_to(base).parts
    if parts[-1:] == ("**",):
        parts = (*parts, "*")
    hidden = _is_hidden(whole)
    return [
        str(path)
        for path in base.glob("/".join(parts))
        if path.is_file() and (hidden or not _is_hidden(path))
    ]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") and part != ".." for part in path.parts)


def files_of_folder(folder: Path, form: FileForm) -> list[RecordFile]:
    """The files of records in a folder and those below it, sorted by name.

    Hidden files, and those whose names begin with ``_``, are none of them, and neither are empty
    files and files of unknown suffixes. Folders named ``key=value`` add a column to their records.

    Raises:
        InputError: there are none, files of several formats, of several splits, or archives.
    """
    if (folder / "_delta_log").is_dir():
        raise InputError(
            f"'{folder}' is a Delta table, whose log says which of its files count; "
            "write what it holds as Parquet"
        )
    others: list[str] = []
    files: list[RecordFile] = []
    for path in _walked(folder):
        if command := unpacking(path):
            raise InputError(f"'{path}' is packed; unpack it first: {command}")
        if not is_known(path):
            others.append(path.name)
        elif path.stat().st_size:
            found = record_file(path, form)
            columns = _partition(path.relative_to(folder).parts[:-1])
            files.append(RecordFile(path, found.kind, found.compression, columns))
    if not files:
        raise InputError(f"'{folder}' is a folder without files of records{_some_of(others)}")
    kinds = {file.kind: file.path for file in files}
    if len(kinds) > 1:
        raise InputError(
            f"'{folder}' holds files of several formats, {', '.join(sorted(kinds))}; give those of "
            f"one, as in '{folder / '**' / ('*' + files[0].kind + files[0].compression)}'"
        )
    _check_splits(folder, files)
    return files


def _walked(folder: Path) -> Iterator[Path]:
    found = []
    seen = {os.path.realpath(folder)}
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [
            name for name in folders if name[0] not in "._" and _is_new(Path(place, name), seen)
        ]
        found += [
            Path(place, name)
            for name in names
            if name[0] not in "._" and name not in _BESIDE and not name.endswith(_MANIFEST)
        ]
    yield from sorted(path for path in found if path.is_file())


def _is_new(folder: Path, seen: set[str]) -> bool:
    """Whether ``folder`` is none that was ``seen``: links may lead back."""
    place = os.path.realpath(folder)
    new = place not in seen
    seen.add(place)
    return new


def _partition(folders: tuple[str, ...]) -> dict[str, str | None]:
    pairs = [found.groups() for name in folders if (found := _PARTITION.fullmatch(name))]
    return {unquote(key): None if value == _NO_VALUE else unquote(value) for key, value in pairs}


def _check_splits(folder: Path, files: list[RecordFile]) -> None:
    by_split: dict[str, list[Path]] = {}
    for file in files:
        inner = file.path.relative_to(folder)
        words = re.split(r"[^a-z]+", "/".join((split_suffix(inner)[0], *inner.parts[:-1])).lower())
        split = next((_SPLITS[word] for word in words if word in _SPLITS), None)
        if split:
            by_split.setdefault(split, []).append(file.path)
    if len(by_split) > 1:
        choices = " or ".join(f"'{_common(paths)}'" for paths in by_split.values())
        raise InputError(
            f"'{folder}' holds the {len(by_split)} splits {', '.join(by_split)}; give {choices}"
        )


def _common(paths: list[Path]) -> str:
    """A path or a pattern that stands for ``paths``."""
    if len(paths) == 1:
        return str(paths[0])
    names = [str(path) for path in paths]
    start = _shared(names)
    end = _shared([name[len(start) :][::-1] for name in names])[::-1]
    return f"{glob.escape(start)}*{glob.escape(end)}"


def _shared(names: list[str]) -> str:
    """The longest beginning of all ``names``."""
    alike = takewhile(lambda letters: len({*letters}) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in alike)


def _some_of(names: list[str]) -> str:
    if not names:
        return "; give a folder that holds some"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f" (it holds {', '.join(names[:_LISTED])}{more}); use {KNOWN}"
