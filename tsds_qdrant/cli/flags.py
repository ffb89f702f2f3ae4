"""Flags of a command, made of the fields of settings classes.

    @taking(Where, only(Wanted, "sizes", "seed"), usual=("qdrant", "collection", "size"))
    def select(where: Where, wanted: Wanted, as_json: JsonOption = False) -> None: ...

Typer sees a function with one parameter for each flag; the command is called with one object of
each class. A field with a :class:`~tsds_qdrant.settings.fields.Flag` is a flag; a field that is
itself of a settings class is a group inside its group. What a user does not give keeps the default
of its field. All other parameters of the command are Typer's, as they stand.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import update_wrapper
from typing import Annotated, Any, get_args, get_type_hints

import typer

from tsds_qdrant.cli.fields import FieldFlag
from tsds_qdrant.settings.fields import FLAG

Command = Callable[..., None]
USUAL = "Usual"
"""Title of the first panel."""
_SHOW_ALL = "tsds_qdrant.show_all"


@dataclass(frozen=True)
class Group:
    """A settings class as a command takes it.

    Attributes:
        kind: the class.
        names: fields that are taken: those that have flags, and groups inside; None for all.
        inside: what fills a field that is itself of a settings class, if not the class it names.
    """

    kind: type
    names: tuple[str, ...] | None = None
    inside: Mapping[str, Group] = field(default_factory=dict)

    def flags(self) -> Iterator[FieldFlag]:
        """Its flags, and then those of its inner groups."""
        yield from self._own()
        for inner in self._inner().values():
            yield from inner.flags()

    def made(self, values: Mapping[str, Any]) -> Any:
        """An object of the class, from the values that Typer gives.

        Raises:
            SettingsError: the class refuses them.
        """
        given = {name: inner.made(values) for name, inner in self._inner().items()}
        for flag in self._own():
            given |= flag.given(values)
        return self.kind(**given)

    def _own(self) -> Iterator[FieldFlag]:
        hints = get_type_hints(self.kind)
        for one in fields(self.kind):
            wanted = self.names is None or one.name in self.names
            if wanted and FLAG in one.metadata:
                flag = one.metadata[FLAG]
                made = one.default_factory
                default = one.default if made is MISSING else made()
                yield FieldFlag(self.kind, one.name, hints[one.name], default, flag)

    def _inner(self) -> dict[str, Group]:
        hints = get_type_hints(self.kind)
        inner = {
            one.name: self.inside.get(one.name, Group(hints[one.name]))
            for one in fields(self.kind)
            if FLAG not in one.metadata
            and is_dataclass(hints[one.name])
            and (self.names is None or one.name in self.names)
        }
        return {
            name: group
            for name, group in inner.items()
            if name in self.inside or any(group.flags())
        }


def only(kind: type, *names: str) -> Group:
    """A settings class of which a command takes the fields ``names`` alone."""
    return Group(kind, names)


def filled(kind: type, **inside: type | Group) -> Group:
    """A settings class whose fields of these names are of a subclass of what they say."""
    return Group(kind, inside={name: _group(inner) for name, inner in inside.items()})


def taking(
    *groups: type | Group,
    usual: Sequence[str] = (),
    rare: Sequence[str] = (),
    texts: Mapping[str, str] | None = None,
    also: Mapping[str, Any] | None = None,
) -> Callable[[Command], Command]:
    """A command that takes an object of each of ``groups``, made of flags.

    Args:
        groups: settings classes; each fills the parameter whose type it is.
        usual: flags of a panel of their own, the first, by their names with underscores.
        rare: flags that the usual help leaves out, beside those whose fields say so.
        texts: help of flags that mean something else here than their fields say.
        also: Typer's annotations of further flags, by name, which the command does not get: they
            are read before it is called.

    Raises:
        TypeError: a group that no parameter takes, or a field that can be no flag.
    """
    wanted = list(map(_group, groups))
    flags = {flag.key: flag for group in wanted for flag in group.flags()}
    flags |= {key: flags[key].saying(text) for key, text in (texts or {}).items()}
    first = [key for key in usual if key in flags]

    def made(command: Command) -> Command:
        hints = get_type_hints(command, include_extras=True)
        taken = {
            name: group
            for name, hint in hints.items()
            for group in wanted
            if isinstance(hint, type) and issubclass(group.kind, hint)
        }
        if unused := [group.kind.__name__ for group in wanted if group not in taken.values()]:
            raise TypeError(f"{command.__name__} takes no {', '.join(unused)}")
        own = [
            one.replace(annotation=hints[one.name], kind=inspect.Parameter.KEYWORD_ONLY)
            for one in inspect.signature(command).parameters.values()
            if one.name not in taken
        ]

        def run(**values: Any) -> None:
            objects = {name: group.made(values) for name, group in taken.items()}
            command(**objects, **{one.name: values[one.name] for one in own})

        shown = [flags[key].parameter(USUAL, hidden=False) for key in first]
        shown += [_read_elsewhere(name, hint) for name, hint in (also or {}).items()]
        shown += [
            flag.parameter(flag.panel, hidden=flag.flag.hidden or key in rare)
            for key, flag in flags.items()
            if key not in first
        ]
        shown += own
        if hidden := sum(get_args(one.annotation)[1].hidden for one in shown):
            shown.append(_read_elsewhere("help_all", _help_all(hidden)))
        update_wrapper(run, command, ("__module__", "__name__", "__qualname__", "__doc__"), ())
        run.__annotations__ = {one.name: one.annotation for one in shown}
        vars(run).update(__signature__=inspect.Signature(shown), flags=tuple(flags.values()))
        return run

    return made


def everything_shown(context: Any) -> bool:
    """Whether the help is to show what is rarely used, too."""
    return bool(context.meta.get(_SHOW_ALL))


def _show_all(context: typer.Context, wanted: bool) -> None:
    if wanted:
        context.meta[_SHOW_ALL] = True
        typer.echo(context.get_help())
        raise typer.Exit


def _help_all(hidden: int) -> Any:
    words = f"Show this message with the flags that are rarely used ({hidden} more), and exit."
    option = typer.Option("--help-all", help=words, callback=_show_all, is_eager=True)
    return Annotated[bool, option]


def _read_elsewhere(name: str, hint: Any) -> inspect.Parameter:
    default = False if get_args(hint)[0] is bool else None
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=hint)


def _group(given: type | Group) -> Group:
    return given if isinstance(given, Group) else Group(given)
