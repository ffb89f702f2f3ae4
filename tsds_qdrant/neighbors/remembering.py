"""Searches whose answers are kept elsewhere, so that an interrupted selection can go on.

A search is known by its question: the row, and all that the rows of a batch have in common. What
follows from the answers is computed again, so a selection that goes on takes the same way as one
that was never interrupted, and only asks what nobody has answered yet.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.hits import Hits
from tsds_qdrant.collections.values import Geometry, PointId, Record

FIRST_ROWS = 256
"""Searches after which answers are kept for the first time."""
SLICE_S = 10.0
"""Answers are kept about every that many seconds. Each time the requests under way are waited for,
which takes about a second where a server is slow."""
MOST_GROWTH = 4.0
DECIDED = bytes(16)
"""What stands in the place of a row where nothing was searched for."""

Answer = tuple[Sequence[PointId], FloatArray]
"""Ids and float32 scores of the hits of one search, nearest first."""
Ask = Callable[[Float32Array], Hits]


class Memory(Protocol):
    """What keeps answers, and knows those of an earlier attempt."""

    def recall(self, question: bytes, marks: Sequence[bytes]) -> list[Answer | None]:
        """The answer to each of ``marks`` that is known; ``question`` is what they share."""

    def keep(self, question: bytes, marks: Sequence[bytes], hits: Hits) -> None:
        """Keep the answers to ``marks``."""

    def look_at(self, records: Sequence[Record]) -> None:
        """See whether vectors that answers rest on are what they were."""


def question_of(**shared: Any) -> bytes:
    """What all rows of a batch share, as (16,) bytes."""
    text = json.dumps(shared, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class Remembering:
    """Asks what ``memory`` does not know, and lets it keep the answers slice by slice.

    Without one, all is asked at once, and nothing kept.
    """

    def __init__(self, memory: Memory | None) -> None:
        self._memory = memory
        self._rows: dict[tuple[bool, int], int] = {}

    def ask(
        self,
        ask: Ask,
        vectors: Float32Array,
        shared: Mapping[str, Any],
        metric: Geometry,
        on_batch: Callable[[int], None],
    ) -> tuple[Hits, int]:
        """The answers to ``vectors`` (B, D), and how many of them were known.

        Args:
            ask: searches some of the rows.
            vectors: the rows.
            shared: what they have in common, see :func:`question_of`.
            metric: how distances follow from scores.
            on_batch: called with the number of rows that were known.
        """
        if self._memory is None:
            return ask(vectors), 0
        question = question_of(**shared)
        marks = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in vectors]
        answers = self._memory.recall(question, marks)
        unknown = np.array([k for k, answer in enumerate(answers) if answer is None], np.int64)
        known = len(marks) - len(unknown)
        if known:
            on_batch(known)
        for rows in self._slices(unknown, (shared["exact"], shared["limit"].bit_length())):
            hits = ask(vectors[rows])
            self._memory.keep(question, [marks[row] for row in rows.tolist()], hits)
            if len(rows) == len(marks):
                return hits, 0
            for row, answer in zip(rows.tolist(), _one_by_one(hits), strict=True):
                answers[row] = answer
        return _joined([answer for answer in answers if answer is not None], metric), known

    def decided(self, what: str, decide: Callable[[], bool]) -> bool:
        """What was decided on ``what`` by an earlier attempt, or what ``decide`` says now.

        It is kept as an answer without hits: an attempt that goes on must not decide by other
        times than the one that was interrupted.
        """
        if self._memory is None:
            return decide()
        questions = {yes: question_of(decided=what, yes=yes) for yes in (True, False)}
        for yes, question in questions.items():
            if self._memory.recall(question, [DECIDED])[0] is not None:
                return yes
        now = decide()
        self._memory.keep(questions[now], [DECIDED], Hits([], np.empty(0), np.zeros(1, np.int64)))
        return now

    def _slices(self, rows: IntArray, kind: tuple[bool, int]) -> Iterator[IntArray]:
        """``rows`` cut so that each slice is asked in about :data:`SLICE_S` seconds.

        Searches of one ``kind`` cost about the same.
        """
        start = 0
        while start < len(rows):
            most = self._rows.setdefault(kind, FIRST_ROWS)
            part = rows[start : start + most]
            started = time.perf_counter()
            yield part
            seconds = max(time.perf_counter() - started, 1e-3)
            if len(part) == most:
                factor = min(MOST_GROWTH, SLICE_S / seconds)
                self._rows[kind] = max(1, int(most * factor))
            start += len(part)


def _one_by_one(hits: Hits) -> Iterator[Answer]:
    ends = np.cumsum(hits.counts)
    for start, end in zip((ends - hits.counts).tolist(), ends.tolist(), strict=True):
        yield hits.ids[start:end], hits.scores[start:end]


def _joined(answers: Sequence[Answer], metric: Geometry) -> Hits:
    ids = [point_id for found, _ in answers for point_id in found]
    scores = np.concatenate([np.empty(0), *(scores for _, scores in answers)])
    counts = np.array([len(found) for found, _ in answers], dtype=np.int64)
    return Hits.of_scores(ids, scores, counts, metric)
