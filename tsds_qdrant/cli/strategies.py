"""``tsds-qdrant strategies``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from tsds_qdrant.cli.flags import taking
from tsds_qdrant.cli.groups import Where
from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.reached import checked_location
from tsds_qdrant.cli.terminal import print_json, say
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting

if TYPE_CHECKING:
    from tsds_qdrant.planning.strategies import Listing


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


@taking(Place)
def strategies(
    place: Place,
    long: Annotated[
        bool,
        typer.Option("--long", help="Also features, criteria, models, as surveys do."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the strategies to select by: what each needs and costs, and where it was published.

    With --collection also whether that collection has what they need; nothing is written to it.

    \b
    Example:
        tsds-qdrant strategies
        tsds-qdrant strategies --qdrant ./store --collection pool
    """
    from tsds_qdrant.planning.strategies import catalogue

    if not place.collection:
        listings = catalogue()
    elif not place.qdrant:
        raise SettingsError(
            f"it is not said where collection '{place.collection}' is; give --qdrant too"
        )
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
        say("in the terms of the survey arXiv 2406.14115 (trained, passes: of language models)")
        _print_columns(
            {
                "strategy": columns["strategy"],
                "features": [card.features for card in cards],
                "criterion": [card.criterion for card in cards],
                "task-aware": ["yes" if card.task_aware else "no" for card in cards],
                "trained": [str(card.trained_models) for card in cards],
                "passes": [card.passes for card in cards],
            }
        )


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
