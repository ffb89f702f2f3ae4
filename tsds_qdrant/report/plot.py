"""What a plot is: series of points, axes and marks, which the page draws with Chart.js."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.report.numbers import significant

Kind = Literal["line", "steps", "points", "crosses", "bars"]
Form = Literal["number", "log", "share", "names", "hidden"]
Values = Sequence[float] | FloatArray


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        title: beside it.
        form: how its numbers are shown; ``names``: by ``names``; ``hidden``: not at all.
        names: of the places 0, 1, ..
        zero: it begins at 0.
    """

    title: str = ""
    form: Form = "number"
    names: tuple[str, ...] = ()
    zero: bool = False


@dataclass(frozen=True)
class Series:
    """Points of one kind.

    Attributes:
        name: in the legend; "" for none.
        kind: how they are drawn.
        x, y: (n,) coordinates; of bars, ``y`` is how long they are.
        colour: as CSS.
        dashed: a dashed line.
        size: of its points, in pixels; 0 for a line without.
        labels: what is said of each under the pointer; empty for its numbers. They are texts, and
            are drawn as such: no markup in them means anything.
    """

    name: str
    kind: Kind
    x: Values
    y: Values
    colour: str
    dashed: bool = False
    size: float = 0
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Mark:
    """A dashed line across the plot at ``x``, with a ``text``."""

    x: float
    text: str


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        series: from back to front.
        across, up: its axes; of bars, ``up`` has their names.
        marks: lines at places of ``across``.
        equal: both axes have the same unit, and a part can be enlarged.
    """

    series: tuple[Series, ...]
    across: Axis = field(default_factory=Axis)
    up: Axis = field(default_factory=Axis)
    marks: tuple[Mark, ...] = ()
    equal: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The plot in plain values, for JSON."""
        plain = asdict(self)
        for own in plain["series"]:
            for name in ("x", "y"):
                own[name] = [_finite(value) for value in np.asarray(own[name]).tolist()]
            own["labels"] = list(own["labels"])
        return plain


def rounded(values: FloatArray) -> list[float]:
    """``values`` with as many digits as a screen can show."""
    return [significant(value, 4) for value in values.tolist()]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
