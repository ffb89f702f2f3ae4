"""Searches kept beside a run's state, so that the same command goes on after an interruption.

The file is there from about the first second of searching until the run is stored. Any part of it
is worth having: an answer that is not there is asked for again. So a process that is killed loses
what it asked since the last write, and a disk that is full ends the keeping, not the selection.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.collections.ids import PointIndex
from tsds_qdrant.collections.values import PointId, Record
from tsds_qdrant.neighbors.remembering import Answer
from tsds_qdrant.runs.searches_file import is_ours, opened, remove

MARK_BYTES = 16
WRITE_EVERY_S = 1.0
"""Answers wait that long for others to be written with, or until searching ends."""
HELD_HITS = 2_000_000
"""As many hits as that do not wait."""
MOST_BYTES = 8_000_000_000
"""The file grows no further."""


class ChangedMeanwhileError(Exception):
    """A vector that kept answers rest on is another one now: they are worth nothing."""


class KeptSearches:
    """Answers to searches; a :class:`~tsds_qdrant.neighbors.remembering.Memory`.

    Args:
        path: the file; it is made when there is something to write.

    Attributes:
        taken: how many searches an earlier attempt has kept.
        kept: how many searches the file holds.
        ended: why nothing is kept (any more), or "".
        note: what became of the file that was there, for a person; "" for nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ended = self.note = ""
        self._about = "", ""
        self._database: sqlite3.Connection | None = None
        self._forget()

    def _forget(self) -> None:
        self.taken = self.kept = 0
        self._index = PointIndex()
        self._places: dict[bytes, tuple[int, int]] = {}
        self._slice: tuple[int, list[Answer]] = (-1, [])
        self._prints: dict[int, int] = {}
        self._looked: dict[int, int] = {}
        self._waiting: list[tuple[bytes, bytes, Hits]] = []
        self._written_ids = 0
        self._written = time.monotonic()

    def begin(self, task: str, standing: str) -> None:
        """Keep what is asked for ``task`` from now on, the collection as ``standing`` says."""
        self._about = task, standing

    def found(self) -> tuple[str, str] | None:
        """Task and standing of the file that is there; None for no file, or none to be used."""
        if not self.path.exists():
            return None
        if not is_ours(self.path):
            self.ended = f"'{self.path}' is another kind of file"
            return None
        try:
            row = self._opened().execute("SELECT task, standing FROM facts").fetchone()
        except sqlite3.Error as error:
            self._broken(error)
            return None
        return None if row is None else (str(row[0]), str(row[1]))

    def take_up(self) -> None:
        """Answer from the file from now on; one that is broken is dropped."""
        try:
            database = self._opened()
            for (ids,) in database.execute("SELECT ids FROM points ORDER BY first"):
                self._index.numbers(json.loads(ids))
            asked = "SELECT number, question, marks FROM slices ORDER BY number"
            for number, question, marks in database.execute(asked):
                for place, start in enumerate(range(0, len(marks), MARK_BYTES)):
                    self._places[question + marks[start : start + MARK_BYTES]] = number, place
            for points, prints in database.execute("SELECT points, prints FROM prints"):
                numbers, digests = np.frombuffer(points, "<i8"), np.frombuffer(prints, "<u8")
                self._prints.update(zip(numbers.tolist(), digests.tolist(), strict=True))
        except (sqlite3.Error, ValueError, TypeError) as error:
            self._broken(error)
            return
        self._written_ids = len(self._index)
        self.taken = self.kept = len(self._places)

    @property
    def points(self) -> list[PointId]:
        """Points in the answers."""
        return self._index.ids(range(len(self._index)))

    def recall(self, question: bytes, marks: Sequence[bytes]) -> list[Answer | None]:
        """The answer to each of ``marks`` that an earlier attempt has kept."""
        answers: list[Answer | None] = [None] * len(marks)
        places = [self._places.get(question + mark) for mark in marks]
        try:
            for (number, at), row in sorted((at, row) for row, at in enumerate(places) if at):
                answers[row] = self._answers_of(number)[at]
        except (sqlite3.Error, ValueError, TypeError, IndexError) as error:
            self._broken(error)
            return [None] * len(marks)
        return answers

    def _answers_of(self, number: int) -> list[Answer]:
        known, answers = self._slice
        if known != number:
            asked = "SELECT counts, points, scores FROM slices WHERE number = ?"
            found = self._opened().execute(asked, (number,)).fetchone()
            counts, points = np.frombuffer(found[0], "<i8"), np.frombuffer(found[1], "<u4")
            scores = np.frombuffer(found[2], "<f4").astype(np.float64)
            ids, ends = self._index.ids(points.tolist()), np.cumsum(counts)
            bounds = zip((ends - counts).tolist(), ends.tolist(), strict=True)
            answers = [(ids[start:end], scores[start:end]) for start, end in bounds]
            self._slice = number, answers
        return answers

    def keep(self, question: bytes, marks: Sequence[bytes], hits: Hits) -> None:
        """Keep the answers to ``marks``; they are written soon, or when searching ends."""
        if self.ended or len(hits.scores) != len(hits.ids):
            return
        self._waiting.append((question, b"".join(marks), hits))
        held = sum(len(one.ids) for _, _, one in self._waiting)
        if held >= HELD_HITS or time.monotonic() - self._written >= WRITE_EVERY_S:
            self.write()

    def look_at(self, records: Sequence[Record]) -> None:
        """See whether the vectors of ``records`` are what they were in an earlier attempt.

        Raises:
            ChangedMeanwhileError: one is not.
        """
        numbers = self._index.numbers([record.id for record in records])
        for record, number in zip(records, numbers.tolist(), strict=True):
            if record.vector is None:
                continue
            digest = hashlib.blake2b(record.vector.tobytes(), digest_size=8).digest()
            now = int.from_bytes(digest, "little")
            before = self._prints.get(number)
            if before is None:
                self._looked[number] = now
            elif before != now:
                raise ChangedMeanwhileError(f"the vector of point {record.id} has changed")

    def write(self) -> None:
        """Write all that waits, at once or not at all."""
        if self.ended or not self._waiting:
            return
        rows = list(self._rows())  # which gives new points their numbers
        new, looked = self.points[self._written_ids :], self._looked
        prints = np.array([*looked], "<i8"), np.array([*looked.values()], "<u8")
        try:
            database = self._opened()
            with database:
                database.execute("DELETE FROM facts")
                database.execute("INSERT INTO facts VALUES (?, ?)", self._about)
                row = self._written_ids, json.dumps(new)
                database.execute("INSERT OR REPLACE INTO points VALUES (?, ?)", row)
                database.executemany("INSERT INTO slices VALUES (NULL, ?, ?, ?, ?, ?)", rows)
                database.execute("INSERT INTO prints VALUES (?, ?)", [p.tobytes() for p in prints])
            full = self.path.stat().st_size > MOST_BYTES
        except (sqlite3.Error, OSError) as error:
            self._end(error)
            return
        self.kept += sum(len(marks) // MARK_BYTES for _, marks, *_ in rows)
        self._written_ids, self._written = len(self._index), time.monotonic()
        self._waiting, self._looked = [], {}
        self.ended = f"'{self.path}' is as large as it may be" if full else ""

    def _rows(self) -> Iterator[tuple[bytes, ...]]:
        for question, marks, hits in self._waiting:
            points = self._index.numbers(hits.ids).astype("<u4")
            parts = hits.counts.astype("<i8"), points, hits.scores.astype("<f4")
            yield question, marks, *(part.tobytes() for part in parts)

    def _opened(self) -> sqlite3.Connection:
        """The file, made if need be, and held until it is closed."""
        if self._database is None:
            self._database = opened(self.path)
        return self._database

    def _broken(self, error: Exception) -> None:
        """Begin a new file instead of one that cannot be read, unless others hold it."""
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            self._end(error)
        else:
            self.drop()

    def _end(self, error: Exception) -> None:
        self.ended = f"'{self.path}' cannot be written to ({error})"
        if "locked" in str(error):
            self.ended = f"another process holds '{self.path}'"
        self._waiting = []

    def close(self) -> None:
        """Write what waits, and release the file."""
        self.write()
        if self._database is not None:
            self._database.close()
            self._database = None

    def drop(self) -> None:
        """Forget all answers, and remove the file, unless it is another process's."""
        self._waiting = []
        self.close()
        if not self.ended.startswith("another"):
            remove(self.path)
        self._forget()
