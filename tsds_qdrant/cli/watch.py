"""``tsds-qdrant watch``."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from tsds_qdrant.cli.options import AskKeyOption, api_key
from tsds_qdrant.cli.runs import StateArgument


def watch(
    state: StateArgument,
    every: Annotated[
        str, typer.Option("--every", metavar="TIME", help="Pause between checks: 60s, 5m, 1h.")
    ] = "60s",
    once: Annotated[bool, typer.Option("--once", help="End after one check.")] = False,
    max_failures: Annotated[
        int | None,
        typer.Option(
            "--max-failures", min=1, help="Give up after so many failed checks; never if unset."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Replaced with every new selection."),
    ] = None,
    on_change: Annotated[
        str | None,
        typer.Option("--on-change", metavar="CMD", help="Run by the shell after each change."),
    ] = None,
    ask_api_key: AskKeyOption = False,
) -> None:
    """Reselect whenever the collection has changed; one JSON event a line on stdout.

    Ends cleanly on Ctrl-C and SIGTERM, and goes on where it was when it is started again. A
    server that is away is tried again with growing pauses.

    \b
    Example:
        tsds-qdrant watch task.run --every 60s --out selected.jsonl
        tsds-qdrant watch task.run --once --on-change 'make train'
    """
    from tsds_qdrant.files.outputs import check_rows_path
    from tsds_qdrant.runs.state import RunState
    from tsds_qdrant.runs.watch import WatchSettings, seconds_of
    from tsds_qdrant.runs.watch import watch as watch_run

    if out:
        check_rows_path(out)
    settings = WatchSettings(seconds_of(every), once, max_failures, out, on_change)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    for event in watch_run(RunState(state), settings, stop, api_key=api_key(ask_api_key)):
        typer.echo(json.dumps(event))
