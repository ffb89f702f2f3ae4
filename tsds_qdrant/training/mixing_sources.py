"""Points of one source after another, each source by a cursor of its own.

A source is a value of a payload field. Its points are read again and again: an epoch reads each
once, in an order that a seed, the number of the epoch and the ids alone determine. So a cursor, the
epoch and the last point, is enough to go on from, whatever was added or deleted meanwhile:

- a point that was deleted, or that has another source now, is left out from the next page on;
- a point that was added is read from the next listing of the source on: in the next epoch, or
  after resuming in this one, if its turn is still to come;
- all others are read once in an epoch, none twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from tsds_qdrant.arrays import FloatArray
from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.ids import KeyArray, id_order, point_ids, point_keys, uniform_noise
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Filter, PointId, Record
from tsds_qdrant.errors import StateError
from tsds_qdrant.records.fields import field_values

PAGE = 256
"""Points that are fetched at once."""
SourceValue = str | int


@dataclass(frozen=True)
class Cursor:
    """Where the reading of a source stands.

    Attributes:
        epoch: counted from 0; as many were read to their end.
        last: the point read last in this epoch; None at its beginning.
    """

    epoch: int = 0
    last: PointId | None = None

    def written(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Cursor:
        """The cursor that :meth:`written` gave.

        Raises:
            StateError: it is none.
        """
        epoch, last = written.get("epoch"), written.get("last")
        if type(epoch) is not int or epoch < 0 or not (last is None or type(last) in (int, str)):
            raise StateError(f"{dict(written)} is no cursor; give what state_dict() made")
        return cls(epoch, last)


class SourceReader:
    """Reads the points of one source.

    Attributes:
        where: what its points match.
        cursor: behind the point read last; may be set.
    """

    def __init__(
        self,
        collection: Collection,
        field: str,
        value: SourceValue,
        *,
        where: Filter | None = None,
        seed: int = 0,
        epochs: int | None = None,
        page: int = PAGE,
    ) -> None:
        """Read from the beginning.

        Args:
            collection: holds the points.
            field: payload field; dots reach into nested ones.
            value: of the source; a list in the field may hold it among others.
            where: what else its points match.
            seed: of the order.
            epochs: how many there are; None for no end.
            page: points that are fetched at once.
        """
        self.where = joined(where, {"key": field, "match": {"value": value}})
        self._collection, self._field, self._value = collection, field, value
        self._seed, self._epochs, self._page = seed, epochs, page
        self._keys: KeyArray | None = None
        self._fetched: deque[Record] = deque()
        self._cursor = Cursor()

    @property
    def cursor(self) -> Cursor:
        """Where the reading stands: behind the point read last."""
        return self._cursor

    @cursor.setter
    def cursor(self, cursor: Cursor) -> None:
        """Go on behind ``cursor``; points are listed again."""
        self._cursor, self._keys = cursor, None
        self._fetched.clear()

    def next(self) -> Record | None:
        """The next point with its payload; None where there is none, or the epochs are over."""
        while self._epochs is None or self._cursor.epoch < self._epochs:
            if self._fetch():
                record = self._fetched.popleft()
                self._cursor = replace(self._cursor, last=record.id)
                return record
            if self._cursor.last is None:
                self._keys = None
                return None
            self.cursor = Cursor(self._cursor.epoch + 1)
        return None

    def _fetch(self) -> bool:
        """Have a point of this epoch at hand, if there is one left."""
        if self._keys is None:
            self._keys = self._listed()
        while not self._fetched and len(self._keys):
            ids = point_ids(self._keys[: self._page])
            self._keys = self._keys[self._page :]
            self._fetched.extend(filter(self._holds, self._collection.retrieve(ids)))
        return bool(self._fetched)

    def _listed(self) -> KeyArray:
        """(n, 3) keys of the points behind the cursor, in the order of this epoch."""
        pages = map(point_keys, self._collection.scroll_ids(self.where))
        keys = np.concatenate([point_keys([]), *pages])
        noise = self._noise(keys)
        order = id_order(keys, noise)
        keys, last = keys[order], self._cursor.last
        if last is None:
            return keys
        # The last point may be gone: its place is where it would stand.
        own = point_keys([last])
        both = np.concatenate([own, keys])
        again = id_order(both, np.concatenate([self._noise(own), noise[order]]))
        place = int(np.flatnonzero(again == 0)[0])
        is_there = place < len(keys) and bool((keys[place] == own[0]).all())
        return keys[place + is_there :]

    def _noise(self, keys: KeyArray) -> FloatArray:
        mixed = np.random.default_rng([self._seed, self._cursor.epoch]).integers(2**63)
        return uniform_noise(keys, int(mixed))

    def _holds(self, record: Record) -> bool:
        """Whether the point is of the source still."""
        return self._value in _flat(field_values(record.payload, self._field))


def sources_of(
    collection: Collection, field: str, where: Filter | None = None
) -> dict[SourceValue, int]:
    """The values of the payload ``field`` -> how many points have them, in ascending order.

    By an index on the field where there is one, else by reading it from all points.
    """
    if collection.info().payload_indexes.get(field) in ("keyword", "integer"):
        counts = collection.facet(field, where)
    else:
        counts = {}
        for record in chain.from_iterable(collection.scroll([field], where=where)):
            for value in set(_flat(field_values(record.payload, field))):
                counts[value] = counts.get(value, 0) + 1
    usable = {value: count for value, count in counts.items() if type(value) in (str, int)}
    return dict(sorted(usable.items(), key=lambda one: (isinstance(one[0], str), one[0])))


def _flat(values: Iterable[Any]) -> list[Any]:
    items = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return [item for item in items if isinstance(item, (str, int))]
