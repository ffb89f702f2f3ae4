"""Fields of settings objects: a default, and what a command line must know to offer them.

Settings are frozen dataclasses. The same objects are the library's arguments, the groups of a
manifest and of a run's state, and, through ``tsds_qdrant.cli.flags``, the flags of a command: the
first line of a class's docstring is the title of its panel of the help.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from tsds_qdrant.errors import SettingsError

FLAG = "flag"
"""Under this key a field's metadata holds its :class:`Flag`."""


@dataclass(frozen=True)
class Flag:
    """How a field is given on a command line.

    Attributes:
        help: one sentence.
        name: ``--name``; by default the field's own, with hyphens. `` /--no-name`` is a switch
            that turns off what is on by default.
        also: other spellings of the name.
        metavar: what stands for the value in the help.
        parse: makes the value of a text; called with the text (each text, where the flag may be
            repeated) and the flag's name. By default the type of the field says how.
        repeated: the flag may be given several times; the field holds a tuple.
        least: smallest whole number that is allowed.
        hidden: the flag is rarely used: it works, and the usual help leaves it out.
        envvar: environment variable that gives the value where the command line does not.
    """

    help: str
    name: str | None = None
    also: tuple[str, ...] = ()
    metavar: str | None = None
    parse: Callable[[str, str], Any] | None = None
    repeated: bool = False
    least: int | None = None
    hidden: bool = False
    envvar: str | None = None


def setting(default: Any, help: str, name: str | None = None, **more: Any) -> Any:  # noqa: A002
    """A field of a settings dataclass with its ``default`` and its flag; see :class:`Flag`.

    ``MISSING`` as default makes the flag required; an empty dict stands for one of its own.
    """
    metadata = {FLAG: Flag(help, name, **more)}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def key_of(name: str, flag: Flag) -> str:
    """What names the field ``name`` in a file of flags or a call: the flag with underscores."""
    on = (flag.name or f"--{name}").split("/")[0].strip()
    return on.lstrip("-").replace("-", "_") or name


def names_of(group: type) -> tuple[str, ...]:
    """Names of the fields of a settings class, in order."""
    return tuple(one.name for one in fields(group))


def changed(settings: Any) -> dict[str, Any]:
    """Fields of a settings object that differ from their defaults, by name."""
    return {
        one.name: value
        for one in fields(settings)
        if (value := getattr(settings, one.name)) != one.default
    }


def parted(flat: Mapping[str, Any], groups: Mapping[str, type]) -> dict[str, dict[str, Any]]:
    """``flat`` settings by the group that has a field of their name.

    Raises:
        SettingsError: a name that no group has.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in groups}
    for key, value in flat.items():
        home = next((name for name, group in groups.items() if key in names_of(group)), None)
        if home is None:
            known = ", ".join(sorted(key for group in groups.values() for key in names_of(group)))
            raise SettingsError(f"'{key}' is no setting; choose among {known}")
        found[home][key] = value
    return found
