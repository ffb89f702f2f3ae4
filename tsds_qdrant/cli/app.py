"""The command group: errors become one sentence and an exit code.

Exit codes: 0 done, 1 expected failure, 2 wrong usage, 3 Qdrant unreachable, 130 interrupted,
141 the reader of a pipe is gone.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import UserDict
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tsds_qdrant.cli.commands import FlagCommand, command_of
from tsds_qdrant.cli.supervised import supervise
from tsds_qdrant.errors import TsdsError

INTERRUPTED = 130
BROKEN_PIPE = 141
"""As a shell has it for a program that SIGPIPE ends: 128 + 13."""
COMMANDS = {
    "ingest": "Put candidates into a collection.",
    "select": "Select candidates for a task.",
    "reselect": "Repair a selection after its collection has changed.",
    "export": "Write a selection as training files.",
    "watch": "Reselect whenever the collection has changed.",
    "runs": "List what a run has done.",
    "show": "Show what a run is.",
    "explain": "Say why a point is in a selection, or is not.",
    "report": "Show what a run selected, and why, on one page.",
    "path": "Show what every alpha would select.",
    "compare": "Compare what several strategies select.",
    "strategies": "List the strategies to select by.",
    "check": "Show whether selection will work on a collection.",
    "demo": "Do the main job on real text.",
    "repair-store": "Mend an embedded collection that cannot be opened.",
}
"""Every command, and what it does; its module is imported when it is used."""
MODULES = {"show": "runs"}
"""Commands that are in the module of another one."""


def _forget_stdout() -> None:
    """Let what is still to be flushed go nowhere: whoever read it is gone."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class Commands(UserDict[str, Any]):
    """Commands by name; each is built when it is asked for, which takes imports."""

    def __getitem__(self, name: str) -> FlagCommand:
        if name not in self.data:
            raise KeyError(name)
        python_name = name.replace("-", "_")
        module = import_module(f"tsds_qdrant.cli.{MODULES.get(name, python_name)}")
        if hasattr(module, "command"):
            built: FlagCommand = module.command()
            return built
        return command_of(name, getattr(module, python_name))


class ErrorMappingGroup(TyperGroup):
    """Turns our errors, and Ctrl-C, into a line on stderr and an exit code."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": None})
        self.commands = Commands(COMMANDS)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands."""
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write what each command does, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except TsdsError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:
            _forget_stdout()
            raise typer.Exit(BROKEN_PIPE) from None
        except OSError as error:
            named = f" '{error.filename}'" if error.filename else ""
            typer.echo(f"error: {error.strerror or error}{named}; make room or check it", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("interrupted; files that were written are whole, run it again", err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=ErrorMappingGroup,
    name="tsds-qdrant",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)


def print_version(wanted: bool) -> None:
    """Print the version and end, if wanted."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tsds-qdrant {version('tsds-qdrant')}")
        raise typer.Exit


@app.callback()
def group(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """Pick the finetuning examples that a task needs, out of a Qdrant collection.

    Candidates live in a collection (a directory, or a Qdrant server); task examples show what
    the model is to learn. A strategy selects: TSDS (arXiv 2410.11303) unless another is named.

    \b
    Example:
        tsds-qdrant ingest pool.jsonl --qdrant ./store --collection pool
        tsds-qdrant select --qdrant ./store --collection pool --queries task.jsonl \\
          --size 1000 --out selected.jsonl
    """


def main() -> None:
    """Run the command line."""
    supervise(sys.argv[1:], COMMANDS)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it would print, our errors say
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # who interrupts again does not wait, and reads nothing
            signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
        raise
