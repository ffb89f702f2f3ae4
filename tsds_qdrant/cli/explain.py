"""``tsds-qdrant explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from tsds_qdrant.cli.flags import only, taking
from tsds_qdrant.cli.options import JsonOption, StateArgument
from tsds_qdrant.cli.reached import Moved
from tsds_qdrant.cli.terminal import print_json, progress_bars, say
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.task.settings import Reading


@taking(Moved, only(Reading, "text_field", "template"))
def explain(
    state: StateArgument,
    moved: Moved,
    reading: Reading,
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="Id of a point, or its beginning; repeatable."),
    ] = None,
    ranks: Annotated[
        list[int] | None,
        typer.Option("--rank", metavar="N", help="Rank in the selection, from 0; repeatable."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", metavar="WORDS", help="Some words of the candidate."),
    ] = None,
    searches: Annotated[
        int,
        typer.Option(
            "--searches",
            min=0,
            metavar="N",
            help="Make at most about N searches for the alpha at which it would enter (tsds).",
        ),
    ] = 2_000,
    as_json: JsonOption = False,
) -> None:
    """Say why a point is in a run's selection, or is not.

    Shows its rank in the draw and what the run's strategy went by; for tsds: which task examples
    send it mass, what it shares with near-duplicates, and the alpha at which it would enter or
    leave. All of it is about the run's last selection; nothing is changed. Where some of the points
    are no longer stored the others are explained, and the exit code is 1.

    \b
    Example:
        tsds-qdrant explain task.run --id 5b1d9a1c-0000-4000-8000-000000000000
        tsds-qdrant explain task.run --rank 3
        tsds-qdrant explain task.run --text "allowed domains"
        tsds-qdrant explain task.run --id 17 --id 18 --json
    """
    from tsds_qdrant.cli.explained import lines_of
    from tsds_qdrant.pool.fields import check_template
    from tsds_qdrant.runs.explain import explain as explain_points
    from tsds_qdrant.runs.naming import named_points
    from tsds_qdrant.runs.reopen import reopen

    if not (ids or ranks or text):
        raise SettingsError("no point is named; give --id, --rank or --text")
    with (
        moved.open(state) as collection,
        progress_bars(quiet=as_json) as progress,
    ):
        way = reading.text_template()
        check_template(collection, way)
        run = reopen(state, collection, progress=progress)
        named = named_points(run, ids or (), ranks or (), text, way)
        explanation = explain_points(run, named, searches=searches, template=way)
    if as_json:
        print_json(explanation.as_dict())
    else:
        for line in lines_of(explanation):
            typer.echo(line)
    for sentence in explanation.missing.values():
        say(f"error: {sentence}")
    if explanation.missing:
        raise typer.Exit(InputError.exit_code)
