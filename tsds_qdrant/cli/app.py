"""The command group: errors become one sentence and an exit code, and JSON where asked for.

Exit codes: 0 done, 1 expected failure, 2 wrong usage, 3 Qdrant unreachable, 130 interrupted,
141 the reader of a pipe is gone.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import UserDict
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tsds_qdrant.cli.commands import FlagCommand, command_of
from tsds_qdrant.cli.failures import INTERRUPTED, reported
from tsds_qdrant.cli.supervised import supervise

WORDS = "tsds_qdrant.words"
"""The words of the command line, in the ``meta`` of its context."""
COMMANDS = {
    "ingest": "Put candidates into a collection.",
    "represent": "Represent candidates once more: hidden states, gradients, words, ..",
    "index": "Build the graph of a collection, for many selections.",
    "mirror": "Copy a collection into a directory, and keep the copy up to date.",
    "warm-up": "Train a language model on a part of the pool, for gradients.",
    "select": "Select candidates for a task.",
    "reselect": "Repair a selection after its collection has changed.",
    "export": "Write a selection as training files.",
    "write-back": "Tag a selection from a mirror in the mirrored collection.",
    "watch": "Reselect whenever the collection has changed.",
    "runs": "List what a run has done.",
    "show": "Show what a run is.",
    "explain": "Say why a point is in a selection, or is not.",
    "report": "Show what a run selected, and why, on one page.",
    "path": "Show what every alpha would select.",
    "mix": "Replay a log of losses by source, and show how weights follow.",
    "compare": "Compare what several strategies select.",
    "plan": "Say which strategy a budget of computing power allows.",
    "strategies": "List the strategies to select by.",
    "check": "Show whether selection will work on a collection.",
    "demo": "Do the main job on real text.",
    "repair-store": "Mend an embedded collection that cannot be opened.",
}
"""Every command, and what it does; its module is imported when it is used."""
MODULES = {"show": "runs"}
"""Commands that are in the module of another one."""


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
    """Turns errors, and Ctrl-C, into a line on stderr, an exit code, and JSON where asked for."""

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

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Read what comes before the name of the command."""
        words = tuple(args)
        with reported(words, {}):
            context = super().make_context(info_name, args, parent, **extra)
        context.meta[WORDS] = words
        return context

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with reported(ctx.meta[WORDS], ctx.meta):
            return super().invoke(ctx)


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
