"""A command whose help has panels, and whose flags may come from a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from tsds_qdrant.cli.failures import AS_JSON
from tsds_qdrant.cli.flags import everything_shown
from tsds_qdrant.cli.terminal import say
from tsds_qdrant.cli.words import named
from tsds_qdrant.errors import SettingsError

if TYPE_CHECKING:
    from tsds_qdrant.cli.config import Config

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Read flags from a .toml file (size = 1000) or a manifest; those given here win.",
    ),
]
SEVERAL = "tsds_qdrant.several"
"""In the notes of a context: name -> context of each task of a file that holds several."""
WIDEST_FLAG = 30
"""The text of longer flags goes below them."""


class FlagCommand(TyperCommand):
    """A command that shows its flags by panel, and reads those of ``--config FILE``."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Read ``args``; what they leave out is taken from the file that they name.

        Raises:
            InputError: the file cannot be read.
            SettingsError: it holds what is no flag of this command.
        """
        file = None if extra.get("resilient_parsing") else self.file_of(args)
        if file is not None and file.tasks:
            raise SettingsError(
                f"'{file.path}' holds several tasks, and '{self.name}' takes one; [tasks.NAME] is "
                f"for 'tsds-qdrant select'"
            )
        given = self.several_of_environment()
        given |= {} if file is None else file.defaults(self, args)
        command = self.with_defaults(given) if given else self
        return TyperCommand.make_context(command, info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and for the other tasks of its file again.

        How it is to report is kept for the case that it fails.
        """
        ctx.meta[AS_JSON] = quiet = any(ctx.params.get(name) for name in ("as_json", "json"))
        several = ctx.meta.pop(SEVERAL, None)
        if several is None:
            return super().invoke(ctx)
        for number, (task, one) in enumerate(several.items()):
            say(("\n" if number else "") + f"task {task}", quiet=quiet)
            with nullcontext() if one is ctx else one:
                TyperCommand.invoke(one.command, one)
        return None

    def file_of(self, words: Sequence[str]) -> Config | None:
        """The file of flags that ``words`` name.

        Raises:
            InputError, SettingsError: see :func:`~tsds_qdrant.cli.config.read_config`.
        """
        path = named(words, "--config")
        if not path or "config" not in {parameter.name for parameter in self.params}:
            return None
        from tsds_qdrant.cli.config import read_config

        return read_config(path)

    def several_of_environment(self) -> dict[str, list[str]]:
        """URLs that one variable of the environment names, by the names of parameters.

        *subtle*: a flag that may be repeated would take every word for a value, and a directory
        may have a name of several words.
        """
        found = {}
        for parameter in self.params:
            value = os.environ.get(str(parameter.envvar), "")
            if getattr(parameter, "multiple", False) and len(value.split()) > 1:
                urls = all("://" in word for word in value.split())
                found[str(parameter.name)] = value.split() if urls else [value]
        return found

    def with_defaults(self, defaults: dict[str, Any]) -> FlagCommand:
        """The same command with other defaults, by the names of parameters.

        They go before what the environment says: a file is named on purpose.
        """
        command = copy(self)
        before = self.context_settings.get("default_map", {})
        command.context_settings = {
            **self.context_settings,
            "default_map": {**before, **defaults},
        }
        command.params = list(map(copy, self.params))
        for parameter in command.params:
            if parameter.name in defaults:
                parameter.envvar = None
        return command

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and flags, panel by panel, the first column as wide in all."""
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        last = []
        for parameter in self.get_params(ctx):
            if everything_shown(ctx):
                parameter = copy(parameter)
                parameter.hidden = False  # type: ignore[attr-defined]
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            row = (record[0].removeprefix(" / "), record[1])
            if parameter.param_type_name == "argument":
                panels["Arguments"].append(row)
            elif panel := getattr(parameter, "rich_help_panel", None):
                panels.setdefault(panel, []).append(row)
            else:
                last.append(row)
        panels["Options"] = last
        width = min(max(len(flag) for rows in panels.values() for flag, _ in rows), WIDEST_FLAG)
        for panel, rows in panels.items():
            if rows:
                with formatter.section(panel):
                    formatter.write_dl([(flag.ljust(width), text) for flag, text in rows])


def command_of(
    name: str, function: Callable[..., Any], kind: type[FlagCommand] = FlagCommand
) -> FlagCommand:
    """The command that ``function``, as Typer reads it, makes."""
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.command(name, cls=kind)(function)
    command = get_command(app)
    assert isinstance(command, FlagCommand)
    return command
