"""Is it any good? A sentence, and a few texts to judge by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsds_qdrant.arrays import FloatArray
    from tsds_qdrant.collections.protocol import Collection
    from tsds_qdrant.collections.values import PointId
    from tsds_qdrant.records import TextTemplate
    from tsds_qdrant.selection.selection import Selection

TEXT_LENGTH = 90
"""Maximum number of characters of a text."""


def judged(
    collection: Collection, selection: Selection, template: TextTemplate | None = None
) -> list[str]:
    """Lines on how near the largest sample is to the task, and texts of either end of it.

    Args:
        collection: the open collection, for the texts.
        selection: without a sample there are no lines.
        template: how a payload becomes a text, where the collection does not say.
    """
    from tsds_qdrant.selection.verdict import verdict_of

    if not selection.samples:
        return []
    rows = selection.samples[max(selection.samples)].candidates
    distances = selection.nearest_distance[rows]
    verdict = verdict_of(selection, rows)
    ids = [selection.ids[row] for row in rows.tolist()]
    return [
        *([verdict.in_words] if verdict else []),
        *either_end(collection, ids, distances, template),
    ]


def either_end(
    collection: Collection,
    ids: Sequence[PointId],
    distances: FloatArray,
    template: TextTemplate | None = None,
) -> list[str]:
    """Lines with texts of the points ``ids`` that are nearest to the task, and at the edge.

    Args:
        collection: the open collection.
        ids: n points.
        distances: (n,) theirs; NaN where not known.
        template: see :func:`judged`.
    """
    import numpy as np

    from tsds_qdrant.pool.texts import point_template, shortened, text_of
    from tsds_qdrant.selection.verdict import both_ends

    ends = both_ends(np.arange(len(ids)), distances)
    template = template or point_template(collection)
    listed = [place for end in ends for place in end]
    stored = collection.retrieve([ids[place] for place in listed])
    texts: Mapping[PointId, str] = {
        record.id: shortened(text_of(record.content, template), TEXT_LENGTH) for record in stored
    }
    return [
        f"  {name if not number else '':8}  {distances[place]:.3f}  "
        f"{texts.get(ids[place]) or ids[place]}"
        for name, end in zip(("nearest", "farthest"), ends, strict=True)
        for number, place in enumerate(end)
    ]
