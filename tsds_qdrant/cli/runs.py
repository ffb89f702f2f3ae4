"""``tsds-qdrant runs`` and ``tsds-qdrant show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsds_qdrant.cli.options import JsonOption
from tsds_qdrant.cli.terminal import print_json, print_table

StateArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The run's state file.")]


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
    from tsds_qdrant.runs.run import load_run
    from tsds_qdrant.runs.state import RunState

    opened = RunState(state)
    run, arrays, _ = load_run(opened)
    facts = {
        "collection": f"{run.collection['name']} in {run.collection['location']}",
        "queries": f"{len(arrays['queries'])} from {run.queries.get('source', 'the library')}",
        "sizes": ", ".join(map(str, run.sizes)),
        "alpha": run.settings.alpha if run.settings.alpha is not None else "by the size",
        "cost_scale": run.cost_scale,
        "bandwidth": float(arrays["bandwidth"][0]),
        "support": len(run.drawn.keys),
        "changes": f"by {run.mark.way}"
        + (f" {run.mark.field_name}" if run.mark.way == "field" else "")
        + f", blind to {run.mark.blind_to}",
        "runs": len(opened.runs()),
    }
    if run.tagging:
        facts["write_back"] = f"as tsds.{run.tagging.name}, run {run.tagging.run}"
    if as_json:
        print_json(facts)
        return
    for name, fact in facts.items():
        typer.echo(f"{name:>12}: {fact}")
