"""Task examples: from a file of texts, or a file of vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tsds_qdrant.arrays import Float32Array, FloatArray
from tsds_qdrant.collections.checked import checked_examples
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.errors import (
    BadRecordError,
)
from tsds_qdrant.paths import COLLECTION_PREFIX
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records import Source, TextTemplate, load_vectors, naming_file, read_entries
from tsds_qdrant.records.entries import Entry
from tsds_qdrant.records.fields import label, record_values
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.representations.base import Shown, Way
from tsds_qdrant.representations.cut import Cut
from tsds_qdrant.representations.text import Embedder, cut_by
from tsds_qdrant.represented.queries import key_of, recalled, recalled_numbers, remember
from tsds_qdrant.task.given import InPool
from tsds_qdrant.task.model import check_made_alike


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
        source: where they come from, or ""; of several tasks a list.
        tasks: M names of the tasks that they show; empty where there is one.
        ids: points of the pool that they are; empty where they come from elsewhere.
        in_pool: what becomes of those that are in the pool; "" where nobody looks for them.
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
    source: str | list[str] = ""
    tasks: list[str] = field(default_factory=list)
    ids: frozenset[PointId] = frozenset()
    in_pool: InPool = ""

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
    groups = groups_of(entries, subtask_field)
    vectors, cut = _embedded(embedder, texts, on_batch)
    return TaskExamples(vectors, texts, weights, cut=cut, groups=groups, way="targets")


def _embedded(
    embedder: Embedder, texts: list[str], on_batch: Callable[[int], None]
) -> tuple[Float32Array, Cut | None]:
    """(n, D) vectors of ``texts``, and what was cut of them; as remembered, where they are."""
    made_by = getattr(embedder, "fingerprint", None)
    key = None if made_by is None else key_of(made_by, list(map(Shown, texts)))
    if key is not None and (known := recalled(key, len(texts))) is not None:
        numbers = recalled_numbers(key)
        return known, Cut(*numbers) if numbers else None
    vectors, cut = embedder.encode(texts, on_batch), cut_by(embedder, texts)
    if key is not None:
        remember(key, vectors, () if cut is None else (cut.longer, cut.texts, cut.limit))
    return vectors, cut


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


def groups_of(entries: Sequence[Entry], field: str | None) -> list[str]:
    """The n sub-tasks that ``field`` names, or none.

    Raises:
        BadRecordError: a record has no single value there.
    """
    found: list[str] = []
    for entry in entries if field else ():
        values = record_values(entry.record, field or "", entry.place)
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
    values = record_values(entry.record, field, entry.place)
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
