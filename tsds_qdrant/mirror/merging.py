"""What becomes of a point of a mirror: as the source has it, and what was added here stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tsds_qdrant.collections.distance import normalized
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.payloads import same_payload
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import FLOAT32, Payload, PointId
from tsds_qdrant.collections.whole import Whole
from tsds_qdrant.mirror.facts import NAMED

HALF_ULPS = 2e-3
"""Relative difference of numbers of float16 that a second bringing to unit length may make."""


class Merging:
    """Compares points of the source with those of the mirror.

    Attributes:
        spaces: of the source, by name; vectors in other ones were added to the mirror.
        names: payload field -> names in it that the source had at the last time.
    """

    def __init__(
        self,
        copy: EdgeCollection,
        spaces: Mapping[str, Space],
        names: Mapping[str, Sequence[str]],
    ) -> None:
        self._copy = copy
        self._spaces = spaces
        self._names = names

    def changed(self, points: Sequence[Whole], stored: Mapping[PointId, Whole]) -> list[Whole]:
        """Those of the source's ``points`` that the mirror has not like that, as it is to have."""
        settled = self._settled(points)
        found = []
        for point in settled:
            here = stored.get(point.id)
            if here is None:
                found.append(point)
                continue
            vectors = {n: v for n, v in here.vectors.items() if n not in self._spaces}
            same = self._same_vectors(point, here)
            kept = self._kept(point.payload, here.payload, marks=True)
            if same and same_payload(here.payload, kept):
                continue
            if not same or not same_payload(_content(here.payload), _content(point.payload)):
                # What was made here of the point as it was is to be made again.
                kept = self._kept(point.payload, here.payload, marks=False)
            found.append(Whole(point.id, kept, {**vectors, **point.vectors}))
        return found

    def alike(self, points: Sequence[Whole], stored: Mapping[PointId, Whole]) -> int:
        """How many of the source's ``points`` have the vectors that are ``stored`` here."""
        return sum(
            self._same_vectors(point, stored[point.id])
            for point in self._settled(points)
            if point.id in stored
        )

    def _settled(self, points: Sequence[Whole]) -> list[Whole]:
        """``points`` with dense vectors as the mirror stores them."""
        vectors = [dict(point.vectors) for point in points]
        for name, (places, rows) in self._copy.rows_of(points).items():
            for place, row in zip(places, rows, strict=True):
                vectors[place][name] = row
        return [
            Whole(point.id, point.payload, own) for point, own in zip(points, vectors, strict=True)
        ]

    def _same_vectors(self, point: Whole, here: Whole) -> bool:
        for name, space in self._spaces.items():
            one, other = point.vectors.get(name), here.vectors.get(name)
            if (one is None) is not (other is None):
                return False
            if one is not None and not _same(one, other, space):
                return False
        return True

    def _kept(self, theirs: Payload, ours: Payload, *, marks: bool) -> Payload:
        """``theirs``, with the tags of ours that they know nothing of, and the ``marks``."""
        made = dict(theirs)
        for field in NAMED if marks else NAMED[:1]:
            mine, known = ours.get(field), self._names.get(field, ())
            own = theirs.get(field, {})
            if not isinstance(mine, dict) or not isinstance(own, dict):
                continue
            added = {n: v for n, v in mine.items() if n not in known and n not in own}
            if added:
                made[field] = {**own, **added}
        return made


def _content(payload: Payload) -> Payload:
    """``payload`` without tags and marks."""
    return {key: value for key, value in payload.items() if key not in NAMED}


def _same(one: Any, other: Any, space: Space) -> bool:
    if space.kind == "sparse":
        return _entries(one) == _entries(other)
    rows = [np.asarray(vector, dtype=np.float32) for vector in (one, other)]
    if rows[0].shape != rows[1].shape:
        return False
    if space.datatype == "float16" and space.metric == "Cosine":
        return np.allclose(rows[0], rows[1], rtol=HALF_ULPS, atol=1e-7, equal_nan=True)
    stored = rows[1].tobytes()
    if rows[0].tobytes() == stored:
        return True
    if space.datatype != FLOAT32 or space.metric != "Cosine" or space.multivector:
        return False
    # Mirrors made before have rows of unit length brought to it once more, where others were not.
    return normalized(rows[0][np.newaxis], "Cosine").tobytes() == stored


def _entries(vector: Mapping[str, Any]) -> dict[int, np.float32]:
    values = np.asarray(vector["values"], dtype=np.float32)
    return dict(zip(vector["indices"], values, strict=True))
