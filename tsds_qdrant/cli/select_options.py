"""Options of ``tsds-qdrant select`` alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tsds_qdrant.errors import SettingsError

OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="The selection: .jsonl, .csv (also .gz, .zst), .parquet or .ids.",
    ),
]

SizeOption = Annotated[
    str | None,
    typer.Option("--size", metavar="N[,N..]", help="How many; several give nested samples."),
]

RatioOption = Annotated[
    float | None, typer.Option("--ratio", metavar="R", help="How many, as a share of the pool.")
]

ProbabilitiesOption = Annotated[
    Path | None,
    typer.Option(
        "--probabilities", metavar="FILE", help="Every candidate with p > 0, same formats."
    ),
]

AlphaOption = Annotated[
    float | None,
    typer.Option(
        "--alpha",
        metavar="A",
        help="Alignment (1) or diversity (0); by the size if unset.",
    ),
]

SupportOption = Annotated[
    int | None,
    typer.Option("--support", metavar="K", help="Choose alpha so that K candidates have p > 0."),
]

RegularizerOption = Annotated[
    str, typer.Option("--regularizer", metavar="kde|uniform|tv", help="What keeps p diverse.")
]

SamplerOption = Annotated[
    str,
    typer.Option(
        "--sampler", metavar="stable|multinomial|top", help="How the sample is drawn from p."
    ),
]

StateOption = Annotated[
    Path | None,
    typer.Option("--state", metavar="RUN", help="Keep the run here, for reselect and watch."),
]

SinceFieldOption = Annotated[
    str | None,
    typer.Option(
        "--since-field", metavar="FIELD", help="Find changes by this growing payload field."
    ),
]

DetectUpdatesOption = Annotated[
    bool,
    typer.Option(
        "--detect-updates", help="Find vectors changed in place; reads all of them each time."
    ),
]

WriteBackOption = Annotated[
    str | None,
    typer.Option(
        "--write-back",
        metavar="NAME",
        help="Tag the selected points in the collection: payload tsds.NAME; other points lose it.",
    ),
]

DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="With --write-back: count only, the collection stays as it is."),
]


def check_outputs(
    tables: Sequence[Path], others: Sequence[Path], queries: str, test_items: Sequence[str]
) -> None:
    """Check, before long work, that every output can be written, and none over another file.

    Args:
        tables: outputs whose suffix names their format.
        others: other outputs.
        queries: where the task examples come from.
        test_items: where test items come from.

    Raises:
        OutputError, SettingsError: one cannot.
    """
    from tsds_qdrant.files.outputs import check_rows_path, check_writable

    for place in tables:
        check_rows_path(place)
    for place in others:
        check_writable(place)
    outputs = [*tables, *others]
    check_distinct(outputs, queries)
    for source in test_items:
        check_distinct(outputs, source, "test items")


def check_distinct(
    outputs: Sequence[Path], source: str, content: str = "the task examples"
) -> None:
    """Check that no output takes the place of another, or of ``source``, which holds ``content``.

    Raises:
        SettingsError: one does.
    """
    places = [output.resolve() for output in outputs]
    for output, place in zip(outputs, places, strict=True):
        if place == Path(source).resolve():
            raise SettingsError(f"'{output}' holds {content}; write to another file")
        if places.count(place) > 1:
            raise SettingsError(f"'{output}' is named for two outputs; rename one of them")
