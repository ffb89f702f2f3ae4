"""Probabilities in the order of the records that a collection was made from.

DataFlex (github.com/OpenDCAI/DataFlex) samples with probabilities from a file: the parameter
``probs_path`` of its selector ``tsds``, a NumPy array with one entry for each example of the
training dataset, in the order of that dataset, summing to 1 (src/dataflex/train/selector/
tsds_selector.py; src/dataflex/offline_selector/offline_tsds_selector.py writes such a file). It
draws without replacement, so never more examples than have p > 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import InputError
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.records import TextTemplate, read_entries, record_id
from tsds_qdrant.records.form import FileForm

ROWS, CONTENT = "rows", "content"
"""What a collection's metadata says of its ids: row numbers, or hashes of the records."""
REPORTED = 10_000


def probabilities_by_row(
    collection: Collection,
    probabilities: Mapping[PointId, float],
    pool: Sequence[str] = (),
    *,
    id_field: str | None = None,
    progress: Progress = silent,
) -> FloatArray:
    """(N,) p of every record of the pool, in order; they sum to 1.

    Equal records are one point, and share its p evenly.

    Args:
        collection: what was selected from.
        probabilities: id -> p of every candidate with p > 0.
        pool: the files that were ingested, in that order; not needed where ids are the row
            numbers 0, 1, .. of all points.
        id_field: the field of the records that holds the ids of the points; by default what
            ``ingest`` noted in the collection.
        progress: called as ``progress("pool", records, 0)``.

    Raises:
        InputError: the order is not known, or the pool lacks a candidate with p > 0.
    """
    if not pool:
        return _in_place(probabilities, _count_of_rows(collection))
    metadata = collection.info().metadata
    ids_from = id_field or metadata.get("ids")
    if ids_from is None:
        raise InputError(
            f"it is not known where the ids of collection '{collection.info().name}' come from; "
            "name the field of the pool's records that holds them with --id-field"
        )
    places: dict[PointId, list[int]] = {point_id: [] for point_id in probabilities}
    count = 0
    form = FileForm(**metadata.get("form", {}))
    template = TextTemplate.from_dict(metadata.get("text") or {})
    for entry in chain.from_iterable(read_entries(file, form=form) for file in pool):
        for point_id in _ids_of(entry.record, count, ids_from, template):
            if point_id in places:
                places[point_id].append(count)
                break
        count += 1
        if count % REPORTED == 0:
            progress("pool", count, 0)
    missing = [point_id for point_id, rows in places.items() if not rows]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(places)} candidates with p > 0 are not in "
            f"{', '.join(pool)} (point {missing[0]}); give the files that were ingested, whole and "
            "in order"
        )
    by_row: FloatArray = np.zeros(count)
    for point_id, rows in places.items():
        # The first record of an id that the user chose is the one that is stored.
        first_only = ids_from not in (ROWS, CONTENT)
        shared = rows[:1] if first_only else rows
        by_row[shared] = probabilities[point_id] / len(shared)
    by_row /= by_row.sum()
    return by_row


def _ids_of(
    record: Mapping[str, Any], number: int, ids_from: str, template: TextTemplate
) -> Iterator[PointId]:
    """The id that ``ingest`` gave the record; with ready vectors it left the text out of it."""
    if ids_from == ROWS:
        yield number
    elif ids_from == CONTENT:
        if template.to_dict():
            with suppress(InputError):  # without such a text it was not embedded by this template
                yield record_id(record, template.render(record))
        yield record_id(record, "")
    else:
        with suppress(InputError):  # without an id it was left out
            yield record_id(record, "", ids_from)


def _count_of_rows(collection: Collection) -> int:
    """N, if the ids of the points are 0 to N - 1.

    Raises:
        InputError: they are not.
    """
    count = 0
    for page in collection.scroll_ids():
        for point_id in page:
            if point_id != count:
                raise InputError(
                    f"the ids of collection '{collection.info().name}' are not the row numbers "
                    f"0, 1, .. (point {point_id} comes where {count} is due), so the order of the "
                    "pool is not known; give the files that were ingested with --pool"
                )
            count += 1
    return count


def _in_place(probabilities: Mapping[PointId, float], count: int) -> FloatArray:
    by_row: FloatArray = np.zeros(count)
    for point_id, p in probabilities.items():
        if isinstance(point_id, str) or point_id >= count:
            raise InputError(
                f"point {point_id} of the run has left the collection; run 'tsds-qdrant reselect'"
            )
        by_row[point_id] = p
    by_row /= by_row.sum()
    return by_row
