"""Errors of qdrant-edge-py become ours."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from tsds_qdrant.collections.meanings import NO_ROOM
from tsds_qdrant.collections.refusals import Place, error_from_words
from tsds_qdrant.collections.server.failures import LOCAL_ERRORS
from tsds_qdrant.errors import (
    CollectionError,
    CollectionLockedError,
    DamagedCollectionError,
    TsdsError,
)

REFUSED_RIGHTS = r"\(os error (1|13|30)\)"
DAMAGED_LOG = r"failed to open WAL|Can't (init|read) WAL|corrupted WAL"
DAMAGED_FILE = (
    r"/segments/[^/ ]+|edge_config\.json|failed to load segment|Gridstore|LZ4|version\.info"
    r"|Failed to decode value|out of bounds|malformed"
)
PANIC = "PanicException"
"""The engine's own failures; not below Exception."""


@contextmanager
def edge_failures(location: str, name: str) -> Iterator[None]:
    """Raise errors of qdrant-edge-py as ours; it raises plain exceptions, told apart by text."""
    try:
        yield
    except TsdsError:
        raise
    except BaseException as error:
        panic = type(error).__name__ == PANIC
        if not panic and type(error) is not Exception and not isinstance(error, LOCAL_ERRORS):
            raise
        place = Place(location, name)
        raise _error_from(place.clean(str(error)), place, panic=panic) from error


def _error_from(words: str, place: Place, *, panic: bool) -> TsdsError:
    if "WouldBlock" in words:
        return CollectionLockedError(
            f"{place} is open in another process; close that one, then try again"
        )
    if re.search(NO_ROOM, words, re.IGNORECASE):
        return error_from_words(words, place)
    if re.search(REFUSED_RIGHTS, words):
        return CollectionError(
            f"{place} cannot be opened ({words}); the engine needs its files writable, even to "
            f"read them"
        )
    if re.search(DAMAGED_LOG, words):
        return DamagedCollectionError(
            f"{place} cannot be opened, as its write-ahead log is damaged ({words}); its points "
            f"are kept beside the log: run '{repair_command(place)}'"
        )
    if panic or re.search(DAMAGED_FILE, words):
        return damaged_file(words, place)
    return error_from_words(words, place)


def damaged_file(words: str, place: Place) -> DamagedCollectionError:
    """The error of a file that cannot be read, as ``words`` say."""
    return DamagedCollectionError(
        f"{place} has a file that cannot be read ({words}); to see what can be saved, run "
        f"'{repair_command(place)}'"
    )


def repair_command(place: Place) -> str:
    """The command that mends the collection at ``place``."""
    words = ("repair-store", "--qdrant", place.location, "--collection", place.collection)
    return f"tsds-qdrant {shlex.join(words)}"


@contextmanager
def without_reports() -> Iterator[None]:
    """Keep the engine's reports of its own failures, many lines each, off stderr."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
