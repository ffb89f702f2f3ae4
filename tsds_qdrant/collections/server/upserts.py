"""Operations that insert points, or replace their payload and one of their vectors."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from qdrant_client import models

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.cluster import ShardKey
from tsds_qdrant.collections.payloads import paths_of
from tsds_qdrant.collections.values import Payload, PointId


@dataclass(frozen=True)
class Upserts:
    """Points to be written, range by range.

    *subtle*: vectors come before payloads; where a run is killed in between, the old payloads say
    that the points are still to be written.

    Attributes:
        space: name of the vector.
        key: the shard key they lie under.
        ids: n points.
        rows: (n, D) their vectors.
        payloads: n of them, or None for empty ones.
    """

    space: str
    key: ShardKey | None
    ids: Sequence[Any]
    rows: Float32Array
    payloads: Sequence[Payload] | None

    def batch(self, chosen: Sequence[int]) -> models.Batch:
        """The ``chosen`` points, without other vectors that they may have."""
        values = self.rows[list(chosen)].tolist()
        return models.Batch(
            ids=[self.ids[k] for k in chosen],
            vectors={self.space: values} if self.space else values,
            payloads=None if self.payloads is None else [self.payloads[k] for k in chosen],
        )

    def beside(self, chosen: Sequence[int], stored: Set[PointId]) -> list[Any]:
        """Insert points, and of those that are ``stored`` leave the other vectors as they are."""
        new = [k for k in chosen if self.ids[k] not in stored]
        return self._insert(new, None) + self._set([k for k in chosen if self.ids[k] in stored])

    def everywhere(self, chosen: Sequence[int]) -> list[Any]:
        """The same in every replica, whichever of them have which points."""
        return self.missing(chosen) + self._set(chosen)

    def missing(self, chosen: Sequence[int]) -> list[Any]:
        """Insert points that are not there."""
        return self._insert(chosen, models.UpdateMode.INSERT_ONLY)

    def amended(self, chosen: Sequence[int], dropped: Sequence[Sequence[str]]) -> list[Any]:
        """Set vectors and payload fields of points that are there, and delete those ``dropped``."""
        ids, values = [self.ids[k] for k in chosen], self.rows[list(chosen)].tolist()
        made = [vectors_operation(ids, values, self.space, self.key)]
        for k in chosen:
            named: dict[str, Any] = {"points": [self.ids[k]], "shard_key": self.key}
            if paths := paths_of(dropped[k]):
                deletion = models.DeletePayload(keys=paths, **named)
                made.append(models.DeletePayloadOperation(delete_payload=deletion))
            change = models.SetPayload(payload=(self.payloads or ())[k], **named)
            made.append(models.SetPayloadOperation(set_payload=change))
        return made

    def _insert(self, chosen: Sequence[int], mode: models.UpdateMode | None) -> list[Any]:
        if not chosen:
            return []
        points = models.PointsBatch(batch=self.batch(chosen), shard_key=self.key, update_mode=mode)
        return [models.UpsertOperation(upsert=points)]

    def _set(self, chosen: Sequence[int]) -> list[Any]:
        """Set the vector and the payload of points that are there."""
        if not chosen:
            return []
        ids, values = [self.ids[k] for k in chosen], self.rows[list(chosen)].tolist()
        contents = (
            models.SetPayload(
                payload={} if self.payloads is None else self.payloads[k],
                points=[self.ids[k]],
                shard_key=self.key,
            )
            for k in chosen
        )
        return [
            vectors_operation(ids, values, self.space, self.key),
            *(models.OverwritePayloadOperation(overwrite_payload=one) for one in contents),
        ]


def vectors_operation(ids: Sequence[Any], values: Sequence[Any], space: str, key: Any) -> Any:
    """Set the vectors of points in ``space`` to ``values``."""
    points = [
        models.PointVectors(id=point_id, vector={space: value})
        for point_id, value in zip(ids, values, strict=True)
    ]
    update = models.UpdateVectors(points=points, shard_key=key)
    return models.UpdateVectorsOperation(update_vectors=update)
