"""What ``--queries`` names: records, vectors, or another collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tsds_qdrant.collections.checked import check_made
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.paths import COLLECTION_PREFIX
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records import TextTemplate, read_entries
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.represented.marks import all_kept
from tsds_qdrant.represented.opening import MADE_WITH, Opened
from tsds_qdrant.task.examples import (
    TaskExamples,
    examples_of_collection,
    examples_of_records,
    examples_of_vectors,
    is_text_source,
    weights_of,
)
from tsds_qdrant.task.model import checked_model
from tsds_qdrant.task.represented import opened_for, vectors_of_records
from tsds_qdrant.task.settings import Reading


def task_examples(
    source: str,
    info: CollectionInfo,
    reading: Reading | None = None,
    *,
    collection: Collection | None = None,
    connection: Connection | None = None,
    progress: Progress = silent,
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

    Raises:
        SettingsError: ``represent`` made the searched space, and no ``collection`` is given.
        TsdsError: they cannot be used; see the functions below.
    """
    reading = reading or Reading()
    if not is_text_source(source):
        reading.check_none_of_records(source)
    template = reading.text_template()
    if source.startswith(COLLECTION_PREFIX):
        name = source.removeprefix(COLLECTION_PREFIX)
        found = examples_of_collection(info.location, name, like=info, connection=connection)
    elif not is_text_source(source):
        found = examples_of_vectors(source, info)
    else:
        # A path that is missing or of no known format is refused before a model is loaded.
        read_entries(source, form=reading.form)
        found = examples_of_texts(source, info, reading, collection=collection, progress=progress)
    return replace(found, template=template)


def examples_of_texts(
    source: str,
    info: CollectionInfo,
    reading: Reading,
    *,
    collection: Collection | None,
    progress: Progress = silent,
) -> TaskExamples:
    """Make vectors of the records of the file ``source``, as those of the candidates were made.

    Raises:
        SettingsError, TsdsError: see :func:`task_examples`.
    """
    template = reading.text_template()
    weight_field, form = reading.weight_field, reading.form
    made = None if collection is None else opened_for(collection, reading)
    if made is None:
        if info.vector in all_kept(info):
            raise SettingsError(
                f"'represent' made the vectors '{info.vector}' of collection '{info.name}'; give "
                f"the open collection too, which says how"
            )
        stored = made_by_model(info)
        model = checked_model(info, reading.model)
        found = examples_of_records(
            source,
            reading.embedder(model, stored),
            template=template,
            stored=stored,
            weight_field=weight_field,
            form=form,
            progress=progress,
        )
        check_made(found.vectors, info, model)
        return found
    return examples_represented(
        source, made, template, weight_field=weight_field, form=form, progress=progress
    )


def examples_represented(
    source: str,
    made: Opened,
    template: TextTemplate,
    *,
    weight_field: str | None = None,
    form: FileForm | None = None,
    progress: Progress = silent,
) -> TaskExamples:
    """Make vectors of the records of the file ``source`` by the representation ``made``.

    Args:
        source: any file that :func:`~tsds_qdrant.records.read_entries` reads.
        made: what made the searched vectors of the candidates.
        template: how the text is made; if undecided, as that of the candidates was.
        weight_field: field of a record that holds its weight.
        form: what the file is like.
        progress: stage ``task examples``.

    Raises:
        TsdsError: see :func:`~tsds_qdrant.task.represented.vectors_of_records`.
    """
    entries = list(read_entries(source, form=form))
    weights = weights_of(entries, weight_field)
    vectors, texts = vectors_of_records(entries, made, template, progress)
    check_made(vectors, made.info, f"represent {made.kept.kind}")
    return TaskExamples(vectors, texts, weights)


def made_by_model(info: CollectionInfo) -> Mapping[str, Any]:
    """The metadata, without what they say of a model of other vectors than the searched ones."""
    if info.model is not None:
        return info.metadata
    return {key: value for key, value in info.metadata.items() if key not in MADE_WITH}
