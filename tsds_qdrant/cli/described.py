"""What is known of a collection, once the model that a user names has proved to be its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tsds_qdrant.cli.terminal import say

if TYPE_CHECKING:
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.collections.values import CollectionInfo
    from tsds_qdrant.task.settings import Reading


def described_for(
    reading: Reading, collection: Collection, *, quiet: bool, texts: bool
) -> CollectionInfo:
    """What is known of ``collection``, by the model that ``reading`` names where that is the same.

    Args:
        reading: names the model.
        collection: open.
        quiet: say nothing.
        texts: texts are to be embedded, so a model has to prove that it makes the stored vectors.

    Raises:
        TsdsError: see :func:`~tsds_qdrant.task.model.info_with_model`.
    """
    from tsds_qdrant.task.model import info_with_model
    from tsds_qdrant.task.proof import info_for_texts

    made = partial(reading.embedder, stored=collection.info().metadata)
    info = info_with_model(collection, reading.model, made)
    if reading.model and texts:
        named = partial(reading.embedder, reading.model)
        info = info_for_texts(collection, info, named, reading.text_template())
    theirs, now = collection.info().metadata.get("model"), info.metadata.get("model")
    if theirs != now:
        say(
            f"'{now}' makes the vectors of collection '{info.name}' and is taken for its model "
            f"'{theirs}'",
            quiet=quiet,
        )
    return info
