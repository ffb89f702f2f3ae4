"""The figures of the engine: the manifest, word for word, and the history of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tsds_qdrant.report.figures import ReportFigures
from tsds_qdrant.report.markup import Html, tag
from tsds_qdrant.report.numbers import figure, shown
from tsds_qdrant.report.section import Section
from tsds_qdrant.report.tables import Column, table

NAMES = {
    "candidates": "candidates in the pool",
    "settings.strategy.name": "strategy",
    "queries.count": "task examples",
    "queries.source": "task examples are from",
    "yardstick.distance": "distance of the task examples from each other (median)",
    "yardstick.examples": "different task examples",
    "yardstick.reason": "why there is no such distance",
    "solution.support": "support: candidates with a share p of the task, p > 0",
    "solution.effective_sample_size": "effective size: even shares that are as spread, 1 / Σ p²",
    "solution.alpha": "alpha: alignment (1) against diversity (0)",
    "solution.cost_scale": "C: unit of distance",
    "solution.bandwidth": "h: how near a near-duplicate is",
    "solution.regime": "regime",
    "solution.threshold": "threshold s",
    "solution.transport_cost": "transport cost: mean distance",
    "solution.primal_objective": "objective of this solution (primal)",
    "solution.dual_objective": "lower bound of the optimum (dual)",
    "solution.converged": "converged: no unseen candidate could change it",
    "solution.total_weight": "total weight, for Z",
    "search.exact": "every search a scan",
    "search.why": "because",
    "search.ef": "ef of approximate searches",
    "search.neighbor_searches": "searches for neighbours",
    "search.density_searches": "searches for densities",
    "search.probe_searches": "searches to measure recall",
    "search.kept_searches": "answers kept by an interrupted attempt",
    "search.rows_scanned": "pairs of a search and a point that scans compared",
    "search.scanned_from": "depth from which lists are scans",
    "search.hits": "hits received",
    "search.seconds": "seconds spent searching",
    "search.densities_needed": "densities needed",
    "search.densities_capped": "densities that met their limit",
    "accuracy.recall": "recall, measured",
    "accuracy.density_error": "mean relative error of densities",
    "accuracy.variation_bound": "total variation of p, by the errors met",
    "accuracy.asked": "total variation of p asked for",
    "accuracy.shortfall": "why it is not known",
    "accuracy.lists_variation": "of it by lists",
    "accuracy.densities_variation": "of it by densities",
    "accuracy.variation_limit": "limit on the total variation of p, at 95 %",
    "accuracy.recall_limit": "lower limit on the recall of a list, at 95 %",
    "accuracy.lists_missed": "lists that lacked something",
    "accuracy.lists_limit": "limit on the share of such lists, at 95 %",
    "accuracy.densities_limit": "limit on the share of wrong densities, at 95 %",
    "accuracy.lists": "lists repeated exactly",
    "accuracy.densities": "densities repeated exactly",
    "accuracy.searches_since": "searches of repairs since then",
    "seconds.search": "seconds to find candidates",
    "seconds.sample": "seconds to draw",
    "seconds.measure": "seconds to measure accuracy or distances",
}
CARDS = {
    "Selection": ("strategy", "queries", "candidates", "samples", "yardstick", "solution"),
    "How it was found": ("search", "accuracy", "seconds"),
    "Settings": ("settings",),
}
REST = "Collection, versions and the rest"
"""The card of whatever else the manifest holds."""
HISTORY = ("number", "time", "kind", "searches", "support", "alpha", "came", "gone")
"""Columns of the history, as far as a run has them."""


def figures_section(figures: ReportFigures) -> Section:
    """All that the manifest holds, folded, and the history of the run."""
    told = figures.manifest
    shown_before = {part for parts in CARDS.values() for part in parts}
    rest = tuple(part for part in told if part not in shown_before)
    cards = []
    for title, parts in {**CARDS, REST: rest}.items():
        rows = [
            tag(
                "tr",
                tag("th", _name(path), scope="row"),
                tag("td", figure(value), data_figure=path),
            )
            for path, value in leaves({part: told[part] for part in parts if part in told})
        ]
        body = tag("table", tag("tbody", *rows), class_="facts")
        cards.append(tag("div", tag("h3", title), body, class_="card"))
    folded = tag(
        "details",
        tag("summary", "Settings, solution, searches, versions: the manifest, word for word"),
        tag("div", *cards, class_="cards"),
        class_="folded",
    )
    return Section("figures", "How it was made", (folded, *_history(figures.history)))


def leaves(part: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths and values of ``part``; a list, and a filter, is one value."""
    for key, value in part.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and path != "settings.search.where":
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def _name(path: str) -> str:
    if path.startswith("yardstick.nearer."):
        return f"sample of {int(path.rpartition('.')[2]):,}: nearer than that"
    if path.startswith("samples."):
        _, size, what = path.split(".", 2)
        kind = "different candidates" if what == "distinct" else what.replace("_", " ")
        return f"sample of {int(size):,}: {kind}"
    return NAMES.get(path) or path.rpartition(".")[2].replace("_", " ")


def _history(history: Sequence[Mapping[str, Any]]) -> Iterator[Html]:
    if not history:
        return
    yield tag("h3", "History of this run")
    yield tag(
        "p",
        "What the run has done so far, and how many searches it took; this report itself "
        "searches nothing.",
    )
    kinds = {"time": "word", "kind": "word"}
    known = [name for name in HISTORY if any(name in run for run in history)]
    columns = [Column(name, kinds.get(name, "number")) for name in known]  # type: ignore[arg-type]
    rows = [[shown(run.get(name)) for name in known] for run in history]
    yield table(columns, rows, label="History of this run")
