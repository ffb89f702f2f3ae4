"""What is compared in a scan: values in float32 with a bound on their error, scores in float64.

The value of a point for a query grows as the distance falls: their product, less half the square
of the point's length under Euclid. Computed in float32 it is off by at most D eps |q| |x| (Higham,
"Accuracy and Stability of Numerical Algorithms", 3.1, with a factor of 2 to spare), which is no
more than half of D eps (|q|^2 + |x|^2): one part for the query, one for the point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray
from tsds_qdrant.collections.distance import is_similarity, score_to_distance, uneven_squares
from tsds_qdrant.collections.lengths import UNIT_TOLERANCE
from tsds_qdrant.collections.values import Geometry

EPS = float(np.finfo(np.float32).eps)
EPS64 = float(np.finfo(np.float64).eps)
GATHERED = 1_024
"""Rows that are copied together at once, from wherever they are."""
AROUND_BYTES = 65_536
"""What a row that is touched brings along into mapped memory (Linux, fault_around_bytes)."""
RELEASED_BYTES = 32_000_000
"""Mapped memory that is touched before it is given back."""
RESCORED = 4_096
"""Pairs whose vectors are held in float64 at once."""
LOOSE = 1e-6
"""Relative: distances are rounded to float32 before they are compared with a maximum."""


@dataclass(frozen=True)
class Compared:
    """Points that are compared with queries.

    Attributes:
        matrix: (m, D) vectors, of unit length under Cosine.
        metric: Cosine, Product (of unit length, but for rounding), Dot (of any length) or Euclid.
        points: (n,) where in ``matrix`` the vector of each point is.
        release: gives memory back that mapped rows take; None where they are to stay.
    """

    matrix: Float32Array
    metric: Geometry
    points: IntArray
    release: Callable[[], None] | None = None

    @cached_property
    def order(self) -> IntArray:
        """(n,) the points in the order of their rows."""
        return np.argsort(self.points, kind="stable")

    @cached_property
    def rows(self) -> IntArray:
        """(n,) rows of the points, ascending."""
        return self.points[self.order]

    @cached_property
    def squares(self) -> Float32Array:
        """(n,) squared length of each point."""
        found = np.empty(len(self.rows), dtype=np.float32)
        for start in range(0, len(self.rows), RESCORED):
            block = self.at(self.rows[start : start + RESCORED])
            with np.errstate(over="ignore", invalid="ignore"):
                squares = np.einsum("ij,ij->i", block, block)
            found[self.order[start : start + RESCORED]] = squares
            self.done_with(block.nbytes)
        return found

    def uneven(self, length: float = 1.0) -> IntArray:
        """The points whose vectors are neither of that ``length`` nor zero, ascending."""
        return np.flatnonzero(uneven_squares(self.squares, length))

    @cached_property
    def longest(self) -> float:
        """The length of the longest point, or 1 if that is more; 1 where all have that length."""
        if self.metric not in ("Dot", "Product"):
            return 1.0
        finite = self.squares[np.isfinite(self.squares)]
        return max(1.0, float(np.sqrt(finite.max(initial=0.0))))

    def ranking(self, scores: FloatArray) -> FloatArray:
        """(n,) what orders hits, the best first: distances, or products that are none, turned."""
        if self.longest > 1 + UNIT_TOLERANCE:
            return -scores.astype(np.float32).astype(np.float64)
        return score_to_distance(scores, self.metric)

    def at(self, rows: IntArray) -> Float32Array:
        """The vectors at ``rows`` (n,), which need no copy where they stand side by side."""
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return self.matrix[int(rows[0]) : int(rows[-1]) + 1]
        found = np.empty((len(rows), self.matrix.shape[1]), dtype=np.float32)
        for start in range(0, len(rows), GATHERED):
            part = slice(start, start + GATHERED)
            np.take(self.matrix, rows[part], axis=0, out=found[part])
            self.done_with(AROUND_BYTES * len(found[part]))
        return found

    def done_with(self, touched: int) -> None:
        """That many bytes were looked at; now and then the memory is given back."""
        if self.release is not None:
            self._touched[0] += touched
            if self._touched[0] > RELEASED_BYTES:
                self._touched[0] = 0
                self.release()

    @cached_property
    def _touched(self) -> list[int]:
        return [0]

    def scores(self, query: Float32Array, rows: IntArray) -> FloatArray:
        """(n,) scores of ``query`` (D,) and ``rows`` (n,); each depends on its pair alone."""
        scores = np.empty(len(rows))
        for start in range(0, len(rows), RESCORED):
            part = slice(start, start + RESCORED)
            scores[part] = self.scored(query, self.at(rows[part]).astype(np.float64))
        return scores

    def scored(self, query: Float32Array, points: FloatArray) -> FloatArray:
        """The same of vectors ``points`` (n, D) that are in float64 already."""
        exact = query.astype(np.float64)
        scores: FloatArray
        if is_similarity(self.metric):
            scores = np.einsum("ij,j->i", points, exact)
        else:
            apart = points - exact
            scores = np.sqrt(np.einsum("ij,ij->i", apart, apart))
        return scores

    def table(self, queries: Float32Array, points: FloatArray) -> FloatArray:
        """(B, n) the same of ``queries`` (B, D), alike once they are rounded to float32.

        *subtle*: a matrix product is many times as fast, but its last bits depend on what else is
        asked. Where these can decide how a score is rounded, it is computed from its pair alone.
        """
        exact = queries.astype(np.float64)
        squares = np.einsum("ij,ij->i", exact, exact)[:, None]
        own = np.einsum("ij,ij->i", points, points)
        error = 2 * (points.shape[1] + 4) * EPS64
        with np.errstate(over="ignore", invalid="ignore"):
            scores: FloatArray = exact @ points.T
            if is_similarity(self.metric):
                errors = error * np.sqrt(squares * own.max(initial=0.0))
                least, most = scores - errors, scores + errors
            else:
                squared = squares + own - 2.0 * scores
                errors = 2 * error * (squares + own.max(initial=0.0))
                bounds = (squared - errors, squared, squared + errors)
                least, scores, most = (np.sqrt(np.maximum(one, 0.0)) for one in bounds)
            doubtful = least.astype(np.float32) != most.astype(np.float32)
        for query in np.flatnonzero(doubtful.any(axis=1)).tolist():
            pairs = np.flatnonzero(doubtful[query])
            scores[query, pairs] = self.scored(queries[query], points[pairs])
        return scores

    def floor(self, queries: Float32Array, max_distance: float | FloatArray | None) -> FloatArray:
        """(B,) the value that everything within ``max_distance`` reaches; see :meth:`value`.

        ``max_distance`` is one number, or (B,) one for each query.
        """
        if max_distance is None:
            return np.full(len(queries), -np.inf)
        reach = np.square(max_distance * (1 + LOOSE))
        if is_similarity(self.metric):
            return np.full(len(queries), 1.0 - reach / 2 - LOOSE)
        floor: FloatArray = (_squares(queries) - reach) / 2
        return floor

    def value(self, query: Float32Array, score: float) -> float:
        """What is compared with bars: the product, less half of the point's square if it counts."""
        if is_similarity(self.metric):
            return score
        squares: float = _squares(query[None, :])[0] - score * score
        return squares / 2

    def penalty(self, block: Float32Array) -> FloatArray | None:
        """(n,) half the square of each point less its part of the error; None if it is no part."""
        if is_similarity(self.metric):
            return None
        return _squares(block) * (0.5 - self._error)

    def margin(self, queries: Float32Array) -> FloatArray:
        """(B,) the part of the error of a value that does not depend on the point."""
        if not is_similarity(self.metric):
            return self._error * _squares(queries) / 2
        return 1.5 * self._error * np.sqrt(_squares(queries)) * self.longest

    @property
    def _error(self) -> float:
        return float(self.matrix.shape[1] + 2) * EPS


def _squares(rows: Float32Array) -> FloatArray:
    with np.errstate(over="ignore", invalid="ignore"):
        squares: FloatArray = np.einsum("ij,ij->i", rows, rows).astype(np.float64)
    return squares
