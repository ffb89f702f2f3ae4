"""Select from what is in memory: from a DataFrame to a DataFrame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.collections.checked import checked_examples
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import BadRecordError, InputError, SettingsError, SupportError
from tsds_qdrant.guards.sources import guard_against
from tsds_qdrant.notebook.asked import Asked
from tsds_qdrant.notebook.bars import bars
from tsds_qdrant.notebook.described import described_with
from tsds_qdrant.notebook.given import TEXT, Given, counted, entries_in, given_of, tasks_of
from tsds_qdrant.notebook.ingest import POOL, Stored, store
from tsds_qdrant.notebook.models import OwnReading, reading_with
from tsds_qdrant.notebook.place import Kept, within
from tsds_qdrant.notebook.selected import Selected
from tsds_qdrant.notebook.words import arguments_named, in_python
from tsds_qdrant.paths import Location
from tsds_qdrant.progress import Progress
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.entries import Entry
from tsds_qdrant.records.fields import record_values
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.records.vector_columns import checked_vector
from tsds_qdrant.runs.begin import Keeping, new_run
from tsds_qdrant.selection.results import manifest, sample_rows
from tsds_qdrant.task.examples import TaskExamples, groups_of, weights_of
from tsds_qdrant.task.several import together
from tsds_qdrant.task.sources import examples_of_texts, task_examples


def select_from(
    pool: Any,
    task: Any,
    size: Any = None,
    *,
    model: Any = None,
    payloads: Any = None,
    qdrant: Location | None = None,
    collection: str | None = None,
    progress: bool | Progress = False,
    **settings: Any,
) -> Selected:
    """Select from ``pool`` what a model should be trained on for ``task``.

    Args:
        pool: the candidates: a list of texts or of dictionaries; a DataFrame of pandas or polars, a
            Series of texts; a ``datasets.Dataset``, streaming or not; a Table of Arrow; an array
            (n, D) of vectors of numpy or torch; the path of a file, as the command line reads
            it; or ``collection:NAME`` at the place ``qdrant``, whose points are the candidates.
        task: the task examples, as any of these; or ``collection:NAME`` at the same place. A
            dictionary of several names them as tasks of their own, which count the same;
            ``task_weight`` says otherwise.
        size: how many to select; several give nested samples. ``ratio`` is a share of the pool.
        model: what embeds texts: a name, a SentenceTransformer, anything with ``encode``, or a
            function of a list of texts; of ready vectors the name of what made them.
        payloads: records that come with a pool of vectors, one for each row.
        qdrant: a directory, or the URL of a server, where the vectors are kept, so that another
            call embeds nothing again; a temporary directory by default, removed with the result.
        collection: its name there. Only the rows of ``pool`` are candidates, whatever else it
            holds.
        progress: True shows bars; or a callback.
        settings: the flags of the commands ``ingest`` and ``select`` by their names:
            ``text_field``, ``strategy``, ``seed``, ``quota``, ``filter``, ``exclude``, ``alpha``,
            ``state``, ..; ``task_text_field`` and ``task_template`` where the task has other
            fields than the pool; and ``connection``.

    Raises:
        TsdsError: as the commands; the message names the offending value and the next step.
    """
    with arguments_named(), bars(progress) as show:
        asked = Asked.of({"size": size, **settings})
        reading = reading_with(asked.reading, model)
        candidates = given_of(pool, POOL, asked.reading.text_field, payloads)
        examples = tasks_of(task)
        place = Kept.of(qdrant, candidates.named_place(qdrant, collection), asked)
        is_new = not place.exists()
        for one in examples.values():
            _check(candidates, one, asked, reading, is_new=is_new)
        stored = Stored(None, None, reading)
        if not candidates.is_collection:
            stored = store(candidates, place, asked, reading, show)
        return _selected(candidates, examples, place, asked, stored, show)


def _check(pool: Given, task: Given, asked: Asked, reading: OwnReading, *, is_new: bool) -> None:
    """Refuse what can be refused before anything is embedded."""
    wanted, count = asked.selection.wanted, counted(pool, asked.records.form)
    sized = bool(wanted.sizes) or wanted.ratio is not None
    settings = asked.selection
    if settings.strategy.follows_size and not (sized or settings.by_budget or settings.own_size):
        raise SettingsError("no size is given; give size=1000 or ratio=0.01")
    largest = max(wanted.sizes, default=0)
    if count is not None and settings.exact_size and largest > count:
        raise SupportError(
            f"size is {largest}, and the pool has {count} rows; give size={count} or less"
        )
    if task.vectors is not None:
        bad = ~np.isfinite(task.vectors).all(axis=1)
        if bad.any():
            raise InputError(
                f"row {int(np.argmax(bad))} of 'task' holds NaN or infinity; remove or repair it"
            )
        if pool.vectors is not None and pool.vectors.shape[1] != task.vectors.shape[1]:
            raise InputError(
                f"the task has {task.vectors.shape[1]} dimensions and the pool "
                f"{pool.vectors.shape[1]}; make both by the same model"
            )
        return
    if pool.vectors is not None and task.needs_model and reading.model is None and is_new:
        raise SettingsError(
            f"the pool has ready vectors and the task is {task.kind} without any; give model, the "
            f"name of what made those vectors, or vectors of the task"
        )
    if not task.needs_model or task.source is not None:
        return
    entries = entries_in(task)
    template = _reading_of(task, asked, reading).text_template()
    if template.to_dict() and not _brings_vectors(entries, asked):
        for entry in entries:
            _check_text(entry, template)


def _check_text(entry: Entry, template: TextTemplate) -> None:
    try:
        template.render(entry.record, entry.place)
    except BadRecordError as error:
        raise InputError(
            f"{error.place} {error.fault}; {error.advice} (task_text_field or task_template are "
            f"for the task alone)"
        ) from None


def _brings_vectors(entries: list[Entry], asked: Asked) -> bool:
    """Whether the records of a task bring vectors along, in the field where the pool has them."""
    field = asked.records.form.vector_field
    return field is not None and bool(record_values(entries[0].record, field))


def _reading_of(task: Given, asked: Asked, reading: OwnReading) -> OwnReading:
    """How the texts of ``task`` are made: a text is one as it is."""
    if task.of_texts:
        return replace(reading, text_field=TEXT, template=None)
    return replace(reading, text_field=asked.task.text_field, template=asked.task.template)


def _selected(
    pool: Given,
    tasks: Mapping[str, Given],
    place: Kept,
    asked: Asked,
    stored: Stored,
    progress: Progress,
) -> Selected:
    settings, reading = asked.selection, stored.reading
    with place.open(settings.strategy) as opened:
        reading, info, said = described_with(opened, reading, tasks.values(), asked)
        parts = {
            name: _examples(task, asked, reading, opened, info, place, progress)
            for name, task in tasks.items()
        }
        examples = together(parts, dict(asked.tasks.task_weight))
        examples = replace(examples, in_pool=asked.tasks.in_pool)
        guard = None
        if asked.guard.sources:
            guard = guard_against(
                asked.guard,
                info,
                reading,
                collection=opened,
                connection=place.connection,
                progress=progress,
            )
        where = settings.search.where
        if stored.rows is not None:
            where = within(opened, stored.rows, where)
        kinds = [task.kind for task in tasks.values()]
        source = {"source": kinds[0] if len(kinds) == 1 else kinds}
        run = new_run(
            opened,
            examples,
            replace(settings, search=replace(settings.search, where=where)),
            guard=guard,
            keeping=Keeping(
                query_facts=source,
                since_field=asked.run.since_field,
                detect_updates=asked.run.detect_updates,
                count_tokens=reading.counter(),
            ),
            state=asked.run.state,
            progress=progress,
        )
        facts = manifest(run.selection, queries=source)
        rows = {size: [*sample_rows(opened, run.selection, size)] for size in run.selection.samples}
    notes = map(in_python, filter(None, (*stored.notes, *said, examples.note, run.note)))
    return Selected(pool, place, run, facts, rows, stored.rows, tuple(notes))


def _examples(
    task: Given,
    asked: Asked,
    reading: OwnReading,
    opened: Collection,
    info: CollectionInfo,
    place: Kept,
    progress: Progress,
) -> TaskExamples:
    reading, way = _reading_of(task, asked, reading), asked.selection.strategy.way
    if task.vectors is not None:
        reading.check_none_of_records(task.kind)
        return _ready(task.vectors, info)
    if task.source is not None:
        return task_examples(
            task.source,
            info,
            reading,
            collection=opened,
            connection=place.connection,
            progress=progress,
            way=way,
        )
    assert task.records is not None
    entries = entries_in(task)
    if _brings_vectors(entries, asked):
        path = str(asked.records.form.vector_field)
        taken = entries_in(task, FileForm(vector_field=path))
        rows = [checked_vector(one, path, info.dimension, info.metric) for one in taken]
        found = _ready(np.stack(rows), info)
        weights = weights_of(taken, reading.weight_field)
        return replace(found, weights=weights, groups=groups_of(taken, reading.subtask_field))
    found = examples_of_texts(
        task.records, info, reading, collection=opened, progress=progress, way=way
    )
    return replace(found, template=asked.reading.text_template())


def _ready(vectors: npt.NDArray[Any], info: CollectionInfo) -> TaskExamples:
    """Task examples that are vectors, fit for searches of the collection ``info``."""
    with np.errstate(over="ignore"):
        rows = np.asarray(vectors, dtype=np.float32)
    rows = checked_examples(rows, info, what="task example", unit=False)
    return TaskExamples(rows, [""] * len(rows), np.ones(len(rows)))
