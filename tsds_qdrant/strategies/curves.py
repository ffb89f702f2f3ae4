"""Curves by which a strategy has chosen something, for a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Point = tuple[float, float]


@dataclass(frozen=True)
class Curves:
    """Lines over one axis, each with the point that was chosen.

    Attributes:
        name: of its place on a page: letters, digits and hyphens.
        title: what they show.
        said: a sentence on how to read them.
        across: what the horizontal axis means.
        up: what the vertical axis means.
        lines: name -> points, from left to right.
        chosen: name -> the point that was chosen, where there is one.
    """

    name: str
    title: str
    said: str
    across: str
    up: str
    lines: Mapping[str, tuple[Point, ...]]
    chosen: Mapping[str, Point] = field(default_factory=dict)
