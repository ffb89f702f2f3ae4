"""Sections around a plot: path, distances, map, shares."""

from __future__ import annotations

from tsds_qdrant.report import plots
from tsds_qdrant.report.figures import ReportFigures
from tsds_qdrant.report.markup import tag
from tsds_qdrant.report.section import Section, chosen_name, plot_place
from tsds_qdrant.report.shares import Shares
from tsds_qdrant.report.tables import Column, table, text_cell
from tsds_qdrant.report.transport import TransportFigures


def path_section(transport: TransportFigures) -> Section:
    """What other alphas would have given."""
    curve, title = transport.curve, "What other alphas would have given"
    if curve is None:
        why = "The regulariser tv has no path to draw: its solution follows from a radius alone."
        return Section("path", title, (tag("p", why),))
    lowest = min((point.alpha for point in curve.points), default=curve.chosen.alpha)
    said = tag(
        "p",
        "Alpha weighs nearness to the task (towards 1) against diversity (towards 0). Support is "
        "how many candidates have a share p of the task; the effective size, how many even shares "
        "would be as spread. The dashed line is the alpha of this selection, "
        f"{curve.chosen.alpha:.4g}; the neighbours fetched for it show the path down to alpha "
        f"{lowest:.4g}.",
        "" if curve.reached else " This selection itself lies beyond that.",
    )
    places = tag(
        "div",
        plot_place("path-sizes", "Support and effective size over alpha"),
        plot_place("path-cost", "Transport cost over alpha"),
        class_="pair",
    )
    drawn = {"path-sizes": plots.path_sizes(curve), "path-cost": plots.path_cost(curve)}
    return Section("path", title, (said, places), drawn)


def curve_sections(figures: ReportFigures) -> list[Section]:
    """The curves by which the strategy has chosen something, if there are any."""
    return [
        Section(
            curves.name,
            curves.title,
            (tag("p", curves.said), plot_place(curves.name, curves.title)),
            {curves.name: plots.curve_lines(curves)},
        )
        for curves in figures.selection.evidence.curves()
    ]


def distance_section(figures: ReportFigures) -> Section:
    """Distances to the task, selection against pool."""
    histogram, pool = figures.distances, figures.pool
    sample = "all" if pool.whole else "a seeded sample of"
    lost = len(figures.chosen.rows) - histogram.measured
    said = tag(
        "p",
        f"How far it is to the nearest task example: {sample} {len(pool.records):,} candidates of "
        f"the pool (median {histogram.pool_median:.3f}) against "
        f"{histogram.measured:,} {chosen_name(figures)}{_median(histogram.selected_median)}.",
        f" {lost:,} more are no longer stored." if lost else "",
        f" The sample comes from the first {pool.first:,} ids, as this server cannot draw from "
        "all of them cheaply."
        if pool.first
        else "",
    )
    title = "Distances of the selection against the pool"
    drawn = {"distances": plots.distance_bars(histogram, chosen_name(figures), figures.yardstick)}
    return Section("distances", title, (said, plot_place("distances", title)), drawn)


def map_section(figures: ReportFigures) -> Section:
    """Pool, task and selection in two dimensions."""
    points = figures.map
    said = tag(
        "p",
        f"The two principal axes of these points, fitted to {points.fitted:,} of them, show "
        f"{points.variance:.0%} of their variance: what is near here may lie far apart, so trust "
        "the distances above. Point at one to read it; draw a frame to enlarge a part. The numbers "
        "in the legend say how many are drawn.",
    )
    title = "Map of the pool, the task and the selection"
    drawn = {"map": plots.point_scatter(points, chosen_name(figures))}
    whole = tag("button", "Show all", type="button", class_="whole", hidden=True)
    place = tag("div", whole, plot_place("map", title, tall=True), class_="enlarged")
    return Section("map", title, (said, place), drawn)


def share_section(figures: ReportFigures, shares: Shares) -> Section:
    """Shares by a payload field."""
    with_p = any(row.probability is not None for row in shares.rows)
    source = "counted in the whole pool" if shares.counted else "estimated from the pool's sample"
    said = tag(
        "p",
        "How the values of ",
        tag("b", shares.field),
        f" share the pool ({source}), {'the probabilities p ' if with_p else ''}and the selection.",
    )
    columns = [
        Column("value", "text"),
        Column("pool"),
        *([Column("p")] if with_p else []),
        Column(chosen_name(figures)),
        Column("ratio to the pool"),
    ]
    rows = [
        [
            text_cell(row.value),
            f"{row.pool:.2%}",
            *([] if row.probability is None else [f"{row.probability:.2%}"]),
            f"{row.selected:.2%}",
            f"{row.selected / row.pool:.2f}" if row.pool else "–",
        ]
        for row in shares.rows
    ]
    title = f"Shares by {shares.field}"
    place = plot_place("shares", title, height=110 + 36 * len(rows))
    parts = (said, place, table(columns, rows, label=title))
    return Section(
        "shares", title, parts, {"shares": plots.share_bars(shares, chosen_name(figures))}
    )


def _median(distance: float | None) -> str:
    return "" if distance is None else f" (median {distance:.3f})"
