"""Where what a representation has learnt from candidates is kept: one file, never changed."""

from __future__ import annotations

import os
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from tsds_qdrant.collections import is_server
from tsds_qdrant.collections.edge.directory import shard_path
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import InputError, OutputError
from tsds_qdrant.paths import user_directory
from tsds_qdrant.representations.base import Arrays, arrays_hash

DIRECTORY = "tsds_representations"
UNREADABLE = (OSError, ValueError, EOFError, KeyError, BadZipFile, NotImplementedError, zlib.error)
"""What numpy raises for a file of arrays that is missing or damaged."""


def fitted_directory(info: CollectionInfo) -> Path:
    """Beside an embedded collection; of one on a server, in the user's data directory."""
    if is_server(info.location):
        return user_directory("XDG_DATA_HOME", ".local/share") / DIRECTORY
    return shard_path(info.location, info.name) / DIRECTORY


def keep_fitted(info: CollectionInfo, arrays: Arrays, directory: Path | None = None) -> str:
    """Write ``arrays`` whole or not at all, and give their hash.

    Raises:
        OutputError: they cannot be written.
    """
    known = arrays_hash(arrays)
    file = (directory or fitted_directory(info)) / f"{known}.npz"
    draft = file.with_suffix(f".{os.getpid()}.tmp")
    held = BytesIO()
    whole: dict[str, Any] = dict(arrays)
    np.savez(held, **whole)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(held.getvalue())
        draft.replace(file)
    except OSError as error:
        raise OutputError(
            f"'{file}' cannot be written ({error.strerror}); make its directory writable, or name "
            f"another with --fitted"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return known


def arrays_in(file: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays that ``numpy.savez`` wrote to ``file``; for what is raised see UNREADABLE."""
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
        return {name: held[name] for name in held.files}


def read_fitted(
    info: CollectionInfo,
    known: str,
    directory: Path | None = None,
    *,
    otherwise: str = "name its directory with --fitted, or learn it again with --again",
) -> Arrays:
    """The arrays of that hash.

    Args:
        info: the collection that they were learnt from.
        known: their hash.
        directory: where they are, if not at the usual place.
        otherwise: what can be done where there is no copy of them.

    Raises:
        InputError: they are not there, or are others.
    """
    file = (directory or fitted_directory(info)) / f"{known}.npz"
    try:
        arrays = arrays_in(file)
    except UNREADABLE as error:
        raise InputError(
            f"what the representation has learnt is not in '{file}'; copy that file from where it "
            f"was made, {otherwise}"
        ) from error
    if arrays_hash(arrays) != known:
        raise InputError(f"'{file}' is damaged; copy it again from where it was made, {otherwise}")
    return arrays
