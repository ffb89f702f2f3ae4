"""``tsds-qdrant strategies``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from tsds_qdrant.cli.flags import taking
from tsds_qdrant.cli.groups import Where
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.terminal import print_json, print_table, say
from tsds_qdrant.collections.addresses import checked_location
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.planning.budget_settings import amount
from tsds_qdrant.planning.efficiency import METRICS, Metric, metric_of
from tsds_qdrant.settings.fields import changed, setting

if TYPE_CHECKING:
    from tsds_qdrant.planning.strategies import Listing

STAGES = {"features": "1 features", "criterion": "2 criterion"}
TERMS = {
    "task_aware": "task aware",
    "trained_models": "trained",
    "passes": "passes",
    "steps": "steps",
    "model_free": "model free",
    "dataset_free": "data free",
    "feasibility": "feasible",
}
"""Terms of the survey behind its stages, and the columns that show them."""


@dataclass(frozen=True)
class Place(Where):
    """Where the candidates are

    Attributes:
        qdrant: a directory, or the URL of a server; none for no collection.
        collection: its name there; "" for none.
    """

    qdrant: tuple[str, ...] = setting(
        (),
        "Directory of embedded collections, or URL of a Qdrant server.",
        metavar="PATH|URL",
        repeated=True,
        parse=checked_location,
        envvar="TSDS_QDRANT",
    )
    collection: str = setting("", "Say whether this collection has what they need.", metavar="NAME")

    @property
    def named(self) -> bool:
        """Whether a collection is given.

        Raises:
            SettingsError: one is, and not where it is.
        """
        if self.collection and not self.qdrant:
            raise SettingsError(
                f"it is not said where collection '{self.collection}' is; give --qdrant too"
            )
        return bool(self.collection)


@dataclass(frozen=True)
class Scores:
    """After training

    Attributes:
        scores: a file of them.
        metric: what they are.
        full_score: that of training on everything.
        candidates: N, by which sizes become shares.
    """

    scores: str | None = setting(
        None,
        "Scores of trainings: columns method, share or n, score; a row of the method full.",
        metavar="FILE",
    )
    metric: Metric = setting(
        "other-benchmark",
        f"What the scores are: {', '.join(METRICS)}.",
        metavar="NAME",
        parse=metric_of,
    )
    full_score: float | None = setting(
        None, "Score of training on everything, if no row says it.", metavar="X", parse=amount
    )
    candidates: float | None = setting(
        None, "Size of the pool, if no row of the method full says it.", metavar="N", parse=amount
    )

    def __post_init__(self) -> None:
        names = [name.replace("_", "-") for name in changed(self)]
        if self.scores is None and names:
            raise SettingsError(
                f"--{' and --'.join(names)} cannot be used without scores; name their file with "
                f"--scores"
            )


@taking(Place, Scores)
def strategies(
    place: Place,
    after: Scores,
    long: Annotated[
        bool,
        typer.Option("--long", help="Also features, criteria, models, as surveys do."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the strategies to select by: what each needs and costs, and where it was published.

    With --collection also whether that collection has what they need; nothing is written to it.
    With --scores, what was measured after training, in the survey's figure: PIR is the score over
    that of training on everything, SDF the selected share, gap how far PIR lies above its base
    line.

    \b
    Example:
        tsds-qdrant strategies
        tsds-qdrant strategies --scores scores.csv
        tsds-qdrant strategies --qdrant ./store --collection pool
    """
    from tsds_qdrant.planning.strategies import catalogue

    if after.scores is not None:
        _print_efficiency(after, place, as_json=as_json)
        return
    if not place.named:
        listings = catalogue()
    else:
        with place.open() as opened:
            listings = catalogue(opened)
    if as_json:
        print_json([listing.as_dict() for listing in listings])
        return
    _print_listings(listings, long=long)
    if not place.collection:
        say("\nname a collection (--qdrant, --collection) to see whether it has what they need")


def _print_listings(listings: list[Listing], *, long: bool) -> None:
    columns = {"strategy": [listing.name for listing in listings]}
    columns["needs"] = [", ".join(listing.needs) or "nothing" for listing in listings]
    if listings[0].lacking is not None:
        columns["has it"] = ["; ".join(listing.lacking or ()) or "yes" for listing in listings]
    cards = [listing.card for listing in listings]
    columns["cost"] = [card.cost for card in cards]
    columns["paper"] = [card.paper or "-" for card in cards]
    _print_columns(columns)
    if long:
        typer.echo()
        say(
            "in the terms of the survey arXiv 2406.14115: its first two stages (the third, "
            "evaluation: --scores); trained, passes: of language models; feasible: rank by the "
            "survey's simplicity and flexibility, 1 the best"
        )
        terms = [listing.survey for listing in listings]
        for names in (STAGES, TERMS):
            shown = {name: [_spelled(one[key]) for one in terms] for key, name in names.items()}
            _print_columns({"strategy": columns["strategy"], **shown})
            typer.echo()


def _print_efficiency(after: Scores, place: Place, *, as_json: bool) -> None:
    from tsds_qdrant.planning.budget_measured import read_scores
    from tsds_qdrant.planning.efficiency_scores import efficiencies

    assert after.scores is not None
    candidates = None if after.candidates is None else int(after.candidates)
    if candidates is None and place.named:
        with place.open() as opened:
            candidates = opened.count()
    scores = read_scores(after.scores, candidates)
    found = efficiencies(scores, after.scores, metric=after.metric, full_score=after.full_score)
    if as_json:
        print_json(found.as_dict())
        return
    print_table(
        ("strategy", "SDF", "PIR", "gap", "distance", "of", "among published methods"),
        [
            (
                *(one.strategy, f"{one.share:.4g}", f"{one.pir:.4f}", f"{one.gap:+.4f}"),
                *(f"{one.distance:+.4f}", str(one.ratios), one.beside),
            )
            for one in found.rows
        ],
    )
    for warning in found.warnings:
        say(f"warning: {warning}")


def _spelled(term: object) -> str:
    if isinstance(term, bool):
        return "yes" if term else "no"
    if isinstance(term, float):
        return f"{term:g}"
    return "?" if term in (None, "") else str(term)


def _print_columns(columns: dict[str, list[str]]) -> None:
    """Print a table on stdout whose texts wrap within the width of the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, no_wrap=name == "strategy", overflow="fold")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
