"""What is known of windows: difficulties of the pool, and how well each window teaches the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array, IntArray
from tsds_qdrant.collections.distance import normalized
from tsds_qdrant.collections.values import Geometry, PointId
from tsds_qdrant.errors import InputError
from tsds_qdrant.neighbors.geometry import pairwise_distances
from tsds_qdrant.neighbors.repair import RepairReport
from tsds_qdrant.pool.pool import vectors_of
from tsds_qdrant.strategies.lacking import Lack, tell_of
from tsds_qdrant.strategies.pool_fields import FieldKnowledge
from tsds_qdrant.strategies.window.order import Curve, Ordered
from tsds_qdrant.strategies.window.ridge import Rows, accuracy, explained, window_fits
from tsds_qdrant.task.task import Task

PAGE = 4_096
AROUND = 15
"""Nearest candidates whose most frequent class a task example has."""


@dataclass(frozen=True)
class Judging:
    """How windows are judged.

    Attributes:
        step: from one to the next, as a share of the order.
        penalty: of the ridge regression.
    """

    step: float
    penalty: float


class WindowKnowledge(FieldKnowledge):
    """Difficulties of all candidates, and curves by the width of a window.

    A curve depends on the whole pool and the task, and is made again when either changes.
    """

    _ordered: Ordered | None = None
    _curves: dict[int, Curve]
    _known_for: frozenset[int] = frozenset()
    """What was excluded when they were made."""

    def read(self) -> None:
        """Read the pool from scratch."""
        super().read()
        self.forget()

    def forget(self) -> None:
        """Forget what followed from the pool and the task."""
        self._ordered, self._curves = None, {}

    def resume_curves(self, stored: Sequence[dict[str, Any]]) -> None:
        """Take the curves that :meth:`stored` gave."""
        self.forget()
        self._curves = {one.width: one for one in map(Curve.read, stored)}
        self._known_for = self._excluded

    @property
    def ranked(self) -> IntArray:
        """(c,) candidates that have a difficulty."""
        candidates = self.candidates
        return candidates[~np.isnan(self.numbers_of(self.looked.numbers[0])[candidates])]

    @property
    def ordered(self) -> Ordered:
        """Candidates by difficulty.

        Raises:
            InputError: none has one.
        """
        self._check_known()
        if self._ordered is None:
            ranked = self.ranked
            if not len(ranked):
                raise InputError(
                    f"no candidate that is left has a number in '{self.looked.numbers[0]}'; "
                    f"exclude less, or name another field with --difficulty"
                )
            scores = self.numbers_of(self.looked.numbers[0])[ranked]
            keys = self.index.keys[ranked]
            self._ordered = Ordered.of(ranked, scores, self.labels[ranked], keys)
        return self._ordered

    def curve(self, width: int, judging: Judging) -> Curve:
        """Scores of all windows of ``width`` candidates."""
        ordered = self.ordered
        if width not in self._curves:
            self._curves[width] = self._judged(ordered, width, judging)
        return self._curves[width]

    def update(self, came: Sequence[PointId], gone: Sequence[PointId]) -> RepairReport:
        """Take points out and in; if there are any, the curves are forgotten."""
        report = super().update(came, gone)
        if came or gone:
            self.forget()
        self.warn()
        return report

    def warn(self) -> None:
        """Say how many candidates have no difficulty."""
        lack = Lack("number", self.looked.numbers[:1], self.pool - len(self.ranked))
        tell_of(self.searcher, [lack], self.pool, "those are left out")

    def retarget(self, task: Task) -> None:
        """Take other task examples."""
        super().retarget(task)
        self.forget()

    def stored(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Curves too."""
        self._check_known()
        facts, arrays = super().stored()
        return {**facts, "curves": [one.stored() for one in self._curves.values()]}, arrays

    @property
    def _excluded(self) -> frozenset[int]:
        return frozenset(np.flatnonzero(self.index.excluded).tolist())

    def _check_known(self) -> None:
        """Forget what was made when other candidates were excluded."""
        if self._known_for != self._excluded:
            self.forget()
            self._known_for = self._excluded

    def _judged(self, ordered: Ordered, width: int, judging: Judging) -> Curve:
        by_class = bool(self.looked.label)
        starts = ordered.starts(width, judging.step)
        windows = [ordered.window(start, width) for start in starts]
        weights = np.asarray(self.query_weights, dtype=np.float64)
        tasks = self._rows(self.queries)
        if len(windows) == 1:
            return Curve(width, tuple(starts), (0.0,), by_class)
        if by_class:
            every = np.arange(ordered.count)
            rows = self._read(ordered, every)
            wanted = np.eye(len(ordered.names))[ordered.classes]
            geometry = self.searcher.info.geometry
            classes = _classes_around(self.queries, rows, ordered.classes, geometry)
            fits = window_fits(self._rows(rows), wanted, windows, judging.penalty)
            scores = [accuracy(tasks, weights, classes, one) for one in fits]
        else:
            used = np.unique(np.concatenate(windows))
            taught = self._rows(self._read(ordered, used))
            windows = [np.searchsorted(used, window) for window in windows]
            fits = window_fits(taught, None, windows, judging.penalty)
            scores = [explained(tasks, weights, one) for one in fits]
        return Curve(width, tuple(starts), tuple(scores), by_class)

    def _read(self, ordered: Ordered, places: IntArray) -> Float32Array:
        """(n, D) stored vectors of the candidates at ``places``."""
        searcher, parts = self.searcher, []
        ids = self.index.ids(ordered.candidates[places].tolist())
        for start in range(0, len(ids), PAGE):
            page = ids[start : start + PAGE]
            parts.append(vectors_of(searcher.collection, page, searcher.info))
            searcher.progress("vectors", start + len(page), len(ids))
        return np.concatenate(parts)

    def _rows(self, rows: Float32Array) -> Rows:
        """(n, D) as they are compared: unit rows where directions count."""
        return normalized(rows, self.searcher.info.metric)


def _classes_around(
    queries: Float32Array, rows: Float32Array, classes: IntArray, geometry: Geometry
) -> IntArray:
    """(M,) the class that most of the ``AROUND`` nearest of ``rows`` have to each of ``queries``.

    Of equally far rows the first ones count, and of equally frequent classes the first one.
    """
    best = np.full((len(queries), 0), np.inf)
    which = np.zeros((len(queries), 0), dtype=np.int64)
    for start in range(0, len(rows), PAGE):
        apart = pairwise_distances(queries, rows[start : start + PAGE], geometry)
        places = np.broadcast_to(np.arange(start, start + apart.shape[1]), apart.shape)
        best, which = np.hstack([best, apart]), np.hstack([which, places])
        order = np.argsort(best, axis=1, kind="stable")[:, :AROUND]
        best, which = (np.take_along_axis(one, order, axis=1) for one in (best, which))
    votes = np.zeros((len(queries), int(classes.max()) + 1))
    np.add.at(votes, (np.arange(len(queries))[:, None], classes[which]), 1)
    found: IntArray = votes.argmax(axis=1)
    return found
