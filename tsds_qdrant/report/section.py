"""One section of the page."""

from __future__ import annotations

from dataclasses import dataclass, field

from tsds_qdrant.report.figures import ReportFigures
from tsds_qdrant.report.markup import Html, tag
from tsds_qdrant.report.plot import Plot


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: of its anchor.
        title: its heading.
        parts: what follows, in order.
        plots: key -> plot; its place in ``parts`` is made by :func:`plot_place`.
    """

    name: str
    title: str
    parts: tuple[Html, ...]
    plots: dict[str, Plot] = field(default_factory=dict)


def plot_place(key: str, title: str, *, tall: bool = False, height: int | None = None) -> Html:
    """Where the script draws the plot ``key``, of a usual height or of ``height`` pixels."""
    return tag(
        "div",
        tag("canvas", id=f"plot-{key}", role="img", aria_label=title),
        class_="plot tall" if tall else "plot",
        style=None if height is None else f"height:{height}px",
    )


def chosen_name(figures: ReportFigures) -> str:
    """What the reported candidates are called."""
    return "selected" if figures.chosen.drawn else "with p > 0"
