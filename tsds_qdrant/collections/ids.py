"""Point ids: unsigned 64-bit integers, or UUIDs in their lower-case hyphenated form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from numbers import Integral
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from tsds_qdrant.arrays import BoolArray, IntArray
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
        if type(point_id) is int and 0 <= point_id < 2**64:
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
        return np.fromiter(map(self._numbers.__getitem__, ids), dtype=np.int64, count=len(ids))

    def lookup(self, ids: Sequence[PointId]) -> IntArray:
        """(n,) the numbers of ``ids``; -1 for those not seen."""
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
    for row, point_id in enumerate(ids):
        if isinstance(point_id, str):
            bits = UUID(point_id).int
            keys[row] = (1, bits >> 64, bits & 0xFFFF_FFFF_FFFF_FFFF)
        else:
            keys[row, 2] = point_id
    return keys


def point_ids(keys: KeyArray) -> list[PointId]:
    """The ids behind ``keys`` (n, 3)."""
    return [str(UUID(int=(high << 64) | low)) if kind else low for kind, high, low in keys.tolist()]


def id_order(keys: KeyArray, *first: npt.NDArray[Any]) -> IntArray:
    """(n,) the order by ``first``, arrays (n,) of which the first counts most, and then by id."""
    return np.lexsort((keys[:, 2], keys[:, 1], keys[:, 0], *reversed(first)))


def sorted_by_distance(
    lists: IntArray, distances: npt.NDArray[np.float64], keys: KeyArray
) -> IntArray:
    """(n,) order of entries by (list, distance, id key): ties never depend on arrival."""
    return id_order(keys, lists, distances)


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
