"""Flags from a file: what a person writes as TOML, or what a manifest says of a selection."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tsds_qdrant.cli.words import named
from tsds_qdrant.errors import InputError, SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NO_FLAGS = ("config", "help", "help_all")
RIVALS = (("size", "ratio"), ("alpha", "support"), ("text_field", "template"))
"""One of a pair on the command line displaces the other in a file, too."""
SETTINGS = "settings"
TASKS, TASK_NAME = "tasks", re.compile(r"[\w-]+")
PARTS = ("queries", "guard", "run")
"""Parts of a manifest, beside its settings, whose names are those of fields."""
REACH = {"ngram": "ngrams", "radius": "radius", "overlap": "overlap"}
"""What a manifest says of copies of test items -> field of the settings."""


@dataclass(frozen=True)
class Entry:
    """One value of a file.

    Attributes:
        name: of a flag, or of a field in a part of a manifest.
        value: as written.
        part: of a manifest; None where ``name`` is a flag.
    """

    name: str
    value: Any
    part: str | None = None


@dataclass(frozen=True)
class Config:
    """A file of flags.

    Attributes:
        path: the file.
        entries: what it holds.
        manifest: it is a manifest, which may say more than a command asks.
        tasks: what its tables ``[tasks.NAME]`` hold, by name.
    """

    path: str
    entries: tuple[Entry, ...]
    manifest: bool = False
    tasks: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)

    @property
    def strategy(self) -> str | None:
        """The strategy that it names."""
        names = [str(one.value) for one in self.entries if one.name in ("strategy", "method")]
        return names[-1] if names else None

    def defaults(
        self, command: Any, words: Sequence[str], whose: str | None = None
    ) -> dict[str, Any]:
        """Value by parameter of ``command``, where ``words`` give none.

        Args:
            command: built by Typer of a function that :func:`~tsds_qdrant.cli.flags.taking` made.
            words: of the command line.
            whose: what to call the command in a message; its name by default.

        Raises:
            SettingsError: the file holds what is no flag of the command.
        """
        flags, fields = _flags_of(command), _fields_of(command) if self.manifest else {}
        given: dict[str, Any] = {}
        for entry in self.entries:
            key = entry.name.replace("-", "_")
            if entry.part is not None:
                key = fields.get((entry.part, entry.name), "")
            if key in flags:
                parameter, turned = flags[key]
                given[parameter.name] = _value(entry, parameter, turned, self.path)
            elif not self._may_hold(entry):
                near = get_close_matches(key, flags, 1)
                help_of = f"tsds-qdrant {command.name} --help"
                hint = f"did you mean '{near[0]}'?" if near else f"'{help_of}' shows all"
                raise SettingsError(
                    f"'{entry.name}' in '{self.path}' is no flag of "
                    f"{whose or repr(command.name)}; {hint}"
                )
        for pair in RIVALS:
            for mine, other in (pair, pair[::-1]):
                if named(words, _spelled(mine)) is not None:
                    given.pop(other, None)
        return given

    def _may_hold(self, entry: Entry) -> bool:
        """Whether an entry that is no flag of a command may stand in the file nevertheless."""
        if entry.part is None or entry.part in PARTS:
            return self.manifest
        from tsds_qdrant.neighbors.settings import SearchSettings
        from tsds_qdrant.selection.bounds import Bounds
        from tsds_qdrant.selection.settings import Wanted
        from tsds_qdrant.settings.fields import names_of
        from tsds_qdrant.strategies.catalog import DEFAULT, strategy_class

        kinds = (Wanted, Bounds, SearchSettings, strategy_class(self.strategy or DEFAULT))
        return any(entry.name in names_of(kind) for kind in kinds)


def read_config(path: str) -> Config:
    """Read a file of flags (``.toml``), or a manifest (``.json``).

    Raises:
        InputError: there is none, or it cannot be read.
        SettingsError: it is neither.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".toml", ".json"):
        raise SettingsError(f"'{path}' is no file of flags; give a .toml file, or a manifest")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"'{path}' does not exist; check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' cannot be read ({error}); give a .toml file") from None
    try:
        found = tomllib.loads(text) if suffix == ".toml" else json.loads(text)
    except ValueError as error:
        raise SettingsError(
            f"'{path}' is no {suffix[1:].upper()} ({error}); write lines like size = 1000"
        ) from None
    if suffix == ".toml":
        tasks = _tables(found.pop(TASKS, {}), path)
        return Config(path, tuple(map(Entry, found, found.values())), tasks=tasks)
    try:
        return Config(path, tuple(_entries(found)), manifest=True)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise SettingsError(
            f"'{path}' is no manifest; give X.manifest.json, or a .toml file"
        ) from None


def _tables(found: Any, path: str) -> dict[str, tuple[Entry, ...]]:
    """The tables ``[tasks.NAME]``.

    Raises:
        SettingsError: something else.
    """
    tables = found if isinstance(found, Mapping) else {"": found}
    for name, table in tables.items():
        if not isinstance(table, Mapping) or not TASK_NAME.fullmatch(name):
            raise SettingsError(
                f"'{TASKS}' in '{path}' is {found!r:.60}; write tables like [tasks.space] with "
                f"flags of select below"
            )
    return {name: tuple(map(Entry, table, table.values())) for name, table in tables.items()}


def _entries(manifest: Mapping[str, Any]) -> Iterator[Entry]:
    """What a manifest says of its selection, if that is not left open."""
    place, queries, guard, run = (dict(manifest.get(part) or {}) for part in ("collection", *PARTS))
    settings = dict(manifest[SETTINGS])
    reached = dict(place.get("reached") or {})
    nodes = [place.get("location"), *reached.pop("others", ())]
    flags = {
        "qdrant": nodes if all(nodes) else None,
        **reached,
        "mirror": place.get("mirror"),
        "collection": place.get("name"),
        "vector": place.get("vector"),
        "queries": queries.pop("source", None),
        "strategy": (settings.get("strategy") or {}).get("name"),
    }
    yield from (Entry(name, value) for name, value in flags.items() if value)
    queries.pop("count", None)
    if found := manifest.get("contamination"):
        reach = {REACH[name]: value for name, value in found["reach"].items() if name in REACH}
        guard = {"sources": found["sources"], **reach, **guard}
    groups = [settings] if "wanted" not in settings else settings.values()  # flat in version 0.1
    parts = [
        *((SETTINGS, group) for group in groups),
        *zip(PARTS, (queries, guard, run), strict=True),
    ]
    for part, group in parts:
        for name, value in group.items():
            if value not in (None, [], {}) and (part, name) != (SETTINGS, "name"):
                yield Entry(name, value, part)


def _flags_of(command: Any) -> dict[str, tuple[Any, bool]]:
    """Flag with underscores -> its parameter, and whether the flag turns off what that is."""
    found: dict[str, tuple[Any, bool]] = {}
    for parameter in command.params:
        if parameter.param_type_name != "option" or parameter.name in NO_FLAGS:
            continue
        found[parameter.name] = (parameter, False)
        for flags, turned in ((parameter.opts, False), (parameter.secondary_opts, True)):
            names = (flag.lstrip("-").replace("-", "_") for flag in flags)
            found.update(dict.fromkeys(names, (parameter, turned)))
    return found


def _fields_of(command: Any) -> dict[tuple[str, str], str]:
    """Part of a manifest and field -> the flag of that field."""
    from tsds_qdrant.guards.settings import GuardSettings
    from tsds_qdrant.neighbors.settings import SearchSettings
    from tsds_qdrant.runs.settings import RunSettings
    from tsds_qdrant.selection.bounds import Bounds
    from tsds_qdrant.selection.settings import Wanted
    from tsds_qdrant.strategies.base import Strategy
    from tsds_qdrant.task.given import GivenTasks
    from tsds_qdrant.task.settings import Reading

    homes = dict.fromkeys((Wanted, Bounds, SearchSettings, Strategy), SETTINGS)
    homes |= {Reading: "queries", GivenTasks: "queries", GuardSettings: "guard", RunSettings: "run"}
    return {
        (part, flag.name): flag.key
        for flag in command.callback.flags
        for home, part in homes.items()
        if issubclass(flag.kind, home)
    }


def _value(entry: Entry, parameter: Any, turned: bool, path: str) -> Any:
    """A value as the command line would give it."""
    value = entry.value
    if parameter.is_flag:
        if not isinstance(value, bool):
            raise SettingsError(f"'{entry.name}' in '{path}' is {value!r}; write true or false")
        return value is not turned
    if parameter.multiple:
        return list(map(_text, value if isinstance(value, list) else [value]))
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, Mapping) and "share" in value:  # a quota, as a manifest has it
        of = "" if value.get("value") is None else f"={value['value']}"
        return f"{value.get('field', '')}{of}:{value['share']}"
    if isinstance(value, Mapping):
        return json.dumps(value)
    return ",".join(map(_text, value)) if isinstance(value, list) else str(value)


def _spelled(key: str) -> str:
    return "--" + key.replace("_", "-")
