"""What an interrupted selection has searched is kept, and taken up by the same command.

Answers are taken up where the task is the same and the collection stands as it did: same ids or
sequence, as the run looks for changes, same count, nothing in use gone. Otherwise all begins
again, and the run says so. Vectors changed in place show where they are read again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Filter
from tsds_qdrant.errors import (
    CollectionMismatchError,
    ContaminationError,
    DamagedCollectionError,
    DepthError,
    InputError,
    PoisonedCollectionError,
    SettingsError,
    SupportError,
    TsdsError,
    UnreachableError,
    UnsupportedCollectionError,
)
from tsds_qdrant.runs.changes import find_changes
from tsds_qdrant.runs.kept import ChangedMeanwhileError, KeptSearches
from tsds_qdrant.runs.marks import Mark

HOPELESS = (
    *(SettingsError, InputError, SupportError, ContaminationError, DepthError),
    *(CollectionMismatchError, DamagedCollectionError, PoisonedCollectionError),
    UnsupportedCollectionError,
)
"""Errors that the same command would meet again, or mended ones whose cure changes the pool."""
CHANGED = (
    "the collection has changed since the selection was interrupted, so all was searched again"
)
OTHER = "what an interrupted selection of another kind had searched was dropped"
WITHOUT_STATE = "with --state RUN, what was searched is kept and the same command goes on"

T = TypeVar("T")


def searches_path(state: Path) -> Path:
    """Where searches are kept until the run is stored in ``state``."""
    return state.with_name(state.name + ".searches")


def digest_of(*parts: Any) -> str:
    """A hash of ``parts``: arrays, and what JSON can hold."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(json.dumps(part, sort_keys=True, default=str).encode())
        digest.update(b"|")
    return digest.hexdigest()


@dataclass(frozen=True)
class Attempt:
    """What is attempted, and over what.

    Attributes:
        state: where the run is to be stored.
        task: a hash of all that the selection depends on but the collection's points.
        collection: what is searched.
        where: payload filter of the candidates.
        mark: how far the run looks for changes.
    """

    state: Path
    task: str
    collection: Collection
    where: Filter | None
    mark: Mark

    @property
    def standing(self) -> str:
        """A hash of how the collection stands, as far as the run can see changes."""
        mark = self.mark
        came: list[Any] = []
        if mark.way in ("sequence", "field"):  # what is at the mark, or was on its way there
            came = sorted(find_changes(self.collection, self.where, mark, ()).came, key=str)
        # What shows that nothing at all was written is too strict here.
        names = [one.name for one in fields(mark) if one.name not in ("fingerprint", "stamped")]
        parts = [getattr(mark, name) for name in names]
        return digest_of(*parts, came, self.collection.count(self.where))

    def take_up(self, memory: KeptSearches) -> None:
        """Let ``memory`` answer from what was kept, where that holds."""
        now = self.standing
        if found := memory.found():
            task, before = found
            if task == self.task and before == now and self._holds(memory):
                memory.note = f"went on from {memory.taken} searches that were kept"
            else:
                memory.note = OTHER if task != self.task else CHANGED
                memory.drop()
        memory.begin(self.task, now)

    def _holds(self, memory: KeptSearches) -> bool:
        """Whether ``memory`` could be read, and all points that its answers name are stored."""
        memory.take_up()
        if self.mark.way == "ids":  # whose marks are the same
            return bool(memory.taken)
        changes = find_changes(self.collection, self.where, self.mark, memory.points)
        return bool(memory.taken) and not changes.gone


def carried_out(
    attempt: Attempt | None, do: Callable[[KeptSearches | None], T], advice: str = ""
) -> T:
    """What ``do`` returns.

    Args:
        attempt: what is attempted; without it nothing is kept.
        do: is given what keeps searches, and ends with the run stored. Where it fails or is
            interrupted, the message says what is kept.
        advice: ends the message where a server is lost and nothing is kept.
    """
    if attempt is None:
        try:
            return do(None)
        except UnreachableError as error:
            raise (_with(error, advice) if advice else error) from error.__cause__
    memory = KeptSearches(searches_path(attempt.state))
    try:
        attempt.take_up(memory)
        try:
            done = do(memory)
        except ChangedMeanwhileError:
            memory.note = CHANGED
            memory.drop()
            done = do(memory)
    except HOPELESS:
        memory.drop()
        raise
    except (TsdsError, KeyboardInterrupt) as error:
        memory.close()
        if memory.kept or isinstance(error, UnreachableError | KeyboardInterrupt):
            raise _with(error, _words(memory)) from error.__cause__
        raise
    finally:
        memory.close()
    memory.drop()
    return done


def _words(memory: KeptSearches) -> str:
    """What is kept, for the end of a message."""
    if memory.kept:
        return (
            f"{memory.kept} searches are kept in '{memory.path}', and the same command goes on "
            f"from there"
        )
    if memory.path.exists() and not memory.ended:
        return (
            f"earlier searches are kept in '{memory.path}', and the same command goes on from there"
        )
    if memory.ended:
        return f"no search is kept, as {memory.ended}"
    return "no search was done yet, and the same command begins again"


def _with(error: BaseException, words: str) -> BaseException:
    """``error`` with ``words`` at the end of its message."""
    said = f"{error}; {words}" if str(error) else words
    error.args = (said, *error.args[1:])
    return error


@contextmanager
def looking(state: Path) -> Iterator[None]:
    """Where a server is lost before searching begins, say what earlier attempts have kept."""
    try:
        yield
    except UnreachableError as error:
        raise _with(error, _words(KeptSearches(searches_path(state)))) from error.__cause__


def note_of(memory: KeptSearches | None) -> str:
    """What to say of kept searches; "" for nothing."""
    return memory.note if memory else ""
