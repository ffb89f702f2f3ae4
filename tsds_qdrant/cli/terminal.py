"""What the terminal shows: progress bars on stderr, tables and JSON on stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import typer

from tsds_qdrant.errors import TsdsError
from tsds_qdrant.progress import Progress, about, notices_to, silent

LINE_EVERY = 30.0
"""Seconds between lines on progress, where there are no bars."""


def say(text: str, *, quiet: bool = False) -> None:
    """Print a message for a person, on stderr; an empty one is none."""
    if text and not quiet:
        typer.echo(text, err=True)


def print_json(value: Any) -> None:
    """Print ``value`` for a machine, on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def wrote(outputs: Sequence[object]) -> str:
    """Say where results went."""
    from tsds_qdrant.files.streams import shown_output

    return "wrote " + ", ".join(shown_output(str(output)) for output in outputs)


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, err: bool = False
) -> None:
    """Print a plain table on stdout, or on stderr, numbers to the right."""
    widths = [
        max(len(column), *(len(row[k]) for row in rows)) if rows else len(column)
        for k, column in enumerate(columns)
    ]
    for row in (columns, ["-" * width for width in widths], *rows):
        cells = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip(), err=err)


@contextmanager
def naming(written: Sequence[object]) -> Iterator[None]:
    """Say which files were written already where what follows fails."""
    try:
        yield
    except (TsdsError, OSError) as error:
        if written and not isinstance(error, BrokenPipeError):
            say(f"{wrote(written)}, before an error")
        raise


class Lines:
    """A progress callback that says a line on stderr now and then, where there is no terminal."""

    def __init__(self) -> None:
        self._said = self._began = time.monotonic()
        self._stage, self._first = "", 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say how far ``stage`` is, if nothing was said for a while."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began, self._first = stage, now, done
        if now - self._said < LINE_EVERY:
            return
        self._said = now
        rate = (done - self._first) / (now - self._began) if now > self._began else 0.0
        left = f", {about((total - done) / rate)} left" if rate > 0 and total > done else ""
        say(f"{stage}: {done}{f' of {total}' if total else ''}{left}")


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[Progress]:
    """A progress callback that draws bars on stderr, if that is a terminal; shows notices too."""
    if quiet or not sys.stderr.isatty():
        with notices_to(partial(say, quiet=quiet)):
            yield silent if quiet else Lines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description:>14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total or None, rate="")
        task = bars.tasks[tasks[stage]]
        bars.update(task.id, completed=done, total=total or None)
        if task.speed:
            bars.update(task.id, rate=f"{task.speed:.0f}/s")

    with bars, notices_to(partial(bars.console.print, markup=False, highlight=False)):
        yield show
