"""Vectors of task examples that were made before, in files of the user's cache directory.

A file is a convenience: whatever goes wrong with it, the vectors are made again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.paths import user_directory
from tsds_qdrant.representations.base import Shown
from tsds_qdrant.represented.fitted import UNREADABLE, arrays_in

DIRECTORY = "queries"
MOST_FILES = 200
MOST_BYTES = 2**30
"""Of all files; those that were used last stay."""


def key_of(made_by: Any, examples: Sequence[Shown]) -> str:
    """What says the vectors of ``examples``: how they are made, and all that is shown of them.

    Args:
        made_by: JSON values, fingerprints among them.
    """
    found = hashlib.sha256(_text_of(made_by))
    for one in examples:
        found.update(b"\n" + _text_of(_said(one)))
    return found.hexdigest()[:32]


def _said(one: Shown) -> dict[str, Any]:
    rejected = None if one.rejected is None else _said(one.rejected)
    messages = [dict(message) for message in one.messages]
    return {**vars(one), "messages": messages, "rejected": rejected}


def recalled(key: str, count: int) -> Float32Array | None:
    """The (``count``, D) vectors that were remembered by ``key``; None where they are not there."""
    with suppress(*UNREADABLE):
        file = _directory() / f"{key}.npz"
        rows: Float32Array = arrays_in(file)["rows"].astype(np.float32)
        if rows.ndim == 2 and len(rows) == count and np.isfinite(rows).all():
            with suppress(OSError):
                os.utime(file)
            return rows
    return None


def recalled_numbers(key: str) -> tuple[int, ...]:
    """Numbers that were remembered with the vectors of ``key``; none where they are not there."""
    with suppress(*UNREADABLE):
        return tuple(arrays_in(_directory() / f"{key}.npz")["numbers"].astype(np.int64).tolist())
    return ()


def remember(key: str, rows: Float32Array, numbers: Sequence[int] = ()) -> None:
    """Remember the vectors ``rows`` (n, D) by ``key``, and forget those not used for longest.

    ``numbers`` are remembered with them.
    """
    if rows.nbytes > MOST_BYTES:
        return
    held = BytesIO()
    arrays: Mapping[str, Any] = {"rows": rows, "numbers": np.array(numbers, dtype=np.int64)}
    np.savez(held, **arrays)
    with suppress(OSError, RuntimeError):
        directory = _directory()
        directory.mkdir(parents=True, exist_ok=True)
        draft = directory / f"{key}.{os.getpid()}.tmp"
        try:
            draft.write_bytes(held.getvalue())
            draft.replace(directory / f"{key}.npz")
        finally:
            draft.unlink(missing_ok=True)
        _forget(directory)


def _forget(directory: Path) -> None:
    files = sorted(((found.stat(), found) for found in directory.glob("*.*")), key=_age)
    left = sum(stat.st_size for stat, _ in files)
    for number, (stat, file) in enumerate(files):
        if len(files) - number <= MOST_FILES and left <= MOST_BYTES:
            return
        left -= stat.st_size
        file.unlink(missing_ok=True)


def _age(found: tuple[os.stat_result, Path]) -> tuple[int, str]:
    return found[0].st_mtime_ns, found[1].name


def _directory() -> Path:
    return user_directory("XDG_CACHE_HOME", ".cache") / DIRECTORY


def _text_of(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, default=str)
    return text.encode("utf-8", "surrogatepass")
