"""What is stored already of the points to be: unchanged, to be changed, or somebody else's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from tsds_qdrant.arrays import Float32Array, IntArray
from tsds_qdrant.collections.payloads import same_payload
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import (
    MADE_FIELD,
    NUMBER_FIELD,
    SEQUENCE_FIELD,
    STAMP_FIELD,
    WRITER_FIELD,
    Stamp,
    is_ingested,
    is_unstamped,
    stamp_of,
)
from tsds_qdrant.collections.values import CollectionInfo, Payload, PointId, Record
from tsds_qdrant.errors import ForeignPointsError
from tsds_qdrant.ingestion.equal import of_equal_vectors
from tsds_qdrant.ingestion.items import Item

LISTED = 100_000
"""Points of a collection whose ids are all read, to name a free one."""


@dataclass(frozen=True)
class Compared:
    """Items beside the points that are stored under their ids.

    Attributes:
        known: the stored points, with the payload fields that are needed to change them.
        stale: (n,) which items are to be stored: new ones, and ones that differ.
        unconfirmed: stored points that a replica may lack.
    """

    known: Mapping[PointId, Record]
    stale: IntArray
    unconfirmed: Sequence[PointId] = ()


@dataclass
class Stored:
    """Compares items with what a collection holds.

    Attributes:
        collection: what is compared with.
        info: its description.
        by_content: whether ids follow from the content, so that points of equal id are equal.
        overwrite: whether points that ``ingest`` did not make may be changed.
        advice: how else items get ids that are free.
    """

    collection: Collection
    info: CollectionInfo
    by_content: bool
    overwrite: bool
    advice: str
    _confirmed: dict[tuple[str, int], bool] = field(default_factory=dict)

    def compare(self, items: Sequence[Item], rows: Float32Array | None) -> Compared:
        """What is stored of ``items`` (one of equal ids), and with other vectors than ``rows``.

        Args:
            rows: (n, D) ready vectors; None where only texts say what a vector is.

        Raises:
            ForeignPointsError: a point that differs was made by something else.
        """
        last = numbers_of(items)
        if self.by_content and self.info.replicas == 1:
            same = self.collection.existing(list(last))
            stale = [k for point_id, k in last.items() if point_id not in same]
            return Compared({}, np.array(sorted(stale), dtype=np.int64))
        wanted = [STAMP_FIELD, SEQUENCE_FIELD] if self.by_content else True
        found = self.collection.retrieve(list(last), payloads=wanted, vectors=rows is not None)
        equal = {record.id for record in self._equal(found, items, last, rows)}
        foreign = [r.id for r in found if r.id not in equal and not is_ingested(r.payload)]
        if foreign and not self.overwrite:
            raise self._refusal(foreign)
        if not self.overwrite:
            self._check_fields([r for r in found if r.id not in equal], items, last)
        stale = [k for point_id, k in last.items() if point_id not in equal]
        known = {record.id: record for record in found}
        unsure = [record.id for record in found if not self._is_confirmed(record)]
        return Compared(known, np.array(sorted(stale), dtype=np.int64), unsure)

    def _equal(
        self,
        found: list[Record],
        items: Sequence[Item],
        number: Mapping[PointId, int],
        rows: Float32Array | None,
    ) -> list[Record]:
        """Those of ``found`` that are as the item of their ``number`` wants them."""
        if self.by_content:
            return found
        same = []
        for record in found:
            payload = items[number[record.id]].payload
            if is_unstamped(record.payload):
                continue
            if payload is None or same_payload(_own_fields(record), payload):
                same.append(record)
        if rows is None:
            return same
        return of_equal_vectors(same, rows[[number[record.id] for record in same]], self.info)

    def _check_fields(
        self, found: list[Record], items: Sequence[Item], number: Mapping[PointId, int]
    ) -> None:
        """Check that no field of an item is one that something else added to its point.

        Raises:
            ForeignPointsError: one is, with another value.
        """
        for record in found:
            stamp, payload = stamp_of(record.payload), items[number[record.id]].payload or {}
            for name in payload.keys() - set(stamp.fields if stamp else payload):
                if name in record.content and not same_payload(record.content[name], payload[name]):
                    raise ForeignPointsError(
                        f"something else gave point {record.id} of collection '{self.info.name}' "
                        f"the field '{name}', which the records have too; rename it there, or "
                        f"give --overwrite to replace it"
                    )

    def _is_confirmed(self, record: Record) -> bool:
        """Whether all replicas are known to have what one of them says.

        *subtle*: a writer goes on only after what it wrote is confirmed. So the part that it wrote
        last, and did not end with, may lack a confirmation.
        """
        stamp = stamp_of(record.payload)
        if self.info.replicas == 1 or stamp is None or stamp.is_last or stamp.confirmed:
            return True
        key = stamp.writer, stamp.number
        if key not in self._confirmed:
            later = {
                "must": [
                    {"key": WRITER_FIELD, "match": {"value": stamp.writer}},
                    {"key": NUMBER_FIELD, "range": {"gt": stamp.number}},
                ]
            }
            self._confirmed[key] = self.collection.count(later) > 0
        return self._confirmed[key]

    def _refusal(self, foreign: Sequence[PointId]) -> ForeignPointsError:
        name, first = self.info.name, foreign[0]
        said = (
            f"point {first} exists in collection '{name}', and 'tsds-qdrant ingest' did not make it"
        )
        if foreign[1:]:
            said = (
                f"{len(foreign)} of the points to be stored exist in collection '{name}', point "
                f"{first} among them, and are not of 'tsds-qdrant ingest'"
            )
        return ForeignPointsError(
            f"{said}; {self.advice.format(free=self._free_id())}, or give --overwrite to set "
            f"their vector and the fields of the records, and nothing else"
        )

    def _free_id(self) -> str:
        if self.info.count > LISTED:
            return "N above all ids there are"
        ids = chain.from_iterable(self.collection.scroll_ids())
        return str(max((i for i in ids if isinstance(i, int)), default=-1) + 1)


def numbers_of(items: Sequence[Item]) -> dict[PointId, int]:
    """The item that counts for each id, by its number: of equal ids one."""
    return {item.point_id: k for k, item in enumerate(items) if not item.again}


def change_of(record: Record, payload: Payload | None, stamp: Stamp) -> tuple[Payload, list[str]]:
    """Fields to set in the stored ``record`` so that it has ``payload``, and those to delete.

    Fields that others added stay; ``payload`` None leaves all fields as they are. What was known of
    representations goes, as they were made of what the point was.
    """
    before = stamp_of(record.payload)
    own = before.fields if before else ()
    fields = own if payload is None else tuple(payload)
    gone = [name for name in own if name not in fields and name in record.payload]
    gone += [name for name in (SEQUENCE_FIELD, MADE_FIELD) if name in record.payload]
    return {**(payload or {}), STAMP_FIELD: stamp.of(fields).stored()}, gone


def _own_fields(record: Record) -> Payload:
    """The fields of a stored point that ``ingest`` wrote; of an older version's point, all."""
    stamp, content = stamp_of(record.payload), record.content
    if stamp is None:
        return content
    return {name: content[name] for name in stamp.fields if name in content}
