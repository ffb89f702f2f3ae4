"""The rows of a selection as the page lists them, with their texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsds_qdrant.collections.values import PointId, Record
from tsds_qdrant.pool.texts import shortened
from tsds_qdrant.records.fields import field_values, label
from tsds_qdrant.report.chosen import Chosen
from tsds_qdrant.report.reader import PointReader

LISTED = 20_000
"""Maximum number of rows; a page with more would be slow to open."""
READ_AT_ONCE = 1_000
CHARACTERS = 400_000
"""Of all texts together, where each has at least ``SHORTEST``."""
SHORTEST, LONGEST = 200, 2_000
"""Limits on the number of characters of one text."""
SHOWN = 10
"""Number of rows that stand in the page itself."""


@dataclass(frozen=True)
class Row:
    """A selected candidate.

    Attributes:
        rank: its place, from 0.
        point_id: its id.
        text: None where it is no longer stored.
        example: number of the nearest task example; -1 where not known.
        distance: from it; NaN where not known.
        probability: p; None where there is none.
        weight: how often it counts.
        score: that the strategy gives; None where there is none.
        value: of the payload field that was asked for; "" for none.
        task: that of the nearest task example; "" where there is one.
    """

    rank: int
    point_id: PointId
    text: str | None
    example: int
    distance: float
    probability: float | None
    weight: int
    score: float | None
    value: str
    task: str = ""


@dataclass(frozen=True)
class Rows:
    """The first rows of a selection.

    Attributes:
        rows: by rank.
        total: how many there are.
    """

    rows: tuple[Row, ...]
    total: int

    @property
    def spread(self) -> list[Row]:
        """Some from the nearest to the task to the farthest, in even steps; stored ones alone."""
        known = [row for row in self.rows if row.text is not None and np.isfinite(row.distance)]
        known.sort(key=lambda row: row.distance)
        places = np.linspace(0, len(known) - 1, min(SHOWN, len(known))).round().astype(np.int64)
        return [known[place] for place in places.tolist()]


def rows_of(reader: PointReader, chosen: Chosen, by: str | None) -> Rows:
    """The rows of ``chosen``, with the values of the payload field ``by``."""
    selection, found = reader.selection, []
    numbers, weights = chosen.rows[:LISTED].tolist(), chosen.weights.tolist()
    length = min(LONGEST, max(SHORTEST, CHARACTERS // max(1, len(numbers))))
    scores = selection.preference.scores
    for start in range(0, len(numbers), READ_AT_ONCE):
        page = numbers[start : start + READ_AT_ONCE]
        stored = reader.records(page)
        for place, row in enumerate(page, start):
            record = stored.get(row)
            score = None if scores is None else float(scores[row])
            found.append(
                Row(
                    rank=place,
                    point_id=selection.ids[row],
                    text=None if record is None else shortened(reader.text(record), length),
                    example=int(selection.nearest_query[row]),
                    distance=float(selection.nearest_distance[row]),
                    probability=selection.probability(row),
                    weight=round(weights[place]) if chosen.drawn else 1,
                    score=None if score is None or np.isnan(score) else score,
                    value=_value(record, by),
                    task=(selection.task_of(row) or "") if selection.tasks.names else "",
                )
            )
    return Rows(tuple(found), len(chosen.rows))


def _value(record: Record | None, by: str | None) -> str:
    if record is None or by is None:
        return ""
    return shortened(", ".join(map(label, field_values(record.content, by))))
