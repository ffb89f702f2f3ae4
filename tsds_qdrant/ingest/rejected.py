"""Records that cannot be used: they end a run, or are left out and written down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from tsds_qdrant.errors import BadRecordError, InputError
from tsds_qdrant.files.outputs import atomic_write
from tsds_qdrant.records.entries import Findings, Place
from tsds_qdrant.records.settings import RecordSettings

DESCRIBED = 3
NAMED = 100
"""Bad records that one message describes, and names."""


class Rejected(Findings):
    """Collects bad records, and says what becomes of them.

    Those of the first look at the files are collected, so that one message can name them all;
    later ones end the run at once. Where they are left out, nothing ends it.
    """

    def __init__(self, *, skip: bool, sink: BinaryIO | None = None) -> None:
        super().__init__()
        self._skip = skip
        self._sink = sink
        self._found: list[BadRecordError] = []
        self._looking = True

    def bad(self, error: BadRecordError) -> None:
        """Take note of a record that cannot be used.

        Raises:
            InputError: it ends the run.
        """
        self.rejected += 1
        if self._skip:
            if len(self._found) < NAMED:
                self._found.append(error)
            if self._sink is not None:
                self._sink.write(_line(error))
        elif self._looking:
            self._found.append(error)
        else:
            raise InputError(
                f"{error.place} {error.fault}; {_advice(error)}; what was read before it is "
                "stored, and stays"
            )

    def end_look(self, good: int) -> None:
        """End the first look, which found ``good`` records that can be used.

        Raises:
            InputError: it found others too, and they are to end the run.
        """
        self._looking = False
        if self._found and not (self._skip and good):
            raise self._refusal(good)

    def _refusal(self, good: int) -> InputError:
        first, *others = self._found
        if not others and good:
            return InputError(f"{first.place} {first.fault}; {_advice(first)}")
        count, total = self.rejected, good + self.rejected
        said = f"{count} of the first {total} records cannot be used"
        if not good:
            said = f"none of the first {total} records can be used"
        named = ", ".join(f"{error.place} {error.fault}" for error in self._found[:DESCRIBED])
        alike = [str(error.place) for error in self._found[DESCRIBED:NAMED]]
        also = f", also {', '.join(alike)}" if alike else ""
        more = count - len(self._found[:NAMED])
        rest = f" and {more} more" if more else ""
        return InputError(f"{said}: {named}{also}{rest}; {_advice(first, skip=good > 0)}")


@contextmanager
def rejected_of(settings: RecordSettings) -> Iterator[Rejected]:
    """What becomes of bad records by ``settings``; the list of them is written at the end.

    Raises:
        OutputError: the list cannot be written.
    """
    skip = settings.on_bad_record == "skip"
    if settings.rejects is None:
        yield Rejected(skip=skip)
        return
    with atomic_write(settings.rejects) as sink:
        yield Rejected(skip=skip, sink=sink)


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
