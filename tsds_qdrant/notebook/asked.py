"""What a call asks for, by the names of the command line's flags."""

from __future__ import annotations

import difflib
import operator
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np

from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.guards.settings import GuardSettings
from tsds_qdrant.ingestion.settings import Points
from tsds_qdrant.neighbors.settings import SearchSettings
from tsds_qdrant.records.settings import RecordSettings
from tsds_qdrant.runs.settings import RunSettings
from tsds_qdrant.selection.bounds import Bounds
from tsds_qdrant.selection.quotas import Quota
from tsds_qdrant.selection.settings import SelectionSettings, Wanted
from tsds_qdrant.settings.fields import FLAG, Flag, key_of
from tsds_qdrant.settings.filters import filter_of, payload_filter
from tsds_qdrant.strategies.catalog import DEFAULT, SHORT_FOR, rule_of
from tsds_qdrant.task.given import TaskRules
from tsds_qdrant.task.settings import Reading

ELSEWHERE = {
    "vectors": "give the array as the pool itself",
    "write_back": "call write_back with the selection",
    "dry_run": "call write_back with the selection",
    "out": "call write() of the result",
    "probabilities": "call write() of the result",
    "report": "call report() of the result",
    "by": "call report() of the result",
    "exclude_report": "look at selection.contamination of the result",
    "queries": "it is the second argument, the task",
    "queries_filter": "give the points as the task",
    "like_ids": "give the rows as the task",
    "like_filter": "give the rows as the task",
    "config": "pass its settings by their names",
    "mirror": "mirror the collection, and give that directory as qdrant",
}
"""Flags that a call has no use for -> what to do instead."""
GROUPS: Mapping[str, type] = {
    "reading": Reading,
    "records": RecordSettings,
    "points": Points,
    "wanted": Wanted,
    "bounds": Bounds,
    "search": SearchSettings,
    "guard": GuardSettings,
    "run": RunSettings,
    "tasks": TaskRules,
}
OWN = ("strategy", "vector", "representation", "connection", "api_key", "task_text_field")
OWN_TASK = "task_template"


@dataclass(frozen=True)
class Known:
    """A setting that has a name.

    Attributes:
        group: which of the groups has it.
        path: the field, within a group inside the group where there are two.
        hint: its type.
        flag: how texts become values.
    """

    group: str
    path: tuple[str, ...]
    hint: Any
    flag: Flag


@dataclass(frozen=True)
class Asked:
    """The settings of a call, by concern.

    Attributes:
        reading: how texts are made and embedded; without a model, which may be an object.
        task: the same for the task.
        records: how records are read.
        points: how they are stored.
        selection: how many, and how.
        guard: what is kept out.
        run: how the run is kept.
        tasks: weights of several tasks, and what becomes of examples that are in the pool.
        vector: which of several vectors.
        connection: how a server is reached.
    """

    reading: Reading
    task: Reading
    records: RecordSettings
    points: Points
    selection: SelectionSettings
    guard: GuardSettings
    run: RunSettings
    tasks: TaskRules
    vector: str | None
    connection: Connection | None

    @classmethod
    def of(cls, given: Mapping[str, Any], *, selecting: bool = True) -> Asked:
        """Settings by the names of flags, hyphens as underscores.

        Raises:
            SettingsError: there is no setting of a name, or a value that cannot be.
        """
        name = given.get("strategy") or DEFAULT
        rule = rule_of(name)
        groups = {**GROUPS, "strategy": rule}
        names = {
            known_as: one for group, kind in groups.items() for known_as, one in _names(group, kind)
        }
        values: dict[str, dict[str, Any]] = {group: {} for group in groups}
        form: dict[str, Any] = {}
        for key, value in given.items():
            if value is None or key in (*OWN, OWN_TASK):
                continue
            one = names.get(key)
            if one is None or key in ELSEWHERE:
                raise _unknown(key, value, [*names, *OWN, OWN_TASK])
            made = _value(key, value, one)
            if len(one.path) > 1:
                form[one.path[1]] = made
            else:
                values[one.group][one.path[0]] = made
        if name in SHORT_FOR:
            _, setting, value = SHORT_FOR[name]
            values["strategy"].setdefault(setting, value)
        made_groups = {group: kind(**values[group]) for group, kind in groups.items()}
        records = made_groups.pop("records")
        records = replace(records, form=replace(records.form, **form))
        selection = SelectionSettings(
            **{group: made_groups.pop(group) for group in ("wanted", "bounds", "search")},
            strategy=made_groups.pop("strategy"),
        )
        reading, task = made_groups["reading"], made_groups["reading"]
        own = {"text_field": given.get("task_text_field"), "template": given.get(OWN_TASK)}
        if any(own.values()):
            task = replace(task, **own)
        reading.text_template(), task.text_template()
        connection = given.get("connection")
        if given.get("api_key") is not None:
            connection = (connection or Connection()).with_key(given["api_key"])
        named = (given.get("vector"), given.get("representation"))
        vector = next((name for name in named if name is not None), None)
        return cls(
            **made_groups,
            task=task,
            records=records,
            selection=selection,
            vector=vector,
            connection=connection,
        )


def _names(group: str, kind: type, within: tuple[str, ...] = ()) -> Iterator[tuple[str, Known]]:
    """The settings of a class by the names of their flags, and those of the classes inside it."""
    hints = get_type_hints(kind)
    for one in fields(kind):
        path, hint = (*within, one.name), hints[one.name]
        if FLAG in one.metadata:
            yield key_of(one.name, one.metadata[FLAG]), Known(group, path, hint, one.metadata[FLAG])
        elif is_dataclass(hint) and isinstance(hint, type):
            yield from _names(group, hint, path)


def _unknown(key: str, value: Any, names: list[str]) -> SettingsError:
    if key in ELSEWHERE:
        return SettingsError(f"{key} is no setting of this call; {ELSEWHERE[key]}")
    close = difflib.get_close_matches(key, [*names, "size", "model", "payloads"], n=1)
    meant = f"did you mean {close[0]}?" if close else "see 'tsds-qdrant select --help-all'"
    return SettingsError(f"{key}={value!r} is no setting; {meant}")


def _value(key: str, given: Any, one: Known) -> Any:
    """``given`` as the field holds it."""
    kinds = {kind for kind in (get_args(one.hint) or (one.hint,)) if kind is not type(None)}
    if one.flag.repeated:
        if isinstance(given, Mapping):
            given = [f"{name}:{share}" for name, share in given.items()]
        several = given if isinstance(given, (list, tuple, set)) else (given,)
        return tuple(_text_of(key, item, one.flag) for item in several)
    if isinstance(given, str) and one.flag.parse is not None:
        return one.flag.parse(given, key)
    if one.flag.parse is payload_filter:
        return filter_of(given, key)
    if one.hint == tuple[int, ...]:
        numbers = given if isinstance(given, (list, tuple, np.ndarray)) else (given,)
        return tuple(_whole(key, item) for item in numbers)
    if kinds == {int}:
        number = _whole(key, given)
        if one.flag.least is not None and number < one.flag.least:
            raise SettingsError(f"{key} is {number}; give {one.flag.least} or more")
        return number
    if kinds == {float}:
        if isinstance(given, Real) and not isinstance(given, bool):
            return float(given)
        raise SettingsError(f"{key} is {given!r}; give a number")
    if kinds == {bool}:
        if isinstance(given, (bool, np.bool_)):
            return bool(given)
        raise SettingsError(f"{key} is {given!r}; give True or False")
    if kinds == {Path}:
        return Path(_text_of(key, given, Flag("")))
    if kinds == {str}:
        return _text_of(key, given, Flag(""))
    return given


def _whole(key: str, given: Any) -> int:
    try:
        if isinstance(given, (bool, np.bool_)):
            raise TypeError
        return operator.index(given)
    except TypeError:
        share = " (a share of the pool is ratio)" * (key == "size")
        raise SettingsError(f"{key} is {given!r}; give a whole number{share}") from None


def _text_of(key: str, given: Any, flag: Flag) -> Any:
    if isinstance(given, Quota):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise SettingsError(f"{key} is {given!r}; give a text")
    text = os.fspath(given)
    return text if flag.parse is None else flag.parse(text, key)
