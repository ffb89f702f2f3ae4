"""Paths as they are remembered: absolute, so that they mean the same from every directory."""

from __future__ import annotations

import os
from pathlib import Path

Location = str | os.PathLike[str]
"""A path, or what else names a place: the URL of a server, ``collection:NAME``."""
COLLECTION_PREFIX = "collection:"
"""Begins the name of a collection where the name of a file could stand."""
STREAM_FOLDERS = ("/dev/", "/proc/")


def expanded(path: Location) -> Path:
    """``path`` with ``~`` replaced, where there is such a home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def absolute(path: Location) -> str:
    """``path`` from the root on, without links: one spelling for each place."""
    return os.path.realpath(expanded(path))


def is_same_file(one: Location, other: Location) -> bool:
    """Whether both name one place, or one file that has several names (links of either kind)."""
    first, second = Path(one), Path(other)
    if first.exists() and second.exists():
        return first.samefile(second)
    return first.resolve() == second.resolve()


def remembered_source(source: Location) -> str:
    """What task examples or test items came from, as another directory can read it.

    A file becomes its absolute path; standard input, a device and ``collection:NAME`` stay.
    """
    source = os.fspath(source)
    if source == "-" or source.startswith((COLLECTION_PREFIX, *STREAM_FOLDERS)):
        return source
    return absolute(source)


def user_directory(kind: str, otherwise: str) -> Path:
    """Our directory for data of a user: ``kind`` is ``XDG_DATA_HOME`` or ``XDG_CACHE_HOME``.

    Args:
        otherwise: below the home directory, where the environment names none.
    """
    base = os.environ.get(kind)
    return (Path(base) if base else expanded("~") / otherwise) / "tsds-qdrant"
