"""Whose examples: from files, from collections, or out of the pool itself; of one task or more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tsds_qdrant.errors import SettingsError
from tsds_qdrant.paths import COLLECTION_PREFIX, remembered_source
from tsds_qdrant.settings.fields import setting
from tsds_qdrant.settings.filters import payload_filter
from tsds_qdrant.settings.texts import weight_by_name

InPool = Literal["", "out", "kept"]
"""Of task examples that are candidates too: they are left out, or stay; "" if nobody looks."""

NAME = re.compile(r"[\w.-]+")
LIKE_IDS, LIKE_FILTER = "like-ids", "like-filter"
"""Names of tasks whose examples are points of the pool."""


@dataclass(frozen=True)
class TaskRules:
    """Tasks

    Attributes:
        task_weight: names of tasks and their weights, 1 by default.
        keep_task_examples: task examples that are in the pool may be selected.
    """

    task_weight: tuple[tuple[str, float], ...] = setting(
        (),
        "Weight of one of several tasks, 1 by default. May be repeated.",
        metavar="NAME=W",
        parse=weight_by_name,
        repeated=True,
        hidden=True,
    )
    keep_task_examples: bool = setting(
        False,
        "Task examples that are in the pool may be selected; they are left out by default.",
        hidden=True,
    )

    @property
    def in_pool(self) -> InPool:
        """What becomes of task examples that are in the pool."""
        return "kept" if self.keep_task_examples else "out"


@dataclass(frozen=True)
class GivenTasks(TaskRules):
    """Task examples

    Attributes:
        queries: records, vectors or ``collection:NAME``; each a task, ``NAME=`` in front names it.
        queries_filter: which points of ``collection:NAME`` are meant.
        like_ids: a file with ids of points of the pool.
        like_filter: those points of the pool that match.
    """

    queries: tuple[str, ...] = setting(
        (),
        "Task examples: records, vectors, or a collection at the same place. Several are several "
        "tasks.",
        metavar="[NAME=]FILE|X.npy|collection:NAME",
        repeated=True,
    )
    queries_filter: Mapping[str, Any] | None = setting(
        None,
        "Which points of --queries collection:NAME are the task examples; as --filter.",
        metavar="FILTER",
        parse=payload_filter,
        hidden=True,
    )
    like_ids: Path | None = setting(
        None,
        "Task examples are these points of the pool: ids, one a line.",
        metavar="FILE",
        hidden=True,
    )
    like_filter: Mapping[str, Any] | None = setting(
        None,
        "Task examples are the points of the pool that match; as --filter.",
        metavar="FILTER",
        parse=payload_filter,
        hidden=True,
    )

    def __post_init__(self) -> None:
        alone = isinstance(self.queries, (str, Path))
        given: Any = (str(self.queries),) if alone else self.queries
        object.__setattr__(self, "queries", tuple(map(str, given)))
        if not (self.queries or self.like_ids or self.like_filter):
            raise SettingsError(
                "there are no task examples; give --queries FILE, or points of the pool with "
                "--like-ids FILE or --like-filter FILTER"
            )
        collections = [one for one in self.named.values() if one.startswith(COLLECTION_PREFIX)]
        if self.queries_filter is not None and not collections:
            raise SettingsError(
                "--queries-filter is for --queries collection:NAME, and none is given; name one, "
                "or leave it out"
            )

    @property
    def named(self) -> dict[str, str]:
        """Name of a task -> its source, of those that ``queries`` gives.

        Raises:
            SettingsError: two of one name.
        """
        found: dict[str, str] = {}
        for text in self.queries:
            name, source = named_source(text)
            if name in found:
                raise SettingsError(
                    f"two tasks are named '{name}'; name them with --queries NAME={source}"
                )
            found[name] = source
        return found

    @property
    def sources(self) -> tuple[str, ...]:
        """Files and collections that are read."""
        files = () if self.like_ids is None else (str(self.like_ids),)
        return (*self.named.values(), *files)

    def facts(self) -> dict[str, Any]:
        """What a manifest says of them, so that the same flags are made of it."""
        remembered = [_remembered(text) for text in self.queries]
        weights = [f"{name}={weight:g}" for name, weight in self.task_weight]
        source = remembered[0] if len(remembered) == 1 else remembered
        said = {
            "queries_filter": self.queries_filter,
            "like_ids": self.like_ids and remembered_source(str(self.like_ids)),
            "like_filter": self.like_filter,
            "task_weight": weights,
            "keep_task_examples": self.keep_task_examples,
        }
        return {"source": source, **{name: value for name, value in said.items() if value}}


def named_source(text: str) -> tuple[str, str]:
    """The name of a task and its source: ``space=a.csv``, or ``a.csv``, which is named ``a``."""
    name, sign, source = text.partition("=")
    if sign and source and NAME.fullmatch(name) and not Path(text).exists():
        return name, source
    if text.startswith(COLLECTION_PREFIX):
        return text.removeprefix(COLLECTION_PREFIX), text
    return Path(text).name.split(".")[0] or text, text


def _remembered(text: str) -> str:
    name, source = named_source(text)
    prefix = f"{name}=" if text != source else ""
    return prefix + remembered_source(source)
