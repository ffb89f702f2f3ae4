"""Several selections by one file: each table ``[tasks.NAME]`` is one, in one process.

size = 1000
out = "selected.jsonl"

[tasks.space]
queries = "space.csv"

[tasks.cars]
queries = "cars.csv"
size = 500
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tsds_qdrant.cli.config import RIVALS, Config, Entry
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.files.outputs import sized_path

OUTPUTS = ("out", "probabilities", "report", "exclude_report", "state")
"""Flags that name a file; one for all tasks gets the name of the task put in, as a size is."""


def file_for(file: Config, task: str) -> Config:
    """What ``file`` says for one of its tasks: the table's values, then those of all."""
    own = {one.name.replace("-", "_") for one in file.tasks[task]}
    rivals = {other for pair in RIVALS for name in pair if name in own for other in pair}
    shared = [
        _named_for(one, task)
        for one in file.entries
        if one.name.replace("-", "_") not in own | rivals
    ]
    return replace(file, entries=(*shared, *file.tasks[task]), tasks={})


def check_apart(file: Config, contexts: Mapping[str, Any]) -> None:
    """Check that no two tasks write to the same file.

    Raises:
        SettingsError: two do.
    """
    owner: dict[Path, str] = {}
    for task, context in contexts.items():
        for flag in OUTPUTS:
            place = context.params.get(flag)
            if place is None or str(place) == "-":
                continue
            path = Path(place).resolve()
            if path in owner:
                raise SettingsError(
                    f"the tasks '{owner[path]}' and '{task}' of '{file.path}' both write to "
                    f"'{place}'; set {flag} in their tables, or once for all in the file"
                )
            owner[path] = task


def _named_for(entry: Entry, task: str) -> Entry:
    if entry.name.replace("-", "_") not in OUTPUTS or str(entry.value) == "-":
        return entry
    return replace(entry, value=str(sized_path(str(entry.value), task)))
