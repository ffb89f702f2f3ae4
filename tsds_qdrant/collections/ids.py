"""Point ids: unsigned 64-bit integers, or UUIDs in their lower-case hyphenated form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any
from uuid import UUID

from tsds_qdrant.collections.protocol import PointId
from tsds_qdrant.errors import InputError


def checked_ids(ids: Sequence[Any]) -> list[PointId]:
    """``ids`` with UUIDs in their lower-case hyphenated form.

    Raises:
        InputError: neither an unsigned 64-bit integer nor a UUID.
    """
    checked: list[PointId] = []
    for point_id in ids:
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
