"""Task examples as the command line names them."""

from __future__ import annotations

from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.progress import Progress
from tsds_qdrant.records import TextTemplate, read_records
from tsds_qdrant.representations.text import SentenceTransformerEmbedder
from tsds_qdrant.task.examples import (
    COLLECTION_PREFIX,
    TaskExamples,
    checked_model,
    examples_of_collection,
    examples_of_records,
    examples_of_vectors,
    is_text_source,
)


def task_examples(
    source: str,
    info: CollectionInfo,
    *,
    text_field: str | None,
    template: str | None,
    weight_field: str | None,
    model: str | None,
    device: str | None,
    batch_size: int,
    api_key: str | None,
    progress: Progress,
) -> TaskExamples:
    """Read, and embed where needed, the task examples of ``--queries``.

    Raises:
        TsdsError: they cannot be used; see :mod:`tsds_qdrant.task.examples`.
    """
    if weight_field and not is_text_source(source):
        raise SettingsError(
            f"--weight-field {weight_field} needs task examples that are records, and "
            f"'{source}' holds vectors; leave it out"
        )
    if source.startswith(COLLECTION_PREFIX):
        name = source.removeprefix(COLLECTION_PREFIX)
        return examples_of_collection(info.location, name, like=info, api_key=api_key)
    if not is_text_source(source):
        return examples_of_vectors(source)
    read_records(source)  # a path that is missing or of no known format is refused here
    embedder = SentenceTransformerEmbedder(
        checked_model(info, model), device=device, batch_size=batch_size
    )
    return examples_of_records(
        source,
        embedder,
        template=TextTemplate.parse(text_field, template),
        stored=info.metadata,
        weight_field=weight_field,
        progress=progress,
    )
