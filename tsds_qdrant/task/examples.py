"""Task examples: from a file of texts, a file of vectors, or another collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.collections import collection_exists, open_collection
from tsds_qdrant.collections.checked import checked_examples
from tsds_qdrant.collections.connection import Connection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.errors import (
    BadRecordError,
    CollectionMismatchError,
    CollectionNotFoundError,
    InputError,
    SettingsError,
    UnsupportedCollectionError,
)
from tsds_qdrant.paths import COLLECTION_PREFIX
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records import Source, TextTemplate, load_vectors, naming_file, read_entries
from tsds_qdrant.records.entries import Entry
from tsds_qdrant.records.fields import field_values, label
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.representations.base import Way
from tsds_qdrant.representations.cut import Cut
from tsds_qdrant.representations.model_names import same_model
from tsds_qdrant.representations.text import Embedder, cut_by
from tsds_qdrant.represented.advice import represent_command
from tsds_qdrant.represented.marks import all_kept, described, mark_key
from tsds_qdrant.represented.whole import check_whole
from tsds_qdrant.task.model import check_made_alike
from tsds_qdrant.task.represented import check_alike


@dataclass(frozen=True)
class TaskExamples:
    """M query examples.

    Attributes:
        vectors: (M, D).
        texts: M texts; empty strings where the source has none.
        weights: (M,) relative weights.
        template: how the text of a candidate is made, where the collection does not say.
        cut: how many texts the model reads only the beginnings of; None where not known.
        groups: M sub-tasks; empty where there is one.
        norms: (M, C) lengths of the blocks before they were brought to 1; None where not known.
        way: how the vectors were made of records; "" for ready ones.
        dropped: what was left out of the task and why, or "".
        margins: (M,) log(p / (1 - p)) of the examples; None where not known.
        source: where they come from, or "".
    """

    vectors: Float32Array
    texts: list[str]
    weights: FloatArray
    template: TextTemplate = field(default_factory=TextTemplate)
    cut: Cut | None = None
    groups: list[str] = field(default_factory=list)
    norms: FloatArray | None = None
    way: Way | Literal[""] = ""
    dropped: str = ""
    margins: FloatArray | None = None
    source: str = ""

    @property
    def note(self) -> str:
        """What a user should know of them: those left out, or longer than what the model reads."""
        return self.dropped or ("" if self.cut is None else self.cut.in_words("task examples"))


def is_text_source(source: str) -> bool:
    """Whether ``source`` holds texts that a model must embed."""
    return not source.endswith(".npy") and not source.startswith(COLLECTION_PREFIX)


def examples_of_records(
    source: Source,
    embedder: Embedder,
    *,
    template: TextTemplate,
    stored: Mapping[str, Any],
    weight_field: str | None = None,
    subtask_field: str | None = None,
    form: FileForm | None = None,
    progress: Progress = silent,
) -> TaskExamples:
    """Embed the records of ``source``.

    Args:
        source: any file that :func:`~tsds_qdrant.records.read_entries` reads.
        embedder: the collection's model.
        template: how to make the text; if undecided, the collection's way.
        stored: metadata of the collection.
        weight_field: field of a record that holds its weight.
        subtask_field: field of a record that names its sub-task.
        form: what the file is like.
        progress: stage ``task examples``.

    Raises:
        InputError: a record cannot be used.
        EmbeddingError: the model fails.
    """
    check_made_alike(stored, embedder)
    entries = list(read_entries(source, form=form))
    if not template.to_dict():
        template = TextTemplate.from_dict(stored.get("text", {})).decide(
            entries[0].record, entries[0].place
        )
    texts = [template.render(entry.record, entry.place) for entry in entries]
    done = 0

    def on_batch(count: int) -> None:
        nonlocal done
        done += count
        progress("task examples", done, len(texts))

    weights = weights_of(entries, weight_field)
    vectors = embedder.encode(texts, on_batch)
    groups = groups_of(entries, subtask_field)
    cut = cut_by(embedder, texts)
    return TaskExamples(vectors, texts, weights, cut=cut, groups=groups, way="targets")


def examples_of_vectors(source: str, info: CollectionInfo) -> TaskExamples:
    """The rows of a ``.npy`` file, fit for searches of the collection ``info``.

    Raises:
        InputError: the file cannot be used, or a row of it.
    """
    mapped = load_vectors(source)
    # What float32 cannot hold becomes infinity, and is refused as such.
    with np.errstate(over="ignore"):
        vectors = np.asarray(mapped, dtype=np.float32)
    with naming_file(mapped):
        vectors = checked_examples(vectors, info, what="row", unit=False)
    return TaskExamples(vectors, [""] * len(vectors), np.ones(len(vectors)))


def examples_of_collection(
    location: str,
    name: str,
    *,
    like: CollectionInfo,
    vector: str | None = None,
    connection: Connection | None = None,
) -> TaskExamples:
    """All points of collection ``name``, which must fit the collection ``like``.

    Raises:
        CollectionMismatchError: another model.
        InputError: it holds no point.
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
    try:
        info = described(collection)
        if (info.alias_of or name) == (like.alias_of or like.name) and location == like.location:
            raise _holds_candidates(name)
        check_alike(info, like)
        check_whole(collection, info, None)
        mine, theirs = info.model, like.model
        if mine and theirs and not same_model(mine, theirs):
            raise CollectionMismatchError(
                f"collection '{name}' is made by model '{mine}' but '{like.name}' by '{theirs}'; "
                f"ingest the task examples with --model {theirs}"
            )
        template = TextTemplate.from_dict(info.metadata.get("text", {}))
        vectors: list[Float32Array] = []
        texts: list[str] = []
        margins: list[Any] = []
        for page in collection.scroll_ids():
            for record in collection.retrieve(page, vectors=True):
                if record.vector is None:
                    raise UnsupportedCollectionError(
                        f"point {record.id} of collection '{name}' has no vector "
                        f"{info.named}; delete it or choose another with --vector"
                    )
                vectors.append(record.vector)
                texts.append(_text_if_any(template, record.payload))
                margins += field_values(record.payload, mark_key(info.vector, "margin"))
    finally:
        collection.close()
    if not vectors:
        raise InputError(f"collection '{name}' holds no task example; ingest some first")
    known = np.array(margins, dtype=np.float64) if len(margins) == len(texts) else None
    return TaskExamples(np.stack(vectors), texts, np.ones(len(vectors)), margins=known)


def _holds_candidates(name: str) -> SettingsError:
    return SettingsError(
        f"collection '{name}' holds the candidates and cannot give the task examples too; "
        f"ingest those into a collection of their own"
    )


def _text_if_any(template: TextTemplate, record: Mapping[str, Any]) -> str:
    with suppress(InputError):
        return template.render(record) if template.to_dict() else ""
    return ""


def groups_of(entries: Sequence[Entry], field: str | None) -> list[str]:
    """The n sub-tasks that ``field`` names, or none.

    Raises:
        BadRecordError: a record has no single value there.
    """
    found: list[str] = []
    for entry in entries if field else ():
        values = field_values(entry.record, field or "")
        if len(values) != 1 or values[0] is None or isinstance(values[0], (list, dict)):
            raise BadRecordError(
                entry.place,
                f"names no sub-task in '{field}'",
                "name one for each task example, or leave --subtask-field out",
            )
        found.append(label(values[0]))
    return found


def weights_of(entries: Sequence[Entry], field: str | None) -> FloatArray:
    """(n,) the weights that ``field`` holds, or ones."""
    return np.array([_weight(entry, field) if field else 1.0 for entry in entries])


def _weight(entry: Entry, field: str) -> float:
    values = field_values(entry.record, field)
    try:
        weight = float(values[0])
    except (IndexError, TypeError, ValueError):
        weight = 0.0
    if not 0.0 < weight < float("inf"):
        raise BadRecordError(
            entry.place,
            f"has no positive number in '{field}'",
            "give each task example a weight, or leave --weight-field out",
        )
    return weight
