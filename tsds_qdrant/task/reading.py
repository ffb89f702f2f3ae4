"""Task examples as the command line names them."""

from __future__ import annotations

from dataclasses import replace

from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records import read_records
from tsds_qdrant.task.examples import (
    COLLECTION_PREFIX,
    TaskExamples,
    checked_model,
    examples_of_collection,
    examples_of_records,
    examples_of_vectors,
    is_text_source,
)
from tsds_qdrant.task.settings import Reading


def task_examples(
    source: str,
    info: CollectionInfo,
    reading: Reading | None = None,
    *,
    api_key: str | None = None,
    progress: Progress = silent,
) -> TaskExamples:
    """Read, and embed where needed, the task examples of ``--queries``.

    Args:
        source: a file of records, a ``.npy`` file of vectors, or ``collection:NAME``.
        info: of the collection of candidates.
        reading: how texts are made and embedded; those of candidates too, where the collection
            does not say.
        api_key: for a server.
        progress: stage ``task examples``, as records are embedded.

    Raises:
        TsdsError: they cannot be used; see :mod:`tsds_qdrant.task.examples`.
    """
    reading = reading or Reading()
    if reading.weight_field and not is_text_source(source):
        raise SettingsError(
            f"--weight-field {reading.weight_field} needs task examples that are records, and "
            f"'{source}' holds vectors; leave it out"
        )
    template = reading.text_template()
    if source.startswith(COLLECTION_PREFIX):
        name = source.removeprefix(COLLECTION_PREFIX)
        found = examples_of_collection(info.location, name, like=info, api_key=api_key)
    elif not is_text_source(source):
        found = examples_of_vectors(source)
    else:
        read_records(source)  # a path that is missing or of no known format is refused here
        found = examples_of_records(
            source,
            reading.embedder(checked_model(info, reading.model)),
            template=template,
            stored=info.metadata,
            weight_field=reading.weight_field,
            progress=progress,
        )
    return replace(found, template=template)
