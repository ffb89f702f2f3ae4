"""What has changed in a collection since a run looked at it.

Qdrant keeps no feed of changes. Four ways of looking stand in for one:

``sequence``  collections that ``ingest`` made: every stored point carries a number that only grows
``field``     a payload field of the user's that only grows
``ids``       the ids there are, compared with those there were (any collection)
``named``     a list of ids that somebody else knows to have changed

Deleted points matter only where a run uses them, so in every way those are simply looked up. The
vectors that densities were measured around are compared too: a change in place shows there even
where the chosen way is blind to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tsds_qdrant.collections.ids import KeyArray, point_ids, point_keys
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import SEQUENCE_FIELD
from tsds_qdrant.collections.values import Filter, PointId
from tsds_qdrant.errors import InputError, SettingsError

Way = Literal["sequence", "field", "ids", "named"]
PAGE = 10_000
BLIND = {
    "sequence": "points written by other means than 'tsds-qdrant ingest'",
    "field": "points whose field did not grow when they changed",
    "ids": "points whose vector or payload changed under the same id",
    "named": "points that the list does not name",
}


@dataclass(frozen=True)
class Mark:
    """How far a run has looked.

    Attributes:
        way: how changes are found.
        field_name: the payload field, for ``field``.
        value: the largest number seen, for ``sequence`` and ``field``.
        keys: (N, 3) sorted keys of all ids seen, for ``ids``.
        prints: (N,) hashes of their vectors where updates are looked for, else empty.
    """

    way: Way
    field_name: str | None = None
    value: int | float | str | None = None
    keys: KeyArray = field(default_factory=lambda: np.empty((0, 3), dtype=np.uint64))
    prints: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))

    @property
    def blind_to(self) -> str:
        """What this way of looking cannot see, in words."""
        if self.way == "ids" and len(self.prints):
            return "points whose payload alone changed"
        return BLIND[self.way]


@dataclass(frozen=True)
class Changes:
    """What has changed.

    Attributes:
        came: points that are new, or whose vector or payload changed.
        gone: points that a run uses and that are no longer there (or no longer match).
        mark: how far we have looked now.
    """

    came: list[PointId]
    gone: list[PointId]
    mark: Mark


def first_mark(
    collection: Collection,
    where: Filter | None,
    *,
    since_field: str | None = None,
    detect_updates: bool = False,
) -> Mark:
    """How far a first run looks; call it before anything is searched.

    Raises:
        SettingsError: ``since_field`` is not in the collection, or asked for with updates.
    """
    if since_field is not None:
        if detect_updates:
            raise SettingsError("since_field and detect_updates do not go together; leave one out")
        return Mark("field", since_field, _largest(collection, since_field))
    metadata = collection.info().metadata
    if "sequence" in metadata and not detect_updates:
        return Mark("sequence", SEQUENCE_FIELD, _settled(metadata))
    keys, prints = _everything(collection, where, detect_updates)
    return Mark("ids", keys=keys, prints=prints)


def find_changes(
    collection: Collection,
    where: Filter | None,
    mark: Mark,
    used: Sequence[PointId],
    *,
    named: Sequence[PointId] | None = None,
) -> Changes:
    """What changed since ``mark``.

    Args:
        collection: the collection now.
        where: the run's filter.
        mark: how far it had looked.
        used: ids that the run's lists and densities hold.
        named: look at these ids only, however the run looked before.

    Raises:
        InputError: the field's largest value has fallen, so it does not only grow.
    """
    present = _matching(collection, where, used)
    gone = [point_id for point_id in used if point_id not in present]
    if named is not None:
        return Changes(sorted(_matching(collection, where, named), key=_order), gone, mark)
    if mark.way == "ids":
        keys, prints = _everything(collection, where, bool(len(mark.prints)))
        return Changes(_new(mark, keys, prints), gone, Mark("ids", keys=keys, prints=prints))
    return _since(collection, where, mark, gone)


def _since(
    collection: Collection, where: Filter | None, mark: Mark, gone: list[PointId]
) -> Changes:
    """Changes by a growing number: everything above (or, for a user's field, at) the mark."""
    assert mark.field_name is not None
    metadata = collection.info().metadata
    if mark.way == "sequence":
        now: Any = _settled(metadata)
        bound = "gt"
    else:
        now, bound = _largest(collection, mark.field_name), "gte"
    if mark.value is not None and now is not None and now < mark.value:
        raise InputError(
            f"the largest '{mark.field_name}' of the collection is {now}, it was {mark.value}: "
            f"it does not only grow, or the collection was made again; select again with --state"
        )
    if mark.way == "sequence" and metadata.get("sequence", 0) == mark.value:
        return Changes([], gone, mark)
    newer: dict[str, Any] = {"must": [{"key": mark.field_name, "range": {bound: mark.value}}]}
    if mark.value is None:
        newer = {}
    condition = both(where, newer)
    came = [point_id for page in collection.scroll_ids(condition) for point_id in page]
    return Changes(came, gone, Mark(mark.way, mark.field_name, now))


def _settled(metadata: Mapping[str, Any]) -> int:
    """The number up to which all points are stored.

    *subtle*: a writer counts up before it writes, so the points of the last number may still be
    on their way, unless the writer said at its end that they are settled.
    """
    return max(int(metadata.get("settled", 0)), int(metadata.get("sequence", 0)) - 1)


def both(where: Filter | None, extra: Mapping[str, Any]) -> Filter | None:
    """Both conditions at once."""
    parts = [dict(part) for part in (where, extra) if part]
    return {"must": parts} if parts else None


def _largest(collection: Collection, name: str) -> Any:
    largest = collection.largest(name)
    if largest is None and collection.count():
        raise SettingsError(
            f"no point has a number or date in '{name}'; name another field, or leave it out"
        )
    return largest


def _matching(collection: Collection, where: Filter | None, ids: Sequence[PointId]) -> set[PointId]:
    """Which of ``ids`` are stored and match ``where``."""
    found: set[PointId] = set()
    for start in range(0, len(ids), PAGE):
        part = list(ids[start : start + PAGE])
        if where is None:
            found |= collection.existing(part)
        else:
            condition = both(where, {"must": [{"has_id": part}]})
            found.update(i for page in collection.scroll_ids(condition) for i in page)
    return found


def _everything(
    collection: Collection, where: Filter | None, with_prints: bool
) -> tuple[KeyArray, npt.NDArray[np.uint64]]:
    """Keys of all ids, in Qdrant's order, and hashes of their vectors if asked for."""
    keys, prints = [np.empty((0, 3), dtype=np.uint64)], [np.empty(0, dtype=np.uint64)]
    for page in collection.scroll_ids(where):
        if with_prints:
            found = list(_fingerprints(collection, page))
            page = [point_id for point_id, _ in found]
            prints.append(np.array([digest for _, digest in found], dtype=np.uint64))
        keys.append(point_keys(page))
    return np.concatenate(keys), np.concatenate(prints)


def _fingerprints(collection: Collection, ids: Sequence[PointId]) -> Iterator[tuple[PointId, int]]:
    for start in range(0, len(ids), 1_000):
        for record in collection.retrieve(ids[start : start + 1_000], payloads=False, vectors=True):
            content = b"" if record.vector is None else record.vector.tobytes()
            digest = hashlib.blake2b(content, digest_size=8).digest()
            yield record.id, int.from_bytes(digest, "little")


def _new(mark: Mark, keys: KeyArray, prints: npt.NDArray[np.uint64]) -> list[PointId]:
    """Ids that were not there, or whose vector has another hash."""
    before, now = _rows(mark.keys), _rows(keys)
    place = np.searchsorted(before, now)
    inside = place < len(before)
    known = np.zeros(len(now), dtype=np.bool_)
    known[inside] = before[place[inside]] == now[inside]
    if len(prints) and len(mark.prints):
        known[known] = mark.prints[place[known]] == prints[known]
    return point_ids(keys[~known])


def _rows(keys: KeyArray) -> npt.NDArray[np.bytes_]:
    """Keys as byte strings whose order is that of the keys."""
    return np.ascontiguousarray(keys.astype(">u8")).view("S24").ravel()


def _order(point_id: PointId) -> tuple[bool, PointId]:
    return isinstance(point_id, str), point_id
