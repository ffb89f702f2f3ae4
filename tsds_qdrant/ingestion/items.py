"""Items: what the records of files become, each a point to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import Float32Array
from tsds_qdrant.collections.payloads import PAYLOAD_ADVICE, payload_fault
from tsds_qdrant.collections.reserved import reserved_field
from tsds_qdrant.collections.values import Metric, Payload, PointId
from tsds_qdrant.errors import BadRecordError
from tsds_qdrant.files.json_values import Changes
from tsds_qdrant.ingestion.ids_seen import IdsSeen
from tsds_qdrant.ingestion.rejected import FIRST_LOOK, Rejected
from tsds_qdrant.records import TextTemplate, read_entries, record_id
from tsds_qdrant.records.dropping import check_dropped
from tsds_qdrant.records.entries import Entry
from tsds_qdrant.records.fields import record_values, shown
from tsds_qdrant.records.form import FileForm
from tsds_qdrant.records.memory import InMemory, Source
from tsds_qdrant.records.vector_columns import checked_vector

VectorArray = npt.NDArray[np.floating[Any]]
OTHER_VECTORS = "equal records came again with another vector, and the first one counts"
HALF_BITS = 32
TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class Item:
    """A point to be.

    Attributes:
        text: to embed, "" with a ready vector.
        payload: its fields; None where a stored point keeps those that it has.
        row: which of all records this is, from 0, those that cannot be used among them.
        again: an equal record of the run came before.
        vector: (D,) that the record brought along.
    """

    point_id: PointId
    text: str
    payload: Payload | None
    row: int
    again: bool = False
    vector: Float32Array | None = None


@dataclass
class ItemMaker:
    """Makes the item of an entry.

    Attributes:
        template: how its text is made.
        embeds: whether it needs a text.
        id_field: where its id comes from, None for its content.
        vectors: (n, D) ready vectors, one for each record.
        changes: counts equal records that come again with another vector.
        form: where records bring a vector along.
        by_row: its id is the number of the record.
        dimension: of those vectors; None until the first.
        metric: that they are compared by.
    """

    template: TextTemplate
    embeds: bool
    id_field: str | None = None
    vectors: VectorArray | None = None
    changes: Changes = field(default_factory=Counter)
    form: FileForm = field(default_factory=FileForm)
    by_row: bool = False
    dimension: int | None = None
    metric: Metric = "Cosine"
    _seen: IdsSeen = field(default_factory=IdsSeen)

    def item(self, entry: Entry, row: int) -> Item:
        """The item of ``entry``, which is record ``row``.

        Raises:
            BadRecordError: the entry cannot be used.
        """
        record, place = entry.record, entry.place
        if taken := reserved_field(record):
            raise BadRecordError(
                place,
                f"has the field '{taken}', which this tool keeps for itself",
                f"rename it, or leave it out with --drop-columns {taken}",
            )
        if fault := payload_fault(record):
            advice = f"{PAYLOAD_ADVICE}, or leave it out with --drop-columns"
            raise BadRecordError(place, fault, advice)
        text = self.template.render(record, place) if self.embeds else ""
        vector = self._vector(entry)
        numbered = self.by_row or not record
        point_id = row if numbered else record_id(record, text, self.id_field, place=place)
        item = Item(point_id, text, record, row, vector=vector)
        if self.by_row:
            return item
        comes_again = (self.id_field is not None or not self.embeds) and self._comes_again(item)
        if comes_again is None:
            assert self.id_field is not None
            raise BadRecordError(
                place,
                f"has the id {shown(record_values(record, self.id_field)[0])} of an earlier record "
                "that differs from it",
                "give every record an id of its own",
            )
        return replace(item, again=comes_again)

    def _vector(self, entry: Entry) -> Float32Array | None:
        path = self.form.vector_field
        if path is None:
            return None
        vector = checked_vector(entry, path, self.dimension, self.metric)
        self.dimension = len(vector)
        return vector

    def _comes_again(self, item: Item) -> bool | None:
        """Whether an equal record was met before; None if another one of its id was."""
        of_content = self.id_field is None  # its id is that of its content then
        named = item.point_id if of_content else record_id(item.payload or {}, item.text)
        record = _bits(str(named).encode())
        content = record << HALF_BITS | self._vector_bits(item)
        key = blake2b(repr(item.point_id).encode(), digest_size=8).digest()
        known = self._seen.first(int.from_bytes(key, "little"), content)
        if known is not None and known >> HALF_BITS != record:
            return None
        if known not in (None, content):
            self.changes[OTHER_VECTORS] += 1
        return known is not None

    def _vector_bits(self, item: Item) -> int:
        """What stands for the direction of a ready vector; rounding leaves it as it is, mostly."""
        own = item.vector
        if self.vectors is not None and item.row < len(self.vectors):
            own = self.vectors[item.row]
        if own is None:
            return 0
        vector = np.asarray(own, dtype=np.float64)
        with np.errstate(invalid="ignore"):  # a row that cannot be used is refused later on
            coarse = np.round(vector / max(float(np.linalg.norm(vector)), TINY), 2) + 0.0
        return _bits(coarse.tobytes())


def items_of(
    files: Sequence[Source],
    rejected: Rejected,
    maker: Callable[[list[Entry]], ItemMaker],
    form: FileForm | None = None,
) -> Iterator[Item]:
    """Items of the records of ``files``, of which the first are checked before this returns.

    Args:
        files: to read.
        rejected: is given the records that cannot be used.
        maker: is given the first entries, to see how texts are made.
        form: what the files are like.

    Raises:
        InputError: a file cannot be read, or the first records cannot be used, or no record has a
            field that is to be dropped.
    """
    form = form or FileForm()
    source = _Source([read_entries(file, rejected, form) for file in files], rejected)
    first = list(islice(source.entries, FIRST_LOOK))
    if not first:
        rejected.end_look()
    if first:
        unread = len(first) == FIRST_LOOK
        check_dropped(files, form, rejected.dropped, first[0][1].record, unread=unread)
    made = maker([entry for _, entry in first])
    looked = list(source.items(first, made))
    rejected.end_look()
    return chain(looked, source.items(source.entries, made))


def noted(items: Iterator[Item], sources: Sequence[Source]) -> Iterator[Item]:
    """``items`` as they are; the records in memory that are all of ``sources`` learn their ids."""
    known = [source.ids for source in sources if isinstance(source, InMemory)]
    for item in items:
        for ids in known:
            ids.setdefault(item.point_id, item.row)
        yield item


class _Source:
    """Entries and items of files, numbered as their records are."""

    def __init__(self, files: Sequence[Iterator[Entry]], rejected: Rejected) -> None:
        self._rejected = rejected
        self.entries = self._numbered(files)

    def _numbered(self, files: Sequence[Iterator[Entry]]) -> Iterator[tuple[int, Entry]]:
        for entry in chain.from_iterable(files):
            self._rejected.read += 1
            yield self._rejected.read - 1, entry

    def items(self, entries: Iterable[tuple[int, Entry]], maker: ItemMaker) -> Iterator[Item]:
        for row, entry in entries:
            item = self._item(maker, entry, row) if self._rejected.part.has(row) else None
            if item is not None:
                yield item

    def _item(self, maker: ItemMaker, entry: Entry, row: int) -> Item | None:
        try:
            return maker.item(entry, row)
        except BadRecordError as error:
            self._rejected.refuse(row, error)
            return None


def _bits(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=HALF_BITS // 8).digest(), "little")
