"""Test items to be kept out: from files of texts, files of vectors, or other collections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.checked import check_made, checked_examples
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo, Metric
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.guards.contamination import runless
from tsds_qdrant.guards.guard import Guard
from tsds_qdrant.guards.held_out import HeldOut, Reach, default_radius
from tsds_qdrant.guards.settings import GuardSettings
from tsds_qdrant.paths import COLLECTION_PREFIX, remembered_source
from tsds_qdrant.pool.texts import own_template
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records import TextTemplate, read_records
from tsds_qdrant.records.reading import is_read_once
from tsds_qdrant.representations.text import Embedder
from tsds_qdrant.task.examples import (
    TaskExamples,
    examples_of_records,
    examples_of_vectors,
    is_text_source,
)
from tsds_qdrant.task.hosted import kept
from tsds_qdrant.task.model import checked_model
from tsds_qdrant.task.represented import opened_for
from tsds_qdrant.task.settings import Reading
from tsds_qdrant.task.sources import examples_represented, made_by_model
from tsds_qdrant.task.stored import examples_of_collection
from tsds_qdrant.task.suggestion import suggestion_for


class _TextsAlone:
    """Stands in for a model where no vectors are compared: vectors of no dimension."""

    name = ""

    def encode(
        self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None
    ) -> Float32Array:
        """(n, 0)."""
        if on_batch:
            on_batch(len(texts))
        return np.empty((len(texts), 0), dtype=np.float32)


def embeds_texts(settings: GuardSettings, metric: Metric) -> bool:
    """Whether test items of ``settings`` are texts that are compared by their vectors."""
    return bool(_radius_of(settings, metric)) and any(map(is_text_source, settings.sources))


def guard_against(
    settings: GuardSettings,
    info: CollectionInfo,
    reading: Reading | None = None,
    *,
    embedder: Callable[[str], Embedder] | None = None,
    collection: Collection | None = None,
    connection: Connection | None = None,
    progress: Progress = silent,
) -> Guard:
    """A guard that keeps the items of ``settings.sources`` out of selections from a collection.

    Args:
        settings: the test items, and what counts as a copy of one.
        info: of the collection of candidates.
        reading: how the texts of candidates are made, and the name of the model, if the collection
            does not say; by default in the first usual way that their payloads allow.
        embedder: makes the model of a name; by default as ``reading`` says.
        collection: that of the candidates, open: where ``represent`` made the searched vectors, and
            for a suggestion where nobody names their model.
        connection: how a server is reached.
        progress: stage ``task examples``, as records are embedded.

    Raises:
        InputError: a source cannot be used.
        SettingsError: settings that compare nothing.
        TsdsError: see :mod:`tsds_qdrant.task.examples`.
    """
    reading = reading or Reading()
    known = made_by_model(info)
    made_by = embedder or partial(reading.embedder, stored=known)
    reach = Reach(settings.ngrams, _radius_of(settings, info.metric), settings.overlap)
    template = TextTemplate.parse(None, settings.template)
    candidate_template = reading.text_template()
    made = None if collection is None else opened_for(collection, reading)
    parts: list[TaskExamples] = []
    for source in settings.sources:
        if source.startswith(COLLECTION_PREFIX):
            name = source.removeprefix(COLLECTION_PREFIX)
            if name == info.name:
                raise SettingsError(
                    f"--exclude names collection '{name}', which holds the candidates: all of "
                    f"them would be test items; ingest those into a collection of their own"
                )
            found = examples_of_collection(info.location, name, like=info, connection=connection)
        elif is_text_source(source) and reach.radius and made is not None:
            way = _template_of(source, template, {"text": made.text})
            found = examples_represented(source, made, way, progress=progress)
        elif is_text_source(source):
            chosen: Embedder = _TextsAlone()
            if reach.radius:
                chosen = kept(made_by(_model_of(info, reading.model, collection)))
            way = _template_of(source, template, info.metadata)
            stored = known if reach.radius else {"text": info.metadata.get("text", {})}
            found = examples_of_records(
                source, chosen, template=way, stored=stored, progress=progress
            )
            check_made(found.vectors, info, chosen.name)
        else:
            found = examples_of_vectors(source, info)
        if not reach.radius and not any(found.texts):
            raise SettingsError(
                f"'{source}' holds vectors, which are compared within a radius; give "
                f"--exclude-radius in the unit of the metric {info.metric}"
            )
        parts.append(found)
    vectors = None
    if reach.radius:
        vectors = np.concatenate(
            [checked_examples(part.vectors, info, what="test item") for part in parts]
        )
    held_out = HeldOut.of(
        [text for part in parts for text in part.texts],
        vectors,
        reach,
        sources=[remembered_source(source) for source in settings.sources],
        counts=[len(part.texts) for part in parts],
    )
    if settings.fail and not held_out.has_vectors and (why := runless(held_out)):
        raise SettingsError(
            f"{why}, so only whole texts could be compared; if that will do say so with "
            f"--exclude-ngrams 0, else compare vectors with --exclude-radius"
        )
    usual = own_template(info)
    way = usual if usual.to_dict() else candidate_template
    return Guard(held_out, way, strict=settings.fail)


def _radius_of(settings: GuardSettings, metric: Metric) -> float:
    return default_radius(metric) if settings.radius is None else settings.radius


def _model_of(info: CollectionInfo, model: str | None, collection: Collection | None) -> str:
    if not (model or info.model):
        found = None if collection is None else suggestion_for(collection, info)
        named = f", but {found.in_words}" if found else "; name it with --model"
        raise SettingsError(
            f"collection '{info.name}' does not say which model made its vectors{named}, or "
            f"compare texts alone with --exclude-radius 0"
        )
    return checked_model(info, model)


def _template_of(source: str, template: TextTemplate, stored: Mapping[str, Any]) -> TextTemplate:
    """As given; else the collection's way if the first record fits it, else a usual one."""
    usual = TextTemplate.from_dict(stored.get("text", {}))
    if template.to_dict() or not usual.to_dict() or is_read_once(source):
        return template
    record = next(iter(read_records(source)))
    try:
        usual.render(record)
    except InputError:
        return TextTemplate().decide(record)
    return usual
