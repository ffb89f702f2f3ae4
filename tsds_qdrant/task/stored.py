"""Task examples that are points: of another collection, or of the pool itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections import collection_exists, open_collection
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.filters import check_filter
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo, Filter, PointId, Record
from tsds_qdrant.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    InputError,
    SettingsError,
    UnsupportedCollectionError,
)
from tsds_qdrant.pool.fields import unknown_in
from tsds_qdrant.pool.texts import point_template
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.fields import field_values
from tsds_qdrant.representations.model_names import same_model
from tsds_qdrant.represented.advice import represent_command
from tsds_qdrant.represented.marks import all_kept, described, mark_key
from tsds_qdrant.represented.whole import check_whole
from tsds_qdrant.task.examples import TaskExamples
from tsds_qdrant.task.represented import check_alike

PAGE = 1_000


def examples_of_collection(
    location: str,
    name: str,
    *,
    like: CollectionInfo,
    vector: str | None = None,
    connection: Connection | None = None,
    where: Filter | None = None,
) -> TaskExamples:
    """The points of collection ``name``, which must fit the collection ``like``.

    Args:
        location: a directory, or the URL of a server.
        name: of the collection there.
        like: the collection of candidates.
        vector: which of several vectors.
        connection: how a server is reached.
        where: only points that match it.

    Raises:
        CollectionMismatchError: another model.
        InputError: it holds no point, or none that matches.
        SettingsError: it is ``like`` itself.
        UnsupportedCollectionError: a point has no vector.
    """
    if (location, name) == (like.location, like.name):
        raise _holds_candidates(name)
    reached = (connection or Connection()).beside()
    kept = all_kept(like).get(like.vector)
    if vector is None and kept is not None:
        vector = like.vector
    try:
        collection = open_collection(location, name, vector=vector, connection=reached)
    except CollectionNotFoundError as error:
        if kept is None or not collection_exists(location, name):
            raise
        raise CollectionMismatchError(
            f"collection '{name}' has no vectors '{vector}', as the candidates have; make them: "
            f"{represent_command(replace(like, name=name), vector or '', kept)}"
        ) from error
    with collection:
        info = described(collection)
        if (info.alias_of or name) == (like.alias_of or like.name) and location == like.location:
            raise _holds_candidates(name)
        check_alike(info, like)
        check_whole(collection, info, where)
        mine, theirs = info.model, like.model
        if mine and theirs and not same_model(mine, theirs):
            raise CollectionMismatchError(
                f"collection '{name}' is made by model '{mine}' but '{like.name}' by '{theirs}'; "
                f"ingest the task examples with --model {theirs}"
            )
        found = _of(_matching(collection, where), info, point_template(collection))
        if not len(found.vectors):
            what = "holds no task example; ingest some first"
            if where is not None:
                what = f"has no point that matches --queries-filter; {_advice(collection, where)}"
            raise InputError(f"collection '{name}' {what}")
    return found


def examples_like_ids(
    collection: Collection, ids: Sequence[PointId], template: TextTemplate | None = None
) -> TaskExamples:
    """The points ``ids`` of the pool itself, with the vectors that are searched.

    Raises:
        InputError: there is no id, or no point of one.
        UnsupportedCollectionError: a point has no vector.
    """
    if not ids:
        raise InputError("--like-ids names no id; give a file with one a line")
    distinct = list(dict.fromkeys(ids))
    info = described(collection)
    there = {record.id: record for record in _retrieved(collection, distinct)}
    if missing := [one for one in distinct if one not in there]:
        more = f", nor {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"collection '{info.name}' has no point {missing[0]} that --like-ids names{more}; "
            f"give ids of its points"
        )
    found = [there[one] for one in distinct]
    return replace(
        _of(found, info, point_template(collection, template, shared=True)), ids=frozenset(there)
    )


def examples_like(
    collection: Collection, where: Filter, template: TextTemplate | None = None
) -> TaskExamples:
    """The points of the pool itself that match ``where``, with the vectors that are searched.

    Raises:
        InputError: none does.
        SettingsError: it is no filter.
        UnsupportedCollectionError: a point has no vector.
    """
    check_filter(where)
    info = described(collection)
    found = list(_matching(collection, where))
    if not found:
        raise InputError(
            f"no point of collection '{info.name}' matches the filter of the task examples; "
            f"{_advice(collection, where)}"
        )
    ids = frozenset(record.id for record in found)
    return replace(_of(found, info, point_template(collection, template, shared=True)), ids=ids)


def _of(records: Iterable[Record], info: CollectionInfo, template: TextTemplate) -> TaskExamples:
    vectors: list[Float32Array] = []
    texts: list[str] = []
    margins: list[Any] = []
    for record in records:
        if record.vector is None:
            raise UnsupportedCollectionError(
                f"point {record.id} of collection '{info.name}' has no vector "
                f"{info.named}; delete it or choose another with --vector"
            )
        vectors.append(record.vector)
        texts.append(_text_if_any(template, record.content))
        margins += field_values(record.payload, mark_key(info.vector, "margin"))
    known = np.array(margins, dtype=np.float64) if len(margins) == len(texts) else None
    rows = np.stack(vectors) if vectors else np.empty((0, info.dimension), dtype=np.float32)
    return TaskExamples(rows, texts, np.ones(len(rows)), margins=known)


def _matching(collection: Collection, where: Filter | None) -> Iterable[Record]:
    for page in collection.scroll_ids(where):
        yield from collection.retrieve(page, vectors=True)


def _retrieved(collection: Collection, ids: Sequence[PointId]) -> Iterable[Record]:
    for start in range(0, len(ids), PAGE):
        yield from collection.retrieve(ids[start : start + PAGE], vectors=True)


def _advice(collection: Collection, where: Filter) -> str:
    return unknown_in(collection, where) or "change it"


def _holds_candidates(name: str) -> SettingsError:
    return SettingsError(
        f"collection '{name}' holds the candidates and cannot give all of them as task examples; "
        f"say which with --queries-filter, or --like-ids, or ingest them into a collection of "
        f"their own"
    )


def _text_if_any(template: TextTemplate, record: Mapping[str, Any]) -> str:
    with suppress(InputError):
        return template.render(record) if template.to_dict() else ""
    return ""
