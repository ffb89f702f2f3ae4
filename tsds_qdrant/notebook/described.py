"""What is known of the collection of a call, once its model has proved to make the vectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.guards.sources import embeds_texts
from tsds_qdrant.notebook.asked import Asked
from tsds_qdrant.notebook.given import Given
from tsds_qdrant.notebook.models import OwnReading
from tsds_qdrant.progress import notice
from tsds_qdrant.represented.marks import all_kept
from tsds_qdrant.task.model import info_with_model
from tsds_qdrant.task.proof import info_for_texts


def described_with(
    opened: Collection, reading: OwnReading, tasks: Iterable[Given], asked: Asked
) -> tuple[OwnReading, CollectionInfo, list[str]]:
    """How texts are read for ``opened``, what is known of it, and what its proof has found.

    Raises:
        TsdsError: another model than that of the call made its vectors.
    """
    known = opened.info()
    if known.vector in all_kept(known):  # another model made these
        reading = replace(reading, own=None, model=None)
    info = info_with_model(opened, reading.model, partial(reading.embedder, stored=known.metadata))
    said: list[str] = []
    texts = any(one.needs_model for one in tasks) or embeds_texts(asked.guard, info.metric)
    if reading.model is None or not texts:
        return reading, info, said

    def say(subject: str, text: str) -> None:
        said.append(text)
        notice(subject, text)

    named = partial(reading.embedder, reading.model)
    return reading, info_for_texts(opened, info, named, reading.text_template(), say), said
