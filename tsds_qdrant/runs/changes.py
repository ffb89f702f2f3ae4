"""What has changed in a collection since a run looked at it.

Qdrant keeps no feed of changes. Four ways of looking stand in for one:

``sequence``  collections that ``ingest`` made: every stored point carries the stamp of its writer,
              or, from older versions, a number that only grows
``field``     a payload field of the user's that only grows
``ids``       the ids there are, compared with those there were (any collection)
``named``     a list of ids that somebody else knows to have changed

Deleted points matter only where a run uses them, so in every way those are simply looked up. The
vectors that densities were measured around are compared too: a change in place shows there even
where the chosen way is blind to it. And the points are counted: where more are there than were
there and came, all are looked at.

Two things show at once that nothing changed, and then no point is looked at: an embedded
collection's fingerprint, and on servers the stamps of ``ingest``, where all points have one and
each writer has as many as it had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import BoolArray
from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.ids import KeyArray, found_in, packed, point_ids, point_keys
from tsds_qdrant.collections.matching import matching
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import SEQUENCE_FIELD
from tsds_qdrant.collections.values import Filter, PointId
from tsds_qdrant.errors import InputError, SettingsError
from tsds_qdrant.ingestion.writer import index_stamps
from tsds_qdrant.pool.fields import check_fields
from tsds_qdrant.runs.marks import Changes, Mark
from tsds_qdrant.runs.since import largest_of
from tsds_qdrant.runs.writers import read_now, written_by_each, written_since


def first_mark(
    collection: Collection,
    where: Filter | None,
    *,
    since_field: str | None = None,
    detect_updates: bool = False,
) -> Mark:
    """How far a first run looks; call it before anything is searched.

    Raises:
        InputError: no point has ``since_field``.
        SettingsError: it holds no number or date, or is asked for with updates.
    """
    if since_field is None and not detect_updates and not is_server(collection.info().location):
        index_stamps(collection)
    fingerprint = collection.fingerprint()
    if since_field is not None:
        if detect_updates:
            raise SettingsError("since_field and detect_updates do not go together; leave one out")
        check_fields(collection, {since_field: "--since-field"})
        largest = largest_of(collection, since_field)
        count = collection.count(where)
        return Mark("field", since_field, largest, count=count, fingerprint=fingerprint)
    metadata = collection.info().metadata
    if "sequence" in metadata and not detect_updates:
        readings = read_now(collection)
        return Mark(
            "sequence",
            SEQUENCE_FIELD,
            _settled(metadata),
            readings=readings,
            count=collection.count(where),
            stamped=_stamped(collection, where),
            fingerprint=fingerprint,
        )
    keys, prints = _everything(collection, where, detect_updates)
    return Mark("ids", keys=keys, prints=prints, fingerprint=fingerprint)


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
    fingerprint = collection.fingerprint()
    if named is not None:
        came = sorted(matching(collection, where, named), key=_order)
        if mark.count is not None:  # some of these may be new, and the run's way blind to them
            mark = replace(mark, count=mark.count + len(came))
        return Changes(came, _gone(collection, where, used), mark)
    if fingerprint is not None and fingerprint == mark.fingerprint:
        return Changes([], [], mark, none=True)
    if mark.way == "ids":
        keys, prints = _everything(collection, where, bool(len(mark.prints)))
        gone = [
            one for one, here in zip(used, _are_in(keys, point_keys(used)), strict=True) if not here
        ]
        now = Mark("ids", keys=keys, prints=prints, fingerprint=fingerprint)
        return Changes(_new(mark, keys, prints), gone, now)
    there = collection.count(where)
    came, now = _since(collection, where, mark)
    now = replace(now, fingerprint=fingerprint, stamped=_stamped(collection, where))
    if now.stamped and now.stamped == mark.stamped and not came and there == mark.count:
        return Changes([], [], now, none=True)
    # *subtle*: looked up after they were counted by writer, so that one that is deleted in between
    # is missed by the next look and not by all.
    gone = _gone(collection, where, used)
    unmarked = 0 if mark.count is None else max(0, there - mark.count - len(came))
    if unmarked:
        came = [point_id for page in collection.scroll_ids(where) for point_id in page]
    # *subtle*: counted at the end, as points that came meanwhile may be among those found.
    came = list(dict.fromkeys(came))
    return Changes(came, gone, replace(now, count=collection.count(where)), unmarked)


def _gone(collection: Collection, where: Filter | None, used: Sequence[PointId]) -> list[PointId]:
    present = matching(collection, where, used)
    return [point_id for point_id in used if point_id not in present]


def _stamped(collection: Collection, where: Filter | None) -> Mapping[str, int]:
    """How many points each writer has; empty where that does not speak for all candidates."""
    if where is not None or collection.fingerprint() is not None:
        return {}
    return written_by_each(collection)


def _since(collection: Collection, where: Filter | None, mark: Mark) -> tuple[list[PointId], Mark]:
    """Points above the mark by a growing number (or, for a user's field, at it), and the next."""
    assert mark.field_name is not None
    came: list[PointId] = []
    now: Any = None
    readings = mark.readings
    if mark.way == "sequence":
        metadata = collection.info().metadata
        came, readings = written_since(collection, where, mark.readings)
        now, bound, last = _settled(metadata), "gt", metadata.get("sequence", 0)
    else:
        now, bound, last = largest_of(collection, mark.field_name), "gte", None
    if mark.value is not None and now is not None and now < mark.value:
        raise InputError(
            f"the largest '{mark.field_name}' of the collection is {now}, it was {mark.value}: "
            f"it does not only grow, or the collection was made again; select again with --state"
        )
    if last is None or last != mark.value:
        newer = [{"key": mark.field_name, "range": {bound: mark.value}}]
        if mark.value is None:
            newer = []
        room = not newer or collection.limits.has_room(where)
        condition = joined(where if room else None, *newer)
        found = [point_id for page in collection.scroll_ids(condition) for point_id in page]
        came += found if room else sorted(matching(collection, where, found), key=_order)
    return came, replace(mark, value=now, readings=readings)


def _settled(metadata: Mapping[str, Any]) -> int:
    """The number up to which all points are stored.

    *subtle*: a writer counts up before it writes, so the points of the last number may still be
    on their way, unless the writer said at its end that they are settled.
    """
    return max(int(metadata.get("settled", 0)), int(metadata.get("sequence", 0)) - 1)


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
    known = _are_in(mark.keys, keys)
    if len(prints) and len(mark.prints):
        place = np.searchsorted(packed(mark.keys), packed(keys[known]))
        known[known] = mark.prints[place] == prints[known]
    return point_ids(keys[~known])


def _are_in(all_keys: KeyArray, keys: KeyArray) -> BoolArray:
    """(n,) which of ``keys`` are in the sorted ``all_keys``."""
    if np.array_equal(all_keys, keys):
        return np.ones(len(keys), dtype=np.bool_)
    return found_in(packed(all_keys), packed(keys))[1]


def _order(point_id: PointId) -> tuple[bool, PointId]:
    return isinstance(point_id, str), point_id
