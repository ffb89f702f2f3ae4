"""``tsds-qdrant watch``."""

from __future__ import annotations

import json
import signal
import threading

import typer

from tsds_qdrant.cli.commands import ConfigOption
from tsds_qdrant.cli.flags import taking
from tsds_qdrant.cli.options import AskKeyOption, StateArgument, api_key
from tsds_qdrant.runs.settings import WatchSettings


@taking(WatchSettings, also={"config": ConfigOption})
def watch(state: StateArgument, settings: WatchSettings, ask_api_key: AskKeyOption = False) -> None:
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
    from tsds_qdrant.runs.watch import watch as watch_run

    if settings.out:
        check_rows_path(settings.out)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    for event in watch_run(RunState(state), settings, stop, api_key=api_key(ask_api_key)):
        typer.echo(json.dumps(event))
