"""``tsds-qdrant runs`` and ``tsds-qdrant show``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    _print_runs(history)


def show(state: StateArgument, as_json: JsonOption = False) -> None:
    """Show what a run is: its collection, settings, size, how it finds changes, what it has done.

    \b
    Example:
        tsds-qdrant show task.run
    """
    from tsds_qdrant.runs.facts import facts_of
    from tsds_qdrant.runs.state import RunState

    kept = RunState(state)
    facts, history = facts_of(kept), kept.runs()
    if as_json:
        print_json({**facts, "history": history})
        return
    for name, fact in facts.items():
        typer.echo(f"{name:>12}: {fact}")
    typer.echo()
    _print_runs(history)


def _print_runs(history: Sequence[Mapping[str, Any]]) -> None:
    columns = ("number", "time", "kind", "came", "gone", "searches", "added", "removed", "support")
    print_table(columns, [[str(run.get(name, "")) for name in columns] for run in history])
