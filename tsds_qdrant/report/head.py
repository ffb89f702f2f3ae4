"""The head of the page: what was selected, whether it is any good, and what to mind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tsds_qdrant.report.figures import ReportFigures
from tsds_qdrant.report.markup import Html, tag
from tsds_qdrant.report.numbers import shown
from tsds_qdrant.report.overview import leaves
from tsds_qdrant.strategies.evidence import TransportEvidence


def headline(figures: ReportFigures) -> Html:
    """The title, the verdict and the figures that matter most."""
    told = figures.manifest
    count = len(figures.chosen.rows)
    what = "selected" if figures.chosen.drawn else "with p > 0"
    title = f"{count:,} of {told['candidates']:,} candidates {what}"
    collection, source = told["collection"], _source(told["queries"].get("source"))
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
        *_verdict(figures),
        tag(
            "div",
            *(
                tag("div", tag("b", shown(value)), tag("span", name), class_="tile")
                for value, name in _tiles(figures)
            ),
            class_="tiles",
        ),
        tag("p", *_strategy(figures), class_="note"),
        *(tag("p", warning, class_="warning") for warning in _warnings(figures, values)),
    )


def _source(source: str | Sequence[str] | None) -> str:
    """Where the task examples come from; "" where not known."""
    return source if isinstance(source, str) else ", ".join(source or ())


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


def _verdict(figures: ReportFigures) -> Iterator[Html]:
    """How near the selection is to the task, in a sentence and as a bar."""
    verdict = figures.verdict
    if verdict is None:
        return
    sentence = verdict.in_words
    yield tag("p", f"{sentence[0].upper()}{sentence[1:]}.", class_="verdict")
    if verdict.nearer is not None and verdict.count:
        share = f"{verdict.nearer / verdict.count:.1%}"
        bar = tag("span", style=f"width:{share}")
        said = f"{share} of the selection lie nearer to the task than its examples to each other"
        yield tag("div", bar, class_="meter", role="img", aria_label=said)


def _tiles(figures: ReportFigures) -> Iterator[tuple[Any, str]]:
    """The figures that matter most, and what they are called."""
    if figures.yardstick is not None:
        yield figures.yardstick, "task examples to each other"
    yield figures.distances.selected_median, "median distance"
    yield figures.distances.pool_median, "median in the pool"


def _warnings(figures: ReportFigures, values: Mapping[str, Any]) -> Iterator[str]:
    """What a reader must know before the rest."""
    evidence, points = figures.selection.evidence, figures.selection.tasks.points
    if points is not None and points.ids:
        yield f"{points.in_words(figures.selection.queries)}."
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
