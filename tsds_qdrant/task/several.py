"""The task examples that are given: read, and those of several tasks together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.ids import ids_of_file
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.paths import COLLECTION_PREFIX
from tsds_qdrant.pool.fields import check_template
from tsds_qdrant.progress import Progress, notice, silent
from tsds_qdrant.records import read_entries
from tsds_qdrant.records.usual import usual_template
from tsds_qdrant.representations.base import Way
from tsds_qdrant.task.examples import TaskExamples, is_text_source
from tsds_qdrant.task.given import LIKE_FILTER, LIKE_IDS, GivenTasks
from tsds_qdrant.task.settings import Reading
from tsds_qdrant.task.sources import task_examples
from tsds_qdrant.task.stored import examples_like, examples_like_ids


def read_given(
    given: GivenTasks,
    info: CollectionInfo,
    reading: Reading,
    *,
    collection: Collection,
    connection: Connection | None = None,
    progress: Progress = silent,
    way: Way = "targets",
) -> TaskExamples:
    """The task examples, those of several tasks together; see :func:`task_examples`.

    Args:
        given: where they come from.
        info: of the collection of candidates.
        reading: how texts are made and embedded.
        collection: that of the candidates, open.
        connection: how a server is reached.
        progress: stage ``task examples``.
        way: how vectors are made of records.

    Raises:
        TsdsError: they cannot be used.
    """
    check_readable(given, reading)
    template = reading.text_template()
    parts: dict[str, TaskExamples] = {}
    if given.like_ids is not None:
        parts[LIKE_IDS] = examples_like_ids(collection, ids_of_file(given.like_ids), template)
    if given.like_filter is not None:
        parts[LIKE_FILTER] = examples_like(collection, given.like_filter, template)
    for name, source in given.named.items():
        parts[name] = task_examples(
            source,
            info,
            reading_of(source, reading, collection),
            collection=collection,
            connection=connection,
            progress=progress,
            way=way,
            where=given.queries_filter if source.startswith(COLLECTION_PREFIX) else None,
        )
    found = together(parts, dict(given.task_weight))
    return replace(found, template=template, in_pool=given.in_pool)


def reading_of(source: str, reading: Reading, collection: Collection) -> Reading:
    """How the records of ``source`` are read: by their own field, where only points have the named.

    Raises:
        SettingsError, InputError: they cannot be read.
    """
    template = reading.text_template()
    if not template.to_dict() or not is_text_source(source) or not Path(source).is_file():
        return reading
    first = next(read_entries(source, form=reading.form), None)
    usual = usual_template([] if first is None else [first.record])
    if first is None or not usual.to_dict() or template.spelt_suits(first.record):
        return reading
    try:
        check_template(collection, template)
    except InputError:
        return reading
    notice(
        f"texts of {source}",
        f"'{source}' has no '{template.in_words}', which is that of points: '{usual.in_words}' is "
        f"taken for its texts",
    )
    return replace(reading, text_field=None, template=None)


def check_readable(given: GivenTasks, reading: Reading) -> None:
    """Check, before a model is loaded, that all sources are there and of a known form.

    Raises:
        InputError: one is not.
        SettingsError: settings of records go with one that holds none.
    """
    for source in given.named.values():
        if is_text_source(source):
            read_entries(source, form=reading.form)
        else:
            reading.check_none_of_records(source)


def together(
    parts: Mapping[str, TaskExamples], weights: Mapping[str, float] | None = None
) -> TaskExamples:
    """The examples of several tasks, in their order.

    The weights of a task's examples are scaled to a sum of ``weights[name]``, 1 by default: a task
    counts the same however many examples show it. Sub-tasks stay apart; a task that names none is
    one.

    Args:
        parts: name of a task -> its examples, all made in the same way.
        weights: name -> relative weight.

    Raises:
        SettingsError: a weight of a task that is not there, or of only one.
    """
    weights, names = weights or {}, list(parts)
    for name in weights:
        if name not in parts:
            raise SettingsError(
                f"--task-weight names the task '{name}', and the tasks are {', '.join(names)}; "
                f"name one of them"
            )
    if len(parts) == 1:
        if weights:
            raise SettingsError(
                f"--task-weight {names[0]}={weights[names[0]]:g} is the weight of the one task "
                f"there is; leave it out, or name another task with --queries"
            )
        return parts[names[0]]
    each = list(parts.values())
    scaled = [
        weights.get(name, 1.0) * one.weights / one.weights.sum() for name, one in parts.items()
    ]
    groups = any(one.groups for one in each)
    return TaskExamples(
        np.concatenate([one.vectors for one in each]),
        [text for one in each for text in one.texts],
        np.concatenate(scaled),
        template=each[0].template,
        cut=_summed([one.cut for one in each if one.cut is not None]),
        groups=_groups(parts) if groups else [],
        norms=_joined(each, lambda one: one.norms),
        way=each[0].way if len({one.way for one in each}) == 1 else "",
        dropped="; ".join(f"{name}: {one.dropped}" for name, one in parts.items() if one.dropped),
        margins=_joined(each, lambda one: one.margins),
        tasks=[name for name, one in parts.items() for _ in one.texts],
        ids=frozenset().union(*(one.ids for one in each)),
        in_pool=each[0].in_pool,
    )


def _groups(parts: Mapping[str, TaskExamples]) -> list[str]:
    """The sub-tasks, with the names of their tasks in front."""
    return [
        f"{name}/{group}" if group else name
        for name, one in parts.items()
        for group in one.groups or [""] * len(one.texts)
    ]


def _joined(
    each: Sequence[TaskExamples], of: Callable[[TaskExamples], FloatArray | None]
) -> FloatArray | None:
    """What ``of`` gives of all of them; None where one does not know it."""
    known = [rows for one in each if (rows := of(one)) is not None]
    return np.concatenate(known) if len(known) == len(each) else None


def _summed(cuts: Sequence[Any]) -> Any:
    return reduce(add, cuts) if cuts else None
