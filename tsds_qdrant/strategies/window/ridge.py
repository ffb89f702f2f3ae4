"""Windows of an order, and what a ridge regression on each makes of the task, in closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray, IntArray

Rows = FloatArray | Float32Array
PENALTY = 1.0
"""Of the squared coefficients, that of the constant too."""
STEP = 0.05
"""From one window to the next, as a share of the order."""
GUARD = 1e-6
"""Shares that differ by less are equal."""
BLOCK = 4_096
"""Rows that are brought to float64 at once."""


def window_starts(width: float, step: float = STEP) -> list[float]:
    """Where windows of ``width`` (a share of the order) start: 0, step, .. up to 1 - width."""
    count = math.floor((1.0 - width) / step + GUARD) + 1
    return [k * step for k in range(max(1, count))]


def parts(width: int, counts: IntArray) -> IntArray:
    """(K,) how many of each class, whose ``counts`` are given, are in a window of ``width``.

    In proportion, by largest remainders; of equal ones the first class gets more.
    """
    exact = width * counts / max(1, int(counts.sum()))
    whole = np.floor(exact + 1e-9).astype(np.int64)
    order = np.lexsort((np.arange(len(counts)), whole - exact))
    whole[order[: width - int(whole.sum())]] += 1
    return whole


def first_ranks(start: float, widths: IntArray, counts: IntArray) -> IntArray:
    """(K,) the rank in each class at which a window starts that starts at share ``start``."""
    begin: IntArray = np.minimum(np.floor(start * counts + GUARD).astype(np.int64), counts - widths)
    return begin


def with_constant(rows: Rows) -> FloatArray:
    """(n, d + 1) ``rows`` (n, d) behind a column of ones, in float64."""
    return np.concatenate([np.ones((len(rows), 1)), np.asarray(rows, dtype=np.float64)], axis=1)


def ridge(features: FloatArray, wanted: FloatArray, penalty: float = PENALTY) -> FloatArray:
    """(p, K) coefficients of the least squares fit of ``wanted`` (n, K) by ``features`` (n, p).

    By whichever of the two systems, of p or of n equations, is smaller; both give the same.
    """
    if features.shape[1] <= len(features):
        return solved(features.T @ features, features.T @ wanted, penalty)
    dual: FloatArray = features.T @ solved(features @ features.T, wanted, penalty)
    return dual


def solved(square: FloatArray, wanted: FloatArray, penalty: float) -> FloatArray:
    """(square + penalty I)^-1 wanted, by Cholesky factors."""
    from scipy.linalg import cho_factor, cho_solve

    ridged = square + penalty * np.eye(len(square))
    found: FloatArray = cho_solve(cho_factor(ridged, lower=True), wanted)
    return found


@dataclass(frozen=True)
class Moments:
    """Sums over rows from which a ridge regression follows.

    Attributes:
        square: (p, p) of the products of features.
        product: (p, K) of features and what is wanted.
    """

    square: FloatArray
    product: FloatArray

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.square + other.square, self.product + other.product)


def moments(rows: Rows, wanted: FloatArray | None) -> Moments:
    """Of ``rows`` (n, d) and ``wanted`` (n, K); None: the rows themselves are wanted."""
    total = None
    for start in range(0, len(rows), BLOCK):
        features = with_constant(rows[start : start + BLOCK])
        square = features.T @ features
        these = rows[start : start + BLOCK] if wanted is None else wanted[start : start + BLOCK]
        part = Moments(square, square[:, 1:] if wanted is None else features.T @ these)
        total = part if total is None else total + part
    assert total is not None
    return total


def window_fits(
    rows: Rows,
    wanted: FloatArray | None,
    windows: Sequence[IntArray],
    penalty: float = PENALTY,
) -> Iterator[FloatArray]:
    """(d + 1, K) coefficients of the ridge regression on each of ``windows``.

    Windows that overlap share sums: rows that are in the same ones are summed once.

    Args:
        rows: (n, d).
        wanted: (n, K); None: the rows themselves.
        windows: the rows in each, none empty; a row is in windows that follow each other.
        penalty: lambda.
    """
    first, last = _spans(len(rows), windows)
    held: dict[tuple[int, int], Moments] = {}
    for window in windows:
        if len(window) <= rows.shape[1]:
            features = with_constant(rows[window])
            yield ridge(features, features[:, 1:] if wanted is None else wanted[window], penalty)
            continue
        spans = sorted(set(zip(first[window].tolist(), last[window].tolist(), strict=True)))
        held = {span: held[span] for span in spans if span in held}
        total = None
        for span in spans:
            if span not in held:
                these = window[(first[window] == span[0]) & (last[window] == span[1])]
                held[span] = moments(rows[these], None if wanted is None else wanted[these])
            total = held[span] if total is None else total + held[span]
        assert total is not None
        yield solved(total.square, total.product, penalty)


def _spans(count: int, windows: Sequence[IntArray]) -> tuple[IntArray, IntArray]:
    """(n,) the first and the last of ``windows`` that each row is in."""
    first, last = np.full(count, len(windows)), np.full(count, -1)
    for number, window in enumerate(windows):
        first[window] = np.minimum(first[window], number)
        last[window] = number
    return first, last


def explained(tasks: Rows, weights: FloatArray, coefficients: FloatArray) -> float:
    """The share of task examples (M, d) that a fit of rows by themselves gives back.

    1 - sum m |q - q^|^2 / sum m |q|^2, with ``weights`` m (M,).
    """
    wanted = np.asarray(tasks, dtype=np.float64)
    lost = np.square(wanted - with_constant(wanted) @ coefficients).sum(axis=1)
    return float(1.0 - weights @ lost / (weights @ np.square(wanted).sum(axis=1)))


def accuracy(
    tasks: Rows, weights: FloatArray, classes: IntArray, coefficients: FloatArray
) -> float:
    """The share of task examples (M, d), by ``weights`` (M,), whose class (M,) a fit finds."""
    found = (with_constant(tasks) @ coefficients).argmax(axis=1)
    return float(weights[found == classes].sum() / weights.sum())
