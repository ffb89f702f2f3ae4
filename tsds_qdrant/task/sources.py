"""What ``--queries`` names: records, vectors, or another collection."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from itertools import compress
from typing import Any

import numpy as np

from tsds_qdrant.arrays import BoolArray, Float32Array, FloatArray
from tsds_qdrant.collections.checked import check_made
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo, Filter
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.paths import COLLECTION_PREFIX, Location
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records import Source, TextTemplate, read_entries
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.representations.base import Way
from tsds_qdrant.represented.marks import all_kept
from tsds_qdrant.represented.opening import MADE_WITH, Opened
from tsds_qdrant.task.examples import (
    TaskExamples,
    examples_of_records,
    examples_of_vectors,
    groups_of,
    is_text_source,
    weights_of,
)
from tsds_qdrant.task.hosted import kept
from tsds_qdrant.task.model import checked_model
from tsds_qdrant.task.represented import opened_for, vectors_of_records
from tsds_qdrant.task.settings import Reading
from tsds_qdrant.task.stored import examples_like, examples_of_collection


def task_examples(
    source: Location,
    info: CollectionInfo,
    reading: Reading | None = None,
    *,
    collection: Collection | None = None,
    connection: Connection | None = None,
    progress: Progress = silent,
    way: Way = "targets",
    where: Filter | None = None,
) -> TaskExamples:
    """Read, and embed where needed, the task examples of ``--queries``.

    Args:
        source: a file of records, a ``.npy`` file of vectors, or ``collection:NAME``.
        info: of the collection of candidates.
        reading: how texts are made and embedded; those of candidates too, where the collection
            does not say.
        collection: that of the candidates, open: records become vectors of its searched space as
            ``represent`` made those.
        connection: how a server is reached.
        progress: stage ``task examples``, as records are embedded.
        way: how vectors are made of records, as the strategy wants it.
        where: which points of ``collection:NAME`` are meant; all by default.

    Raises:
        SettingsError: ``represent`` made the searched space, and no ``collection`` is given.
        TsdsError: they cannot be used; see the functions below.
    """
    source, reading = os.fspath(source), reading or Reading()
    if not is_text_source(source):
        reading.check_none_of_records(source)
    template = reading.text_template()
    if source.startswith(COLLECTION_PREFIX):
        name = source.removeprefix(COLLECTION_PREFIX)
        if where is not None and collection is not None and name in (info.name, info.alias_of):
            found = examples_like(collection, where, template)
        else:
            found = examples_of_collection(
                info.location, name, like=info, connection=connection, where=where
            )
    elif not is_text_source(source):
        found = examples_of_vectors(source, info)
    else:
        # A path that is missing or of no known format is refused before a model is loaded.
        read_entries(source, form=reading.form)
        found = examples_of_texts(
            source, info, reading, collection=collection, progress=progress, way=way
        )
    return replace(found, template=template)


def examples_of_texts(
    source: Source,
    info: CollectionInfo,
    reading: Reading,
    *,
    collection: Collection | None,
    progress: Progress = silent,
    way: Way = "targets",
) -> TaskExamples:
    """Make vectors of the records of ``source``, as those of the candidates were made.

    Raises:
        SettingsError, TsdsError: see :func:`task_examples`.
    """
    template = reading.text_template()
    fields: dict[str, str | None] = {
        "weight_field": reading.weight_field,
        "subtask_field": reading.subtask_field,
    }
    form = reading.form
    made = None if collection is None else opened_for(collection, reading)
    if made is None:
        if info.vector in all_kept(info):
            raise SettingsError(
                f"'represent' made the vectors {info.named} of collection '{info.name}'; give "
                f"the open collection too, which says how"
            )
        if way not in ("targets", "with_margins"):
            what = "of preferences" if way == "contrasts" else "with their lengths"
            raise SettingsError(
                f"the vectors {info.named} of collection '{info.name}' are no gradients, and "
                f"gradients {what} are wanted; make some with 'represent gradient', and name them "
                f"with --vector"
            )
        stored = made_by_model(info)
        model = checked_model(info, reading.model, collection)
        found = examples_of_records(
            source,
            kept(reading.embedder(model, stored)),
            template=template,
            stored=stored,
            **fields,
            form=form,
            progress=progress,
        )
        check_made(found.vectors, info, model)
        return found
    return examples_represented(
        source, made, template, **fields, form=form, progress=progress, way=way
    )


def examples_represented(
    source: Source,
    made: Opened,
    template: TextTemplate,
    *,
    weight_field: str | None = None,
    subtask_field: str | None = None,
    form: FileForm | None = None,
    progress: Progress = silent,
    way: Way = "targets",
) -> TaskExamples:
    """Make vectors of the records of ``source`` by the representation ``made``.

    Args:
        source: any file that :func:`~tsds_qdrant.records.read_entries` reads.
        made: what made the searched vectors of the candidates.
        template: how the text is made; if undecided, as that of the candidates was.
        weight_field: field of a record that holds its weight.
        subtask_field: field of a record that names its sub-task.
        form: what the file is like.
        progress: stage ``task examples``.
        way: how vectors are made of the records.

    Raises:
        InputError: nothing is left of preferences.
        TsdsError: see :func:`~tsds_qdrant.task.represented.vectors_of_records`.
    """
    entries = list(read_entries(source, form=form))
    weights, groups = weights_of(entries, weight_field), groups_of(entries, subtask_field)
    vectors, texts = vectors_of_records(entries, made, template, progress, way)
    dropped = ""
    kept: BoolArray = np.any(vectors, axis=1)
    if way == "contrasts" and not kept.all():
        same = len(kept) - int(kept.sum())
        dropped = (
            f"{same} of {len(kept)} preferences were left out, as the model reads the same in the "
            f"chosen and the rejected answer"
        )
        if same == len(kept):
            raise InputError(f"{dropped}; give others")
        vectors, weights = vectors[kept], weights[kept]
        left = kept.tolist()
        texts, groups = list(compress(texts, left)), list(compress(groups, left))
    norms = None
    if way == "plain_targets":
        vectors, norms = parted_lengths(vectors, made.info.blocks)
    margins = None
    if way == "with_margins" and vectors.shape[1] == made.info.dimension + 1:
        vectors, margins = vectors[:, :-1], vectors[:, -1].astype(np.float64)
    check_made(vectors, made.info, f"represent {made.kept.kind}")
    found = TaskExamples(vectors, texts, weights, groups=groups, norms=norms, way=way)
    return replace(found, dropped=dropped, margins=margins)


def parted_lengths(rows: Float32Array, blocks: int) -> tuple[Float32Array, FloatArray]:
    """``rows`` (n, D) with each of their ``blocks`` C brought to length 1, and (n, C) lengths."""
    parts = rows.reshape(len(rows), blocks, -1).astype(np.float64)
    norms = np.linalg.norm(parts, axis=2)
    unit = parts / np.where(norms > 0, norms, 1.0)[:, :, None]
    return unit.reshape(rows.shape).astype(np.float32), norms


def made_by_model(info: CollectionInfo) -> Mapping[str, Any]:
    """The metadata, without what they say of a model of other vectors than the searched ones."""
    if info.model is not None:
        return info.metadata
    return {key: value for key, value in info.metadata.items() if key not in MADE_WITH}
