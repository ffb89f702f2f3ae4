"""A field of a settings class as an option of Typer."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from tsds_qdrant.settings.fields import Flag, key_of

METAVARS = {int: "N", float: "X", str: "TEXT", Path: "FILE", bool: ""}


@dataclass(frozen=True)
class Parsed:
    """A value that a flag's own ``parse`` made, so that None can be one."""

    value: Any


@dataclass(frozen=True)
class FieldFlag:
    """A field of a settings class as a flag.

    Attributes:
        kind: the class.
        name: the field.
        hint: its type.
        default: its default; ``MISSING`` if it must be given.
        flag: what the command line must know of it.
    """

    kind: type
    name: str
    hint: Any
    default: Any
    flag: Flag

    @property
    def spelled(self) -> str:
        """As the command line has it: ``--name``, or `` /--no-name``."""
        return self.flag.name or "--" + self.name.replace("_", "-")

    @property
    def key(self) -> str:
        """The name of its parameter, and in a file of flags: the flag with underscores."""
        return key_of(self.name, self.flag)

    @property
    def panel(self) -> str:
        """The title of its panel of the help."""
        return title(self.kind)

    def saying(self, text: str) -> FieldFlag:
        """The same with another help text."""
        return replace(self, flag=replace(self.flag, help=text))

    def parameter(self, panel: str, *, hidden: bool) -> inspect.Parameter:
        """The parameter that Typer reads.

        Raises:
            TypeError: a type that no flag can have, and no ``parse``.
        """
        hint, metavar = self._type()
        flag, default, parse = self.flag, self.default, self.flag.parse
        if default is MISSING:
            default = inspect.Parameter.empty
        elif parse or not isinstance(default, (str, int, float, Path)):
            default = None
        option = typer.Option(
            self.spelled,
            *flag.also,
            help=flag.help,
            metavar=metavar or None,
            min=flag.least,
            envvar=flag.envvar,
            show_envvar=flag.envvar is not None,
            show_default=hint is not bool,
            hidden=hidden,
            rich_help_panel=panel,
            parser=None if parse is None else lambda text: Parsed(parse(text, self.spelled)),
        )
        several: Any = list
        annotation = several[hint] if flag.repeated else hint
        return inspect.Parameter(
            self.key,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[annotation | None, option],
        )

    def given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The field and its value, from those that Typer gives; nothing if none was given."""
        value = values[self.key]
        if value is None or (self.flag.repeated and not value):
            return {}
        return {self.name: tuple(map(_bare, value)) if self.flag.repeated else _bare(value)}

    def _type(self) -> tuple[Any, str]:
        """What Typer reads the value as, and what stands for it in the help."""
        hint = _without_none(self.hint)
        if self.flag.repeated and get_origin(hint) is tuple:
            hint = get_args(hint)[0]
        choices = ""
        if get_origin(hint) is Literal:
            hint, choices = str, "|".join(map(str, get_args(hint)))
        if self.flag.parse is not None:
            hint = str
        if hint not in METAVARS:
            raise TypeError(f"{self.kind.__name__}.{self.name} is {self.hint}; give it a parse")
        return hint, self.flag.metavar or choices or METAVARS[hint]


def title(kind: type) -> str:
    """The first line of what a settings class says of itself."""
    return (inspect.getdoc(kind) or kind.__name__).splitlines()[0].rstrip(".")


def _bare(value: Any) -> Any:
    return value.value if isinstance(value, Parsed) else value


def _without_none(hint: Any) -> Any:
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 else hint
