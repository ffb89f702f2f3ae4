"""Records that cannot be used: they end a run, or are left out and written down."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from tsds_qdrant.errors import BadRecordError, InputError, SettingsError
from tsds_qdrant.files.outputs import atomic_write
from tsds_qdrant.paths import is_same_file
from tsds_qdrant.records.entries import Findings, Place
from tsds_qdrant.records.folders import is_pattern, paths_of_pattern
from tsds_qdrant.records.settings import Part, RecordSettings

FIRST_LOOK = 1_024
"""Records that are read before anything is stored."""
DESCRIBED = 3
NAMED = 100
"""Bad records that one message describes, and names."""


class Rejected(Findings):
    """Collects bad records, and says what becomes of them.

    Those of the first look at the files are collected, so that one message can name them all;
    later ones end the run at once. Where they are left out, nothing ends it.

    Attributes:
        read: how many records were met, bad ones among them.
        part: which records count; those of others are somebody else's.
    """

    def __init__(
        self, *, skip: bool, sink: BinaryIO | None = None, part: Part | None = None
    ) -> None:
        super().__init__()
        self.read = 0
        self.part = part or Part()
        self._skip = skip
        self._sink = sink
        self._found: list[tuple[int, BadRecordError]] = []
        self._looking = True

    def bad(self, error: BadRecordError) -> None:
        """Take note that the next record to be read cannot be used.

        Raises:
            InputError: it ends the run.
        """
        self.read += 1
        self.refuse(self.read - 1, error)

    def refuse(self, row: int, error: BadRecordError) -> None:
        """Take note that the record ``row``, from 0, cannot be used.

        Raises:
            InputError: it ends the run.
        """
        if not self.part.has(row):
            return
        self.rejected += 1
        if self._looking:
            self._found.append((row, error))
            if len(self._found) >= FIRST_LOOK:
                self._settle(self.read > self.rejected)
        elif self._skip:
            self._list(error)
        else:
            raise InputError(
                f"{error.place} {error.fault}; {_advice(error)}; what was read before it is "
                "stored, and stays"
            )

    def end_look(self) -> None:
        """End the first look.

        Raises:
            InputError: it found records that cannot be used, and they are to end the run, or it
                found no others.
        """
        self._looking = False
        self._settle(self.read > self.rejected)

    def _settle(self, some: bool) -> None:
        found = [error for _, error in sorted(self._found, key=itemgetter(0))]
        if found and not (self._skip and some):
            raise InputError(_refusal(found, self.read, some=some))
        for error in found:
            self._list(error)
        self._found = []

    def _list(self, error: BadRecordError) -> None:
        if self._sink is not None:
            self._sink.write(_line(error))


def _refusal(found: list[BadRecordError], total: int, *, some: bool) -> str:
    first = found[0]
    if len(found) == 1 and (some or total == 1):
        return f"{first.place} {first.fault}; {_advice(first, skip=some)}"
    said = f"none of the first {total} records can be used"
    if some:
        said = f"{len(found)} of the first {total} records cannot be used"
    named = ", ".join(f"{error.place} {error.fault}" for error in found[:DESCRIBED])
    alike = [str(error.place) for error in found[DESCRIBED:NAMED]]
    also = f", also {', '.join(alike)}" if alike else ""
    more = len(found) - NAMED
    rest = f" and {more} more" if more > 0 else ""
    return f"{said}: {named}{also}{rest}; {_advice(first, skip=some)}"


@contextmanager
def rejected_of(settings: RecordSettings, sources: Sequence[str]) -> Iterator[Rejected]:
    """What becomes of bad records by ``settings``; the list of them is written at the end.

    Raises:
        OutputError: the list cannot be written.
        SettingsError: it would take the place of one of ``sources``, or lie in one.
    """
    skip = settings.on_bad_record == "skip"
    if settings.rejects is None:
        yield Rejected(skip=skip, part=settings.part)
        return
    _check_apart(settings.rejects, sources)
    with atomic_write(settings.rejects) as sink:
        yield Rejected(skip=skip, sink=sink, part=settings.part)


def _check_apart(rejects: Path, sources: Sequence[str]) -> None:
    place = rejects.resolve()
    for source in sources:
        folder = Path(source)
        if folder.is_dir() and folder.resolve() in place.parents:
            raise SettingsError(
                f"--rejects {rejects} lies in the folder '{source}', which is ingested; write to "
                "another"
            )
        for path in paths_of_pattern(source) if is_pattern(source) else [source]:
            if is_same_file(rejects, path):
                raise SettingsError(
                    f"--rejects {rejects} holds what is ingested; write to another file"
                )


def _advice(error: BadRecordError, *, skip: bool = True) -> str:
    if not skip:
        return error.advice
    end = " Or" if error.advice.endswith("?") else "; or"
    return f"{error.advice}{end} leave such records out with --on-bad-record skip"


def _line(error: BadRecordError) -> bytes:
    place = error.place
    where = {"file": place.file, "line": place.line} if isinstance(place, Place) else {}
    row = {**where, "reason": error.fault}
    return f"{json.dumps(row, ensure_ascii=False)}\n".encode("utf-8", "backslashreplace")
