"""The rows of a selection with their payloads: from a run, or from the file that select wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.ids import checked_ids
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.files.flat_rows import PAYLOAD, PAYLOAD_COLUMN
from tsds_qdrant.files.json_values import json_safe, parse_json
from tsds_qdrant.records import read_records
from tsds_qdrant.records.fields import listed_fields
from tsds_qdrant.selection.results import PAYLOAD_PAGE, manifest_path
from tsds_qdrant.selection.selection import Selection
from tsds_qdrant.selection.settings import SelectionSettings

SQLITE = b"SQLite format 3\x00"


@dataclass(frozen=True)
class SelectedRow:
    """A selected candidate.

    Attributes:
        id: of the point.
        rank: of the draw, from 0.
        probability: p; None in files of methods that know none.
        weight: how often it was drawn.
        payload: None where the point is no longer stored.
        vector: (D,) as stored, where asked for.
    """

    id: PointId
    rank: int
    probability: float | None
    weight: int
    payload: Mapping[str, Any] | None
    vector: Float32Array | None = None


def is_state(path: str | Path) -> bool:
    """Whether ``path`` is a run's state rather than a file of rows."""
    try:
        with Path(path).open("rb") as stream:
            return stream.read(len(SQLITE)) == SQLITE
    except OSError:
        return False


def rows_of_run(
    collection: Collection, selection: Selection, size: int | None, *, vectors: bool
) -> Iterator[SelectedRow]:
    """The first ``size`` draws of the selection's largest sample, fetched page by page.

    Raises:
        SettingsError: the run drew no sample of that size.
    """
    return _fetched(collection, _drawn(selection, size), vectors)


def rows_of_file(path: str | Path, size: int | None) -> Iterator[SelectedRow]:
    """The rows of a selection file (``select --out``), or the first ``size`` of them.

    Raises:
        SettingsError: a size for a file whose first rows are no smaller sample.
        InputError: no such file, or one without ids and payloads.
    """
    if size is not None:
        _check_nested(path)
    rows = (_row_of(row, number, path) for number, row in enumerate(read_records(path)))
    found = 0
    for row in islice(rows, size):
        found += 1
        yield row
    if size is not None and found < size:
        raise SettingsError(f"size is {size}, but '{path}' holds {found} rows; ask for fewer")


def _drawn(selection: Selection, size: int | None) -> list[dict[str, Any]]:
    samples = selection.samples
    if not samples:
        raise SettingsError("the run drew no sample; select with a size, --size 1000 say")
    largest = max(samples)
    if size is None or size in samples:
        return list(selection.sample_rows(size or largest))
    settings = selection.settings
    if settings.wanted.sampler == "multinomial" or settings.bounds.quotas or size > largest:
        drawn = ", ".join(map(str, samples))
        raise SettingsError(
            f"size is {size}, but the run drew {drawn}; ask for that, or select again with --state"
        )
    return list(islice(selection.sample_rows(largest), size))


def _fetched(
    collection: Collection, drawn: list[dict[str, Any]], vectors: bool
) -> Iterator[SelectedRow]:
    for start in range(0, len(drawn), PAYLOAD_PAGE):
        page = drawn[start : start + PAYLOAD_PAGE]
        stored = collection.retrieve([row["id"] for row in page], vectors=vectors)
        records = {record.id: record for record in stored}
        for row in page:
            record = records.get(row["id"])
            yield SelectedRow(
                row["id"],
                row["rank"],
                row["probability"],
                row["weight"],
                None if record is None else json_safe(record.content),
                None if record is None else record.vector,
            )


def _row_of(row: Mapping[str, Any], number: int, path: str | Path) -> SelectedRow:
    payload = row.get(PAYLOAD)
    if PAYLOAD not in row and isinstance(row.get(PAYLOAD_COLUMN), str):
        payload = parse_json(row[PAYLOAD_COLUMN]) if row[PAYLOAD_COLUMN] else None
    if "id" not in row or not (PAYLOAD in row or PAYLOAD_COLUMN in row):
        raise InputError(
            f"'{path}' holds no ids with payloads ({listed_fields(row)}); give a run state, or the "
            "file of 'select --out' as JSON lines, CSV or Parquet"
        )
    point_id = row["id"]
    if isinstance(point_id, str) and point_id.isdecimal():
        point_id = int(point_id)
    try:
        return SelectedRow(
            checked_ids([point_id])[0],
            int(row.get("rank") or number),
            None if row.get("probability") in (None, "") else float(row["probability"]),
            int(row.get("weight") or 1),
            None if payload is None else dict(payload),
        )
    except (TypeError, ValueError) as error:
        raise InputError(
            f"row {number + 1} of '{path}' is no selected candidate ({error}); give the file of "
            "'select --out' as it was written"
        ) from None


def _check_nested(path: str | Path) -> None:
    """Check by the manifest beside it that the first rows of a file are a sample too."""
    manifest = manifest_path(path)
    try:
        told = json.loads(manifest.read_text(encoding="utf-8"))["settings"]
        drawn = SelectionSettings.restored(told)
        nested = drawn.wanted.sampler != "multinomial" and not drawn.bounds.quotas
    except (OSError, ValueError, KeyError, TypeError, SettingsError):
        raise SettingsError(
            f"a size is given, but '{manifest}' does not say how '{path}' was drawn; leave it out"
        ) from None
    if not nested:
        raise SettingsError(
            f"a size is given, but '{path}' was drawn with replacement or by quotas, so that its "
            "first rows are no sample; leave it out"
        )
