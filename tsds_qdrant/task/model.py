"""The model of a collection, and whether one of another name is the same.

A model directory may have been moved, or the hub's copy taken along as a directory. Names do not
say so, but vectors do: a model that makes the stored vectors of stored texts is the collection's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.distance import normalized
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.errors import CollectionMismatchError, InputError, SettingsError
from tsds_qdrant.pool.texts import own_template
from tsds_qdrant.progress import notice
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.representations.model_names import (
    directory_of,
    is_gone,
    remembered_model,
    same_model,
)
from tsds_qdrant.representations.text import Embedder, made_with
from tsds_qdrant.task.suggestion import suggestion_for

PROVING_TEXTS = 4
LOOKED_AT = 64
SAME_WITHIN = 0.02
"""Largest distance between a stored vector and one made again, as a share of its length: what
another device or precision may make."""


def checked_model(
    info: CollectionInfo, model: str | None, collection: Collection | None = None
) -> str:
    """The model to embed task examples with: the collection's own.

    Args:
        info: of the collection.
        model: what a user names.
        collection: a few of its points are read where neither says it, for a suggestion.

    Raises:
        CollectionMismatchError: ``model`` is another one.
        SettingsError: the collection does not say, and none is given.
    """
    theirs = info.model
    if theirs and model and not same_model(theirs, model):
        raise CollectionMismatchError(
            f"collection '{info.name}' is made by model '{theirs}', not '{model}'; "
            f"leave --model out{_or_its_place(theirs)}"
        )
    if not (theirs or model):
        found = None if collection is None else suggestion_for(collection, info)
        raise SettingsError(
            f"collection '{info.name}' does not say which model made its vectors"
            + (f", but {found.in_words}" if found else "; name it with --model")
            + ", or give the task examples as .npy"
        )
    return str(model or theirs)


def check_made_alike(stored: Mapping[str, Any], embedder: Embedder) -> None:
    """Check that ``embedder`` reads texts as far as those of the collection were read.

    Another backend makes the same vectors but for rounding; that is said.

    Args:
        stored: metadata of the collection; nothing is checked where it names no model.
        embedder: for texts that are compared with the stored ones.

    Raises:
        CollectionMismatchError: it reads more or fewer tokens.
    """
    if not stored.get("model"):
        return
    mine = made_with(embedder)
    theirs, length = stored.get("max_length"), mine.get("max_length")
    if theirs != length:
        how = f"the first {theirs} tokens" if theirs else "as many tokens as the model reads"
        other = f"the first {length}" if length else "more"
        raise CollectionMismatchError(
            f"the collection's vectors are made of {how} of each text, not of {other}; "
            f"leave --max-length out, or use another collection"
        )
    before, now = stored.get("backend", "torch"), mine.get("backend", "torch")
    if before != now:
        notice(
            "backend",
            f"the collection's vectors were computed by {before}, and these are by {now}: equal "
            f"texts may differ in the last digits",
        )


def info_with_model(
    collection: Collection, model: str | None, embedder: Callable[[str], Embedder]
) -> CollectionInfo:
    """Describe ``collection``, whose model is ``model`` where that proves to be the same.

    Args:
        collection: open; a few of its points are read.
        model: what a user names; None for the collection's own.
        embedder: makes the model of a name.

    Raises:
        CollectionMismatchError: it makes other vectors, or the collection has no texts to show it.
        EmbeddingError: it cannot be loaded.
    """
    info = collection.info()
    theirs, model = info.model, model and remembered_model(model)
    if not (theirs and model) or same_model(theirs, model) or not may_be_same(theirs, model):
        return info
    check_same(collection, info, embedder(model))
    return replace(info, metadata={**info.metadata, "model": model})


def may_be_same(theirs: str, model: str) -> bool:
    """Whether models of different names are worth a comparison of vectors."""
    return directory_of(model) is not None or is_gone(theirs)


def check_same(collection: Collection, info: CollectionInfo, embedder: Embedder) -> None:
    """Check by a few stored texts that ``embedder`` is the model of ``collection``.

    Raises:
        CollectionMismatchError: it is not, or there are no texts.
        EmbeddingError: it cannot be loaded.
    """
    theirs = str(info.model)
    gone = ", which is no longer there," if is_gone(theirs) else ""
    ids, texts, stored = stored_texts(collection, info)
    if not texts:
        way_out = f"put it back at '{theirs}'" if gone else "leave --model out"
        raise CollectionMismatchError(
            f"collection '{info.name}' is made by model '{theirs}'{gone} and has no texts that "
            f"could show whether '{embedder.name}' is the same; {way_out}, or use ready vectors"
        )
    made = embedder.encode(texts)
    if made.shape[1] != info.dimension:
        found = f"gives {made.shape[1]} dimensions and not {info.dimension}"
    else:
        made, stored = normalized(made, info.metric), normalized(stored, info.metric)
        far = np.linalg.norm(made - stored, axis=1) > SAME_WITHIN * np.linalg.norm(stored, axis=1)
        if not far.any():
            return
        found = f"gives point {ids[int(np.argmax(far))]} another vector"
    way_out = "give its new place with --model" if gone else "leave --model out"
    raise CollectionMismatchError(
        f"collection '{info.name}' is made by model '{theirs}'{gone} "
        f"and '{embedder.name}' {found}; {way_out}"
    )


def _or_its_place(theirs: str) -> str:
    return "" if directory_of(theirs) else ", or give the directory where that model is now"


def stored_texts(
    collection: Collection, info: CollectionInfo, template: TextTemplate | None = None
) -> tuple[list[PointId], list[str], Float32Array]:
    """Ids, texts and vectors of a few points that have both.

    Args:
        template: how the texts are made; as the metadata say by default.
    """
    template = template or own_template(info)
    ids: list[PointId] = []
    texts: list[str] = []
    vectors: list[Float32Array] = []
    where = joined(None, {"has_vector": info.vector})
    page = next(iter(collection.scroll_ids(where)), []) if template.to_dict() else []
    for record in collection.retrieve(page[:LOOKED_AT], vectors=True):
        try:
            text = template.render(record.content)
        except InputError:
            continue
        if text.strip() and record.vector is not None and len(texts) < PROVING_TEXTS:
            ids.append(record.id)
            texts.append(text)
            vectors.append(record.vector)
    return ids, texts, np.stack(vectors) if vectors else np.empty((0, 0), dtype=np.float32)
