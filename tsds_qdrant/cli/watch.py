"""``tsds-qdrant watch``."""

from __future__ import annotations

import json
import signal
import threading
import time

import typer

from tsds_qdrant.cli.commands import ConfigOption
from tsds_qdrant.cli.flags import taking
from tsds_qdrant.cli.mirrored import MovedOrMirror
from tsds_qdrant.cli.options import StateArgument
from tsds_qdrant.cli.outputs import check_distinct
from tsds_qdrant.cli.terminal import say
from tsds_qdrant.errors import SettingsError, TsdsError
from tsds_qdrant.runs.settings import WatchSettings


@taking(WatchSettings, MovedOrMirror, also={"config": ConfigOption})
def watch(
    state: StateArgument,
    settings: WatchSettings,
    moved: MovedOrMirror,
) -> None:
    """Reselect whenever the collection has changed; one JSON event a line on stdout.

    Ends cleanly on Ctrl-C and SIGTERM (at once on a second Ctrl-C), and goes on where it was when
    it is started again. A server that is away is tried again with growing pauses. The command of
    --on-change runs where what is selected has changed (ids, order, probabilities or payloads),
    and not where candidates came or left without that.

    \b
    Example:
        tsds-qdrant watch task.run --every 60s --out selected.jsonl
        tsds-qdrant watch task.run --once --on-change 'make train'
        tsds-qdrant watch task.run --mirror ./mirror --out selected.jsonl
    """
    from tsds_qdrant.files.outputs import check_rows_path, check_writable
    from tsds_qdrant.files.streams import is_stream
    from tsds_qdrant.runs.state import RunState
    from tsds_qdrant.runs.vitals import FAILED, failure_facts, utc
    from tsds_qdrant.runs.watch import watch as watch_run

    if settings.out:
        if is_stream(settings.out):
            raise SettingsError(
                f"--out {settings.out} is no file, and a watch replaces its file whenever the "
                f"selection changes; name one"
            )
        check_rows_path(settings.out)
    vitals = [path for path in (settings.health, settings.metrics) if path]
    for path in vitals:
        if is_stream(path):
            raise SettingsError(
                f"'{path}' is no file that every check may replace; name another for --health and "
                f"--metrics"
            )
        check_writable(path)
    check_distinct([*vitals, *([settings.out] if settings.out else [])], str(state), "the run")
    stop = threading.Event()

    def end(number: int, _: object) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        watching = watch_run(
            RunState(state), settings, stop, **moved.where, mirrored=moved.mirrored
        )
        for event in watching:
            typer.echo(json.dumps(event))
            if code := event.get("on_change"):
                say(f"the command of --on-change ended with code {code}: {settings.on_change}")
    except BrokenPipeError:
        raise
    except (TsdsError, OSError) as error:
        typer.echo(json.dumps({"time": utc(time.time()), "event": FAILED, **failure_facts(error)}))
        raise
