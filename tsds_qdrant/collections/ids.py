"""Point ids: unsigned 64-bit integers, or UUIDs in their lower-case hyphenated form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from numbers import Integral
from pathlib import Path
from typing import Any, overload
from uuid import UUID

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import BoolArray, IntArray
from tsds_qdrant.collections.hit_ids import HitIds
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import InputError

KeyArray = npt.NDArray[np.uint64]


def checked_ids(ids: Sequence[Any]) -> list[PointId]:
    """``ids`` with UUIDs in their lower-case hyphenated form.

    Raises:
        InputError: neither an unsigned 64-bit integer nor a UUID.
    """
    checked: list[PointId] = []
    for point_id in ids:
        if type(point_id) is int and 0 <= point_id < 2**64:  # nearly all of a million
            checked.append(point_id)
            continue
        if isinstance(point_id, Integral) and not isinstance(point_id, bool):
            number = int(point_id)
            if 0 <= number < 2**64:
                checked.append(number)
                continue
        try:
            checked.append(str(UUID(str(point_id))))
        except ValueError as error:
            raise InputError(
                f"{point_id!r} is no point id; use a number from 0 to 2^64 - 1 or a UUID"
            ) from error
    return checked


def largest_in(payload: Mapping[str, Any] | None, field: str) -> int | float | str | None:
    """The largest value of ``field`` (dots reach into nested payloads), or None."""
    value: Any = payload
    for key in field.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, list):
        value = max(value, default=None)
    return value if isinstance(value, (int, float, str)) else None


DENSE = 8
"""From one place in that many on, all that there are get a mark each: cheaper than sorting."""


class _Numbers(dict[PointId, int]):
    """Gives every new id the next number."""

    def __missing__(self, point_id: PointId) -> int:
        number = self[point_id] = len(self)
        return number


class PointIndex:
    """Numbers 0, 1, .. for point ids in the order they were first seen."""

    def __init__(self) -> None:
        self._numbers = _Numbers()
        self._keys = np.empty((0, 3), dtype=np.uint64)
        self._ids: list[PointId] = []
        self._excluded = np.empty(0, dtype=np.bool_)

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self, ids: Sequence[PointId]) -> IntArray:
        """(n,) the numbers of ``ids``; unseen ids get new ones."""
        if isinstance(ids, HitIds):
            return ids.numbers(self.numbers)
        return np.fromiter(map(self._numbers.__getitem__, ids), dtype=np.int64, count=len(ids))

    def lookup(self, ids: Sequence[PointId]) -> IntArray:
        """(n,) the numbers of ``ids``; -1 for those not seen."""
        if isinstance(ids, HitIds):
            return ids.numbers(self.lookup)
        found = map(self._numbers.get, ids, repeat(-1))
        return np.fromiter(found, dtype=np.int64, count=len(ids))

    def ids(self, numbers: Iterable[int]) -> list[PointId]:
        """The ids behind ``numbers``."""
        self._catch_up()
        return [self._ids[number] for number in numbers]

    @property
    def keys(self) -> KeyArray:
        """(len, 3) keys of all ids; see :func:`point_keys`."""
        self._catch_up()
        return self._keys

    @property
    def excluded(self) -> BoolArray:
        """(len,) whether each point counts as deleted; to be written to."""
        unseen = len(self) - len(self._excluded)
        if unseen:
            self._excluded = np.concatenate([self._excluded, np.zeros(unseen, dtype=np.bool_)])
        return self._excluded

    def _catch_up(self) -> None:
        if len(self._ids) < len(self._numbers):
            new = list(self._numbers)[len(self._ids) :]
            self._ids += new
            self._keys = np.concatenate([self._keys, point_keys(new)])


def point_keys(ids: Sequence[PointId]) -> KeyArray:
    """(n, 3) uint64 keys whose lexicographic order is Qdrant's: numbers, then UUIDs.

    The columns are the kind (0 number, 1 UUID), and the high and low 64 bits.
    """
    keys = np.zeros((len(ids), 3), dtype=np.uint64)
    if str not in {*map(type, ids)}:
        keys[:, 2] = np.array(ids, dtype=np.uint64)
        return keys
    texts = [point_id for point_id in ids if isinstance(point_id, str)]
    named = np.fromiter((isinstance(one, str) for one in ids), dtype=np.bool_, count=len(ids))
    keys[:, 0] = named
    keys[~named, 2] = np.array([one for one in ids if not isinstance(one, str)], dtype=np.uint64)
    digits = bytes.fromhex("".join(texts).replace("-", ""))
    keys[named, 1:] = np.frombuffer(digits, dtype=">u8").reshape(-1, 2)
    return keys


def packed(keys: KeyArray) -> npt.NDArray[np.bytes_]:
    """(n,) ``keys`` (n, 3) as strings of 24 bytes, which compare as they do."""
    return np.ascontiguousarray(keys.astype(">u8")).view("S24").reshape(-1)


def found_in(
    known: npt.NDArray[np.bytes_], wanted: npt.NDArray[np.bytes_]
) -> tuple[IntArray, BoolArray]:
    """(n,) where each of ``wanted`` stands among the sorted ``known``, and whether it does."""
    places = np.searchsorted(known, wanted)
    there = places < len(known)
    there[there] = known[places[there]] == wanted[there]
    return places, there


def point_ids(keys: KeyArray) -> list[PointId]:
    """The ids behind ``keys`` (n, 3)."""
    return [str(UUID(int=(high << 64) | low)) if kind else low for kind, high, low in keys.tolist()]


def id_order(keys: KeyArray, *first: npt.NDArray[Any]) -> IntArray:
    """(n,) the order by ``first``, arrays (n,) of which the first counts most, and then by id."""
    return np.lexsort((keys[:, 2], keys[:, 1], keys[:, 0], *reversed(first)))


def sorted_by_distance(
    lists: IntArray, distances: npt.NDArray[np.float64], keys: KeyArray
) -> IntArray:
    """(n,) order of entries by (list, distance, id key): ties never depend on arrival.

    Most come in that order but for ties, and then only these are sorted.
    """
    same = lists[1:] == lists[:-1]
    tied = same & (distances[1:] == distances[:-1])
    if not (tied | (lists[1:] > lists[:-1]) | (same & (distances[1:] > distances[:-1]))).all():
        return id_order(keys, lists, distances)
    order = np.arange(len(lists))
    some = np.flatnonzero(np.r_[tied, False][: len(lists)] | np.r_[False, tied][: len(lists)])
    if len(some):
        run = np.cumsum(np.r_[True, ~tied])[some]
        order[some] = some[id_order(keys[some], run)]
    return order


def uniform_noise(keys: KeyArray, seed: int) -> npt.NDArray[np.float64]:
    """(n,) numbers in (0, 1) that depend on ``seed`` and the id alone (SplitMix64 mixing)."""
    state = np.full(len(keys), np.uint64(seed % 2**64))
    for column in range(keys.shape[1]):
        state = _mix(state ^ _mix(keys[:, column] + np.uint64(column + 1)))
    # 52 bits, so that adding a half is exact and never rounds up to 1.
    noise: npt.NDArray[np.float64] = ((state >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52
    return noise


def _mix(values: KeyArray) -> KeyArray:
    """The output function of SplitMix64 (Steele, Lea, Flood 2014)."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: KeyArray = z ^ (z >> np.uint64(31))
    return mixed


class KeyedIds(Sequence[PointId]):
    """Ids kept as their keys (n, 3), in the order of these: 24 bytes each, whatever they are."""

    def __init__(self, keys: KeyArray) -> None:
        self.keys = keys
        self._packed: npt.NDArray[np.bytes_] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, place: int) -> PointId: ...
    @overload
    def __getitem__(self, place: slice) -> list[PointId]: ...
    def __getitem__(self, place: int | slice) -> PointId | list[PointId]:
        if isinstance(place, slice):
            return point_ids(self.keys[place])
        return point_ids(self.keys[place][None, :])[0]

    def places(self, ids: Sequence[PointId]) -> IntArray:
        """(m,) where those of ``ids`` that are among them stand, ascending."""
        places, there = self.lookup(ids)
        return np.unique(places[there])

    def lookup(self, ids: Sequence[PointId]) -> tuple[IntArray, BoolArray]:
        """(n,) where each of ``ids`` stands, and whether it is among them."""
        if self._packed is None:
            self._packed = packed(self.keys)
        return found_in(self._packed, packed(point_keys(ids)))


def taken(ids: Sequence[PointId], places: IntArray) -> HitIds:
    """The ids at ``places`` (n,), each made once."""
    if len(places) > len(ids) // DENSE:
        there = np.zeros(len(ids), dtype=np.bool_)
        there[places] = True
        some, back = np.flatnonzero(there), (np.cumsum(there) - 1)[places]
    else:
        some, back = np.unique(places, return_inverse=True)
    if isinstance(ids, KeyedIds):
        return HitIds(point_ids(ids.keys[some]), back)
    return HitIds([ids[k] for k in some.tolist()], back)


def ids_of_file(path: Path) -> list[PointId]:
    """Point ids from a text file, one a line; blank lines are skipped.

    Raises:
        InputError: no such file, or a line that is no point id.
    """
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' cannot be read ({error}); give one id a line") from error
    return checked_ids([int(line) if line.isdecimal() else line for line in lines])
