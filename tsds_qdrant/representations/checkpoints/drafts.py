"""Directories that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tsds_qdrant.errors import OutputError

SUFFIX = ".part"


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """Give a new directory beside ``path`` that takes its name when the block ends well.

    Its files reach the disk before. It is removed if the block raises; what a killed process left
    of it is removed by the next.

    Raises:
        OutputError: something is at ``path``, or nothing can be written there.
    """
    if path.exists():
        raise OutputError(f"'{path}' exists already; name another directory, or remove it")
    draft = path.with_name(path.name + SUFFIX)
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            yield draft
            for file in (*draft.rglob("*"), draft):
                _to_disk(file)
            draft.rename(path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        _to_disk(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"the directory '{path}' cannot be written ({reason}); make room there or name another"
        ) from error


def _to_disk(path: Path) -> None:
    """Make a file, or the names in a directory, outlast a power cut where the system can."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
