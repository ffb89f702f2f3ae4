"""The plots of a report, made with plotly (optional)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from tsds_qdrant.arrays import FloatArray, IntArray
from tsds_qdrant.errors import MissingPackageError
from tsds_qdrant.report.curve import PathCurve
from tsds_qdrant.report.distances import DistanceHistogram
from tsds_qdrant.report.point_map import Layer, PointMap
from tsds_qdrant.report.shares import Shares
from tsds_qdrant.report.texts import label
from tsds_qdrant.strategies.curves import Curves

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

POOL, TASK, SELECTED = "#9aa5b1", "#c2410c", "#1d4ed8"
INK, GRID = "#1f2933", "#e4e7eb"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
LABELLED = 1_000
"""Maximum number of task examples with their texts in the plot of coverage."""
VALUE_LENGTH = 28
"""Maximum number of characters of a payload value beside its bars."""


def check_plotly() -> None:
    """Check, before long work, that plots can be made.

    Raises:
        MissingPackageError: plotly is not installed.
    """
    if find_spec("plotly") is None:
        raise MissingPackageError('a report needs plotly; run: pip install "tsds-qdrant[report]"')


def path_sizes(curve: PathCurve) -> Figure:
    """Support and effective sample size over alpha."""
    alphas = [point.alpha for point in curve.points]
    figure = _figure("alpha (alignment)", "candidates")
    figure.add_scatter(
        x=alphas, y=[p.support for p in curve.points], name="support", line_color=SELECTED
    )
    figure.add_scatter(
        x=alphas,
        y=[p.effective_size for p in curve.points],
        name="effective sample size",
        line={"color": TASK, "dash": "dot"},
    )
    sizes = [curve.chosen.support, curve.chosen.effective_size]
    figure.update_yaxes(type="log", tickvals=_log_ticks(), tickformat=",d")
    return _marked(figure, curve.chosen.alpha, sizes, [SELECTED, TASK])


def path_cost(curve: PathCurve) -> Figure:
    """Transport cost over alpha."""
    figure = _figure("alpha (alignment)", "mean distance")
    figure.add_scatter(
        x=[point.alpha for point in curve.points],
        y=[point.transport_cost for point in curve.points],
        name="transport cost",
        line_color=INK,
        showlegend=False,
    )
    return _marked(figure, curve.chosen.alpha, [curve.chosen.transport_cost], [INK])


def curve_lines(curves: Curves) -> Figure:
    """Lines by which a strategy has chosen something, with the points that it chose."""
    figure = _figure(curves.across, curves.up)
    for name, points in curves.lines.items():
        figure.add_scatter(x=[x for x, _ in points], y=[y for _, y in points], name=name)
    figure.add_scatter(
        x=[x for x, _ in curves.chosen.values()],
        y=[y for _, y in curves.chosen.values()],
        mode="markers",
        marker={"color": INK, "size": 9, "line": {"color": "white", "width": 1}},
        name="chosen",
    )
    return figure


def distance_bars(histogram: DistanceHistogram, name: str) -> Figure:
    """Distances to the nearest task example, pool against selection."""
    edges = histogram.edges
    figure = _figure("distance to the nearest task example", "share")
    for title, shares, colour in (
        ("pool (sample)", histogram.pool, POOL),
        (name, histogram.selected, SELECTED),
    ):
        figure.add_bar(
            x=(edges[1:] + edges[:-1]) / 2,
            y=shares,
            width=np.diff(edges),
            name=title,
            marker={"color": colour, "opacity": 0.65, "line_width": 0},
            hovertemplate="%{x:.3f}: %{y:.1%}",
        )
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    return figure


def point_scatter(points: PointMap, name: str) -> Figure:
    """The map of pool, task and selection; their texts are shown under the pointer."""
    figure = _figure(None, None)
    figure.add_trace(_layer(points.pool, "pool", color=POOL, size=4, opacity=0.5))
    figure.add_trace(_layer(points.selected, name, color=SELECTED, size=5, opacity=0.75))
    style = {"color": TASK, "size": 8, "symbol": "x-thin", "line_color": TASK, "line_width": 2}
    figure.add_trace(_layer(points.examples, "task examples", **style))
    hidden = {"showticklabels": False, "showgrid": False, "mirror": True, "linecolor": GRID}
    figure.update_xaxes(**hidden)
    figure.update_yaxes(**hidden, scaleanchor="x")
    figure.update_layout(
        hovermode="closest", margin={"l": 8, "r": 8, "b": 8}, legend_itemsizing="constant"
    )
    return figure


def coverage_lines(
    worst_first: IntArray, distances: Mapping[str, FloatArray], texts: Sequence[str]
) -> Figure:
    """Two distances of every task example by their names, the first as a line, worst first."""
    (name, line), (other, points) = distances.items()
    ranks = np.arange(1, len(worst_first) + 1)
    figure = _figure("task examples, worst served first", "distance")
    hover = [
        label(
            texts[example] if rank < LABELLED else "",
            f"task example {example}, {name} {line[example]:.3f}",
        )
        for rank, example in enumerate(worst_first.tolist())
    ]
    figure.add_scatter(
        x=ranks,
        y=line[worst_first],
        mode="lines+markers",
        name=name,
        line_color=SELECTED,
        marker_size=4,
        hovertext=hover,
        hoverinfo="text",
    )
    figure.add_scatter(
        x=ranks,
        y=points[worst_first],
        mode="markers",
        name=other,
        marker={"color": TASK, "size": 4},
        hovertemplate=f"{other} %{{y:.3f}}<extra></extra>",
    )
    figure.update_xaxes(range=[0.5 - 0.01 * len(ranks), 0.5 + 1.01 * len(ranks)])
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(hovermode="closest")
    return figure


def share_bars(shares: Shares, name: str) -> Figure:
    """Shares of the values of a field in the pool, in p if there is one, and in the selection."""
    rows = shares.rows[::-1]
    p = [row.probability for row in rows if row.probability is not None]
    figure = _figure("share", None)
    for title, values, colour in (
        (name, [row.selected for row in rows], SELECTED),
        *([("p", p, "#93b4f5")] if p else []),
        ("pool", [row.pool for row in rows], POOL),
    ):
        figure.add_bar(
            y=list(range(len(rows))),
            x=values,
            name=title,
            orientation="h",
            marker_color=colour,
            hovertemplate="%{x:.2%}",
        )
    names = [label(row.value[:VALUE_LENGTH]) for row in rows]
    figure.update_yaxes(tickmode="array", tickvals=list(range(len(rows))), ticktext=names)
    figure.update_xaxes(tickformat=".0%", rangemode="tozero")
    figure.update_layout(bargap=0.25, legend_traceorder="reversed", hovermode="closest")
    return figure


def _figure(x: str | None, y: str | None) -> Figure:
    from plotly.graph_objects import Figure

    axis: dict[str, Any] = {
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": POOL,
        "automargin": True,
        "title_standoff": 8,
    }
    return Figure(
        layout={
            "template": "none",
            "autosize": True,
            "font": {"family": FONT, "size": 13, "color": INK},
            "margin": {"l": 48, "r": 12, "t": 36, "b": 40},
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": 1.02,
                "yanchor": "bottom",
                "bgcolor": "rgba(0, 0, 0, 0)",
            },
            "hoverlabel": {"align": "left", "bgcolor": "white", "font_color": INK},
            "dragmode": False,
            "xaxis": {**axis, "title_text": x},
            "yaxis": {**axis, "title_text": y},
        }
    )


def _marked(figure: Figure, alpha: float, values: list[float], colours: list[str]) -> Figure:
    """Mark the chosen ``alpha`` and the ``values`` that it gives."""
    figure.add_vline(alpha, line={"color": INK, "width": 1, "dash": "dash"})
    figure.add_annotation(
        x=alpha, y=1, yref="paper", text=f"alpha {alpha:.4g}", showarrow=False, yanchor="top",
        xanchor="left" if alpha < 0.5 else "right", xshift=4 if alpha < 0.5 else -4,
        bgcolor="white",
    )  # fmt: skip
    figure.add_scatter(
        x=[alpha] * len(values),
        y=values,
        mode="markers",
        marker={"color": colours, "size": 9, "line": {"color": "white", "width": 1}},
        name="chosen",
        showlegend=False,
    )
    return figure


def _log_ticks() -> list[float]:
    """1, 2, 5, 10, .. as far as pools go."""
    return [digit * 10.0**power for power in range(10) for digit in (1, 2, 5)]


def _layer(layer: Layer, name: str, **marker: Any) -> Any:
    from plotly.graph_objects import Scatter

    shown = len(layer.labels)
    count = f"{shown:,}" if shown == layer.total else f"{shown:,} of {layer.total:,}"
    return Scatter(
        x=layer.places[:, 0].astype(np.float32),
        y=layer.places[:, 1].astype(np.float32),
        mode="markers",
        name=f"{name} ({count})",
        marker=marker,
        hovertext=layer.labels,
        hoverinfo="text",
    )
