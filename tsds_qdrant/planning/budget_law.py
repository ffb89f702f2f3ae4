"""The law by which a score grows with the share of the pool that is trained on.

Yin and Rush 2025 (arXiv 2410.16208): P(s) = P0 + (Pmax - P0) (1 - exp(-lambda s)), where Pmax is
the score of training on everything. They fit it on all FLOPs, those of choosing among them; there
P0 of methods that choose dearly runs into its bound and means nothing. Here s is the share that is
trained on, and what choosing takes is taken off the budget first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.errors import InputError
from tsds_qdrant.planning.budget_measured import FULL, Score

LEAST_SIZES = 3
RATES = np.logspace(-3, 4, 71)
"""Lambdas that are tried first."""
LARGEST_EXPONENT = 700


@dataclass(frozen=True)
class Law:
    """A fitted curve.

    Attributes:
        start: P0, the score without training.
        most: Pmax.
        rate: lambda.
        shares: the least and the largest that was measured.
        sizes: how many sizes were measured.
        error: root of the mean squared difference from what was measured.
    """

    start: float
    most: float
    rate: float
    shares: tuple[float, float]
    sizes: int
    error: float

    def at(self, share: float) -> float:
        """The score of training on that share."""
        return float(_curve(np.array([share]), self.start, self.rate, self.most)[0])

    def as_dict(self) -> dict[str, object]:
        """For a machine to read."""
        return {
            "p0": self.start,
            "pmax": self.most,
            "lambda": self.rate,
            "shares": list(self.shares),
            "sizes": self.sizes,
            "error": self.error,
        }


def fitted(shares: Sequence[float], scores: Sequence[float], most: float) -> Law:
    """The least-squares law with 0 <= P0 <= Pmax and lambda >= 0.

    For every lambda the best P0 is known, so one number is searched for: between the neighbours of
    the best of ``RATES``.

    Args:
        shares: of the pool that were trained on, in (0, 1].
        scores: measured there, from 0 on.
        most: Pmax > 0.
    """
    from scipy.optimize import minimize_scalar

    s, p = np.asarray(shares, dtype=float), np.asarray(scores, dtype=float)

    def off(rate: float) -> float:
        return float(((_curve(s, _best_start(s, p, most, rate), rate, most) - p) ** 2).sum())

    best = min(range(len(RATES)), key=lambda place: off(float(RATES[place])))
    bounds = (np.log(RATES[max(best - 1, 0)]), np.log(RATES[min(best + 1, len(RATES) - 1)]))
    found = minimize_scalar(
        lambda log: off(np.exp(log)), bounds=bounds, method="bounded", options={"xatol": 1e-12}
    )
    rate = min((0.0, float(RATES[best]), float(np.exp(found.x))), key=off)
    return Law(
        start=_best_start(s, p, most, rate),
        most=most,
        rate=rate,
        shares=(float(s.min()), float(s.max())),
        sizes=len(set(shares)),
        error=float(np.sqrt(off(rate) / len(s))),
    )


def laws_of(
    scores: Sequence[Score], path: str | Path, full_score: float | None = None
) -> dict[str, Law]:
    """A law for each method of which at least three sizes were measured.

    Args:
        scores: of one benchmark.
        path: of their file, for messages.
        full_score: Pmax; the mean of the scores of training on everything if None.

    Raises:
        InputError: no score of training on everything, or a method with too few sizes.
    """
    whole = [one.score for one in scores if one.whole]
    said = [one.baseline for one in scores if one.baseline is not None]
    most = full_score if full_score is not None else float(np.mean(whole or said or [0.0]))
    if not (whole or said or full_score is not None) or most <= 0:
        raise InputError(
            f"'{path}' has no score above 0 of training on everything, which the curves run up to; "
            f"add a row of the method full, or give --full-score"
        )
    methods: dict[str, list[Score]] = {}
    for one in scores:
        if one.method not in FULL:
            methods.setdefault(one.method, []).append(one)
    _check_sizes(methods, path)
    return {
        name: fitted([one.share for one in group], [one.score for one in group], most)
        for name, group in methods.items()
    }


def _check_sizes(methods: Mapping[str, Sequence[Score]], path: str | Path) -> None:
    if not methods:
        raise InputError(f"'{path}' has no score of a method; add rows with method, n and score")
    for name, group in methods.items():
        if (sizes := len({one.share for one in group})) < LEAST_SIZES:
            raise InputError(
                f"'{path}' has only {sizes} of the sizes of method '{name}', and a curve needs "
                f"{LEAST_SIZES} or more; train on more, or leave its rows out"
            )


def _curve(s: FloatArray, start: float, rate: float, most: float) -> FloatArray:
    risen: FloatArray = start + (most - start) * -np.expm1(-rate * s)
    return risen


def _best_start(s: FloatArray, p: FloatArray, most: float, rate: float) -> float:
    falling = np.exp(-rate * (s - s.min()))
    risen = float(np.exp(min(rate * s.min(), LARGEST_EXPONENT)))
    below = float(falling @ (most - p)) / float(falling @ falling) * risen
    return most - min(max(below, 0.0), most)
