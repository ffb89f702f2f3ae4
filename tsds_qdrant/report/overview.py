"""The head of the page and its figures: the manifest, word for word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tsds_qdrant.report.figures import ReportFigures
from tsds_qdrant.report.markup import Html, tag
from tsds_qdrant.report.numbers import figure, shown
from tsds_qdrant.report.tables import Column, table
from tsds_qdrant.strategies.evidence import TransportEvidence

NAMES = {
    "candidates": "candidates in the pool",
    "settings.strategy.name": "strategy",
    "queries.count": "task examples",
    "queries.source": "task examples are from",
    "solution.support": "support: candidates with p > 0",
    "solution.effective_sample_size": "effective sample size, 1 / Σ p²",
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
    "Selection": ("strategy", "queries", "candidates", "samples", "solution"),
    "How it was found": ("search", "accuracy", "seconds"),
    "Settings": ("settings",),
}
REST = "Collection, versions and the rest"
"""The card of whatever else the manifest holds."""
OPEN = 2
"""Number of cards that are open at first."""
TILES = (
    ("solution.alpha", "alpha"),
    ("solution.support", "support"),
    ("solution.effective_sample_size", "effective size"),
    ("solution.transport_cost", "mean distance"),
    ("accuracy.recall", "recall"),
    ("accuracy.recall_limit", "at least, at 95 %"),
)
"""Paths in the manifest of the figures that matter most, as far as it has them, and their names."""
HISTORY = ("number", "time", "kind", "searches", "support", "alpha", "came", "gone")
"""Columns of the history, as far as a run has them."""


def headline(figures: ReportFigures) -> Html:
    """The title, one sentence and the figures that matter most."""
    told = figures.manifest
    count = len(figures.chosen.rows)
    what = "selected" if figures.chosen.drawn else "with p > 0"
    title = f"{count:,} of {told['candidates']:,} candidates {what}"
    collection, source = told["collection"], str(told["queries"].get("source") or "")
    values = dict(leaves(told))
    return tag(
        "header",
        tag("p", "Selection report", class_="kicker"),
        tag("h1", title),
        tag(
            "p",
            f"for {told['queries']['count']:,} task examples",
            *([" of ", tag("b", source)] if source else []),
            ", from collection ",
            tag("b", collection["name"]),
            f" in {collection['location']}",
            *_how_drawn(figures),
            ".",
        ),
        tag("p", *_strategy(figures)),
        tag(
            "div",
            *(
                tag("div", tag("b", shown(value)), tag("span", name), class_="tile")
                for value, name in _tiles(figures, values)
            ),
            class_="tiles",
        ),
        *(tag("p", warning, class_="warning") for warning in _warnings(figures, values)),
    )


def _how_drawn(figures: ReportFigures) -> Iterator[str]:
    """What the title leaves out of the sample."""
    samples, draws = figures.selection.samples, int(figures.chosen.weights.sum())
    if len(samples) > 1:
        yield f"; the largest of {len(samples)} samples"
    if figures.chosen.drawn and draws > len(figures.chosen.rows):
        yield f"; in {draws:,} draws with replacement"


def _strategy(figures: ReportFigures) -> Iterator[str]:
    """The strategy, and its idea."""
    strategy = figures.selection.settings.strategy
    paper = f" ({strategy.card.paper})" if strategy.card.paper else ""
    yield "Strategy "
    yield tag("b", strategy.name)
    yield f": {strategy.card.idea}{paper}."
    if not strategy.card.task_aware:
        yield " The task examples play no part in it; the selection is only compared with them."


def _tiles(figures: ReportFigures, values: Mapping[str, Any]) -> Iterator[tuple[Any, str]]:
    """The figures that matter most, and what they are called."""
    yield from ((values[path], name) for path, name in TILES if path in values)
    if figures.transport is None:
        yield figures.distances.selected_median, "median distance"
        yield figures.distances.pool_median, "median in the pool"
        yield values["search.neighbor_searches"], "searches"


def _warnings(figures: ReportFigures, values: Mapping[str, Any]) -> Iterator[str]:
    """What a reader must know before the rest."""
    evidence = figures.selection.evidence
    if isinstance(evidence, TransportEvidence) and evidence.why_even:
        yield f"The task has no influence here: {evidence.why_even}."
    if isinstance(evidence, TransportEvidence) and evidence.narrow:
        yield f"{evidence.narrow[0].upper()}{evidence.narrow[1:]}."
    if values.get("solution.converged") is False:
        yield "The lists do not reach far enough to prove that this is the optimum of the pool."
    if capped := values.get("search.densities_capped"):
        yield (
            f"{capped:,} densities met the limit of neighbours and are "
            "lower bounds; raise the density limit."
        )


def figures_table(figures: ReportFigures) -> Html:
    """All that the manifest holds, and the history of the run."""
    told = figures.manifest
    shown_before = {part for parts in CARDS.values() for part in parts}
    rest = tuple(part for part in told if part not in shown_before)
    cards = []
    for number, (title, parts) in enumerate({**CARDS, REST: rest}.items()):
        rows = [
            tag(
                "tr",
                tag("th", _name(path), scope="row"),
                tag("td", figure(value), data_figure=path),
            )
            for path, value in leaves({part: told[part] for part in parts if part in told})
        ]
        body = tag("table", tag("tbody", *rows), class_="facts")
        cards.append(tag("details", tag("summary", title), body, class_="card", open=number < OPEN))
    return tag("div", tag("div", *cards, class_="cards"), *_history(figures.history))


def leaves(part: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths and values of ``part``; a list, and a filter, is one value."""
    for key, value in part.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and path != "settings.search.where":
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def _name(path: str) -> str:
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
