"""``tsds-qdrant runs`` and ``tsds-qdrant show``."""

from __future__ import annotations

import typer

from tsds_qdrant.cli.options import JsonOption, StateArgument
from tsds_qdrant.cli.terminal import print_json, print_table


def runs(state: StateArgument, as_json: JsonOption = False) -> None:
    """List what a run has done: one line for each selection and reselection.

    \b
    Example:
        tsds-qdrant runs task.run
    """
    from tsds_qdrant.runs.state import RunState

    history = RunState(state).runs()
    if as_json:
        print_json(history)
        return
    columns = ("number", "time", "kind", "came", "gone", "searches", "added", "removed", "support")
    print_table(columns, [[str(run.get(name, "")) for name in columns] for run in history])


def show(state: StateArgument, as_json: JsonOption = False) -> None:
    """Show what a run is: its collection, settings, size and how it finds changes.

    \b
    Example:
        tsds-qdrant show task.run
    """
    from tsds_qdrant.runs.facts import facts_of
    from tsds_qdrant.runs.state import RunState

    facts = facts_of(RunState(state))
    if as_json:
        print_json(facts)
        return
    for name, fact in facts.items():
        typer.echo(f"{name:>12}: {fact}")
