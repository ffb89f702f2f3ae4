"""``tsds-qdrant explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from tsds_qdrant.cli.options import AskKeyOption, JsonOption, api_key
from tsds_qdrant.cli.runs import StateArgument
from tsds_qdrant.cli.terminal import print_json, progress_bars


def explain(
    state: StateArgument,
    ids: Annotated[
        list[str], typer.Option("--id", metavar="ID", help="Which point; may be given again.")
    ],
    searches: Annotated[
        int,
        typer.Option(
            "--searches",
            min=0,
            metavar="N",
            help="Spend so many on the exact alpha at which a point would enter.",
        ),
    ] = 2_000,
    ask_api_key: AskKeyOption = False,
    as_json: JsonOption = False,
) -> None:
    """Tell why a point is in a run's selection, or is not.

    Which task examples ask for it, what it shares with near-duplicates, its rank in the draw, and
    the alpha at which it would enter or leave. Of the run's last selection; nothing is changed.

    \b
    Example:
        tsds-qdrant explain task.run --id 5b1d9a1c-0000-4000-8000-000000000000
        tsds-qdrant explain task.run --id 17 --id 18 --json
    """
    from tsds_qdrant.cli.explained import lines_of
    from tsds_qdrant.collections import open_collection
    from tsds_qdrant.runs.explain import explain as explain_points
    from tsds_qdrant.runs.reopen import reopen
    from tsds_qdrant.runs.run import load_run
    from tsds_qdrant.runs.state import RunState

    run_state = RunState(state)
    place = load_run(run_state)[0].collection
    opened = open_collection(
        place["location"], place["name"], vector=place["vector"], api_key=api_key(ask_api_key)
    )
    try:
        with progress_bars(quiet=as_json) as progress:
            reopened = reopen(run_state, opened, progress=progress)
            named = [int(text) if text.isdecimal() else text for text in ids]
            explanation = explain_points(reopened, named, searches=searches)
    finally:
        opened.close()
    if as_json:
        print_json(explanation.as_dict())
        return
    for line in lines_of(explanation):
        typer.echo(line)
