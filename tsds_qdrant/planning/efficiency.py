"""Efficiency of a selection after training, by the figure of the survey arXiv 2406.14115.

PIR is the score of the model that was trained on the selection over that of the model that was
trained on everything, the mean over benchmarks and runs; SDF is the selected share of the pool.
The survey draws its base line through two published methods; what lies above it gains more than a
larger share would buy. PIRs of benchmarks are mapped onto those of win rates, in which the line is
drawn, each kind by two points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from tsds_qdrant.errors import SettingsError

Metric = Literal["win-rate", "same-benchmark", "other-benchmark"]
METRICS: tuple[str, ...] = get_args(Metric)
ANCHORS: Mapping[str, tuple[float, float]] = {
    "Instruction-Mining": (0.025, 1.400),
    "InstructionGPT-4": (0.058, 1.443),
}
"""Methods whose SDF and PIR the base line goes through."""
PUBLISHED: Mapping[str, tuple[float, float]] = {
    "IFD": (0.05, 1.747),
    "LESS": (0.05, 1.491),
    "Superfiltering": (0.05, 1.475),
    "SelectIT": (0.2, 1.653),
    **ANCHORS,
    "SHED": (0.09, 1.460),
    "Nuggets": (0.145, 1.519),
    "InsTag": (0.02, 1.344),
    "CaR": (0.0196, 1.343),
    "DEITA": (0.1, 1.426),
    "AlpaGasus": (0.173, 1.284),
}
"""SDF and PIR (of win rates) of the methods of the survey."""
MAPPED: Mapping[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "same-benchmark": ((0.949, 1.284), (1.010, 1.475)),
    "other-benchmark": ((0.985, 1.344), (1.000, 1.426)),
}
"""Two points of each map: ratio of benchmark scores, and PIR of win rates."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Line:
    """PIR = intercept + slope SDF."""

    slope: float
    intercept: float

    @classmethod
    def through(cls, one: tuple[float, float], other: tuple[float, float]) -> Line:
        """The line through two points."""
        slope = (other[1] - one[1]) / (other[0] - one[0])
        return cls(slope, one[1] - slope * one[0])

    def at(self, x: float) -> float:
        """Its height."""
        return self.intercept + self.slope * x

    def gap(self, x: float, y: float) -> float:
        """How far above it a point lies."""
        return y - self.at(x)

    def distance(self, x: float, y: float) -> float:
        """The same at a right angle, negative below the line."""
        return self.gap(x, y) / math.hypot(1, self.slope)


BASE_LINE = Line.through(*ANCHORS.values())


@dataclass(frozen=True)
class Efficiency:
    """A selection in the survey's figure.

    Attributes:
        strategy: or whatever selected.
        share: SDF.
        ratio: of the scores, before it is mapped.
        metric: what the scores are.
        ratios: how many the mean is of.
    """

    strategy: str
    share: float
    ratio: float
    metric: Metric
    ratios: int

    @property
    def pir(self) -> float:
        """PIR, that of win rates."""
        points = MAPPED.get(self.metric)
        return Line.through(*points).at(self.ratio) if points else self.ratio

    @property
    def gap(self) -> float:
        """How far PIR lies above the base line."""
        return BASE_LINE.gap(self.share, self.pir)

    @property
    def distance(self) -> float:
        """Efficiency: the signed distance from the base line."""
        return BASE_LINE.distance(self.share, self.pir)

    @property
    def extrapolated(self) -> bool:
        """Whether the ratio lies outside of the two points of its map."""
        points = MAPPED.get(self.metric)
        if points is None:
            return False
        (least, _), (most, _) = points
        return not least - ROUNDING <= self.ratio <= most + ROUNDING

    @property
    def beside(self) -> str:
        """Where it stands among the published methods, in words."""
        ordered = published()
        above = [name for name, gap in ordered.items() if gap >= self.gap]
        return f"below {above[-1]}" if above else f"above {next(iter(ordered))}"


def published() -> dict[str, float]:
    """Gaps of the methods of the survey, the largest first."""
    gaps = {name: BASE_LINE.gap(*point) for name, point in PUBLISHED.items()}
    return dict(sorted(gaps.items(), key=lambda item: -item[1]))


def metric_of(text: str, flag: str) -> Metric:
    """What scores are.

    Raises:
        SettingsError: none of ``METRICS``.
    """
    found: dict[str, Metric] = {one: one for one in get_args(Metric)}
    if text not in found:
        raise SettingsError(f"{flag} is '{text}'; choose one of {', '.join(METRICS)}")
    return found[text]
