"""A command that has the flags of one strategy: the one that its words, or its file, name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from tsds_qdrant.cli.by_task import check_apart, file_for
from tsds_qdrant.cli.commands import SEVERAL, FlagCommand, command_of
from tsds_qdrant.cli.config import Config
from tsds_qdrant.cli.fields import title
from tsds_qdrant.cli.flags import Group
from tsds_qdrant.cli.words import named
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.strategies.catalog import CATALOG, DEFAULT, SHORT_FOR, rule_of, strategy_class

FLAGS = ("--strategy", "--method")


def strategy_options(name: str) -> dict[str, Any]:
    """The flags that name a strategy, in the panel of the strategy ``name``."""
    known = ", ".join(CATALOG)
    return {
        "strategy": Annotated[
            str | None,
            typer.Option(
                "--strategy",
                metavar="NAME",
                help=f"How candidates are chosen: {known}. Each has flags of its own: "
                f"--strategy NAME --help.  [default: {DEFAULT}]",
                rich_help_panel=title(rule_of(name)),
            ),
        ],
        "method": Annotated[
            str | None,
            typer.Option(
                "--method",
                metavar="NAME",
                hidden=True,
                help="The name of --strategy in version 0.1; it will be removed.",
            ),
        ],
    }


class ByStrategy(FlagCommand):
    """A command with the flags of one strategy; as built, those of the default."""

    @staticmethod
    @abstractmethod
    def variant(name: str) -> Callable[..., None]:
        """The function, as Typer reads it, with the flags of the strategy ``name``."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Read ``args`` with the flags of the strategy that they name.

        Raises:
            SettingsError: two strategies, none of that name, or a flag of another one.
        """
        if extra.get("resilient_parsing"):
            return super().make_context(info_name, args, parent, **extra)
        file = self.file_of(args)
        if file is None or not file.tasks:
            return self._context(file, info_name, args, parent, **extra)
        found = {
            task: self._context(file_for(file, task), info_name, list(args), parent, **extra)
            for task in file.tasks
        }
        check_apart(file, found)
        last = [*found.values()][-1]
        last.meta[SEVERAL] = found
        return last

    def _context(
        self, file: Config | None, info_name: str | None, args: list[str], parent: Any, **extra: Any
    ) -> Any:
        words = list(args)
        wanted = self._named(words)
        name = wanted or (file and file.strategy) or DEFAULT
        command = command_of(str(self.name), type(self).variant(name))
        short = SHORT_FOR.get(name)
        meant = {} if short is None else {short[1]: short[2]}
        found = {} if file is None else file.defaults(command, words, f"strategy '{name}'")
        defaults = {**found, **meant} if wanted else {**meant, **found}
        try:
            context = TyperCommand.make_context(
                command.with_defaults(defaults), info_name, args, parent, **extra
            )
        except Exception as error:  # Typer's own has no public name
            _refuse(getattr(error, "option_name", ""), name)
            raise
        if short is not None and context.params[short[1]] != short[2]:
            _, flag, value = short
            spelled = next((flag for flag in FLAGS if named(words, flag)), FLAGS[0])
            raise SettingsError(
                f"{spelled} {name} means --{flag} {value}, not '{context.params[flag]}'; "
                f"leave one out"
            )
        return context

    def _named(self, words: list[str]) -> str | None:
        """The strategy that ``words`` name."""
        names = {name for flag in FLAGS if (name := named(words, flag))}
        if len(names) > 1:
            raise SettingsError("--method is another name of --strategy; give one of them")
        return next(iter(names), None)


def _refuse(option: str, name: str) -> None:
    """Say whose ``option`` is, if it is that of another strategy than ``name``.

    Raises:
        SettingsError: it is.
    """
    homes = [
        other
        for other in CATALOG
        for flag in Group(strategy_class(other)).flags()
        if option and option == "--" + flag.key.replace("_", "-")
    ]
    if homes and name not in homes:
        raise SettingsError(
            f"{option} is no option of strategy '{name}' but of {', '.join(homes)}; leave it out"
        ) from None
