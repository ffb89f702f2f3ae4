"""The plots of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.report.curve import PathCurve
from tsds_qdrant.report.distances import DistanceHistogram
from tsds_qdrant.report.plot import Axis, Mark, Plot, Series, rounded
from tsds_qdrant.report.point_map import Layer, PointMap
from tsds_qdrant.report.shares import Shares
from tsds_qdrant.report.texts import label
from tsds_qdrant.strategies.curves import Curves

POOL, TASK, SELECTED, SOFT = "#9aa5b1", "#c2410c", "#1d4ed8", "#93b4f5"
INK = "#1f2933"
CYCLE = (SELECTED, TASK, "#15803d", "#7c3aed", "#b45309", "#0e7490")
"""Of lines whose names say nothing about their colour."""
LABELLED = 1_000
"""Maximum number of task examples with their texts in the plot of coverage."""
VALUE_LENGTH = 28
"""Maximum number of characters of a payload value beside its bars."""
ALPHA = Axis("alpha (alignment)")


def path_sizes(curve: PathCurve) -> Plot:
    """Support and effective size over alpha."""
    alphas, chosen = [point.alpha for point in curve.points], curve.chosen
    return Plot(
        (
            Series("support", "line", alphas, [p.support for p in curve.points], SELECTED),
            Series(
                *("effective size", "line", alphas, [p.effective_size for p in curve.points]),
                colour=TASK,
                dashed=True,
            ),
            _point(chosen.alpha, chosen.support, SELECTED),
            _point(chosen.alpha, chosen.effective_size, TASK),
        ),
        ALPHA,
        Axis("candidates", "log"),
        _marked(chosen.alpha),
    )


def path_cost(curve: PathCurve) -> Plot:
    """Transport cost over alpha."""
    alphas, chosen = [point.alpha for point in curve.points], curve.chosen
    costs = [point.transport_cost for point in curve.points]
    return Plot(
        (
            Series("transport cost", "line", alphas, costs, INK),
            _point(chosen.alpha, chosen.transport_cost, INK),
        ),
        ALPHA,
        Axis("mean distance"),
        _marked(chosen.alpha),
    )


def curve_lines(curves: Curves) -> Plot:
    """Lines by which a strategy has chosen something, with the points that it chose."""
    lines = [
        Series(name, "line", *_columns(points), colour=CYCLE[k % len(CYCLE)])
        for k, (name, points) in enumerate(curves.lines.items())
    ]
    chosen = Series("chosen", "points", *_columns([*curves.chosen.values()]), colour=INK, size=5)
    return Plot((*lines, chosen), Axis(curves.across), Axis(curves.up))


def distance_bars(histogram: DistanceHistogram, name: str, scale: float | None) -> Plot:
    """Distances to the nearest task example, pool against selection, and the yardstick."""
    edges = histogram.edges
    series = [
        Series(title, "steps", edges, [*shares.tolist(), 0.0], colour)
        for title, shares, colour in (
            ("pool (sample)", histogram.pool, POOL),
            (name, histogram.selected, SELECTED),
        )
    ]
    marks = () if scale is None else (Mark(scale, "examples to each other"),)
    across = Axis("distance to the nearest task example")
    return Plot(tuple(series), across, Axis("share", "share", zero=True), marks)


def point_scatter(points: PointMap, name: str) -> Plot:
    """The map of pool, task and selection; their texts are shown under the pointer."""
    series = (
        _layer(points.pool, "pool", POOL),
        _layer(points.selected, name, SELECTED),
        _layer(points.examples, "task examples", TASK, crosses=True),
    )
    return Plot(series, Axis(form="hidden"), Axis(form="hidden"), equal=True)


def coverage_lines(
    worst_first: IntArray, distances: Mapping[str, FloatArray], texts: Sequence[str]
) -> Plot:
    """Two distances of every task example by their names, the first as a line, worst first."""
    (name, line), (other, points) = distances.items()
    ranks = list(range(1, len(worst_first) + 1))
    labels = [
        label(
            texts[example] if rank < LABELLED else "",
            f"task example {example}, {name} {line[example]:.3f}",
        )
        for rank, example in enumerate(worst_first.tolist())
    ]
    return Plot(
        (
            Series(name, "line", ranks, line[worst_first], SELECTED, size=2, labels=labels),
            Series(other, "points", ranks, points[worst_first], TASK, size=2),
        ),
        Axis("task examples, worst served first"),
        Axis("distance", zero=True),
    )


def share_bars(shares: Shares, name: str) -> Plot:
    """Shares of the values of a field in the pool, in p if there is one, and in the selection."""
    rows, places = shares.rows, list(range(len(shares.rows)))
    p = [row.probability for row in rows if row.probability is not None]
    series = [
        Series(title, "bars", places, values, colour)
        for title, values, colour in (
            ("pool", [row.pool for row in rows], POOL),
            *([("p", p, SOFT)] if p else []),
            (name, [row.selected for row in rows], SELECTED),
        )
    ]
    names = tuple(label(row.value[:VALUE_LENGTH]) for row in rows)
    return Plot(tuple(series), Axis("share", "share", zero=True), Axis(form="names", names=names))


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _point(x: float, y: float, colour: str) -> Series:
    return Series("", "points", [x], [y], colour, size=5)


def _marked(alpha: float) -> tuple[Mark, ...]:
    return (Mark(alpha, f"alpha {alpha:.4g}"),)


def _layer(layer: Layer, name: str, colour: str, *, crosses: bool = False) -> Series:
    shown = len(layer.labels)
    count = f"{shown:,}" if shown == layer.total else f"{shown:,} of {layer.total:,}"
    return Series(
        f"{name} ({count})",
        "crosses" if crosses else "points",
        rounded(layer.places[:, 0]),
        rounded(layer.places[:, 1]),
        colour,
        size=5 if crosses else 2.5,
        labels=layer.labels,
    )
