"""Point ids that stay the same from run to run: the user's own, or a hash of the content."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any
from uuid import UUID

from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import BadRecordError
from tsds_qdrant.records.entries import Place
from tsds_qdrant.records.fields import missing_field, record_values, shown

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_MAX_ID = 2**64 - 1
_NUMBER = re.compile(r"0|[1-9][0-9]{0,19}")
_UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def record_id(
    record: Mapping[str, Any],
    text: str,
    id_field: str | None = None,
    *,
    place: Place | None = None,
) -> PointId:
    """Choose the id of a record.

    Without ``id_field``: a UUID of version 8 (RFC 9562) from blake2b-128 of ``text`` and of the
    record as canonical JSON (keys sorted, no blanks, ASCII), so the order of keys does not matter.

    With it, the value of that field (dots reach into nested records):

    - an unsigned 64-bit integer, or its decimal digits without leading zeros: that integer;
    - a UUID, or its 32 hexadecimal digits: that UUID, lower-case and hyphenated;
    - any other text or number: a UUID of version 8 from blake2b-128 of the text.

    Args:
        record: what :func:`~tsds_qdrant.records.reading.read_records` gives.
        text: the text that is embedded.
        id_field: the field that holds the user's own id.
        place: where the record stands, for the message of an error.

    Raises:
        BadRecordError: the record has no such field, or it holds no text and no number.
    """
    if id_field is None:
        encoded = text.encode("utf-8", "surrogatepass")
        size = len(encoded).to_bytes(8, "little")
        return _hashed(size + encoded + _canonical(record, place), person=b"tsds-record")
    values = record_values(record, id_field, place)
    if not values:
        raise missing_field(record, id_field, place)
    value = values[0]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    usable = isinstance(value, (int, float, str)) and not isinstance(value, bool)
    if len(values) > 1 or not usable or not str(value).strip():
        raise BadRecordError(
            place,
            f"holds {shown(value)} in '{id_field}'",
            "an id must be one number or one text",
        )
    name = str(value)
    if _NUMBER.fullmatch(name) and int(name) <= _MAX_ID:
        return int(name)
    if _UUID.fullmatch(name):
        return str(UUID(name))
    return _hashed(name.encode("utf-8", "surrogatepass"), person=b"tsds-id")


def _canonical(record: Mapping[str, Any], place: Place | None) -> bytes:
    try:
        line = _CANONICAL.encode(record)
    except (TypeError, ValueError) as error:
        raise BadRecordError(
            place, f"cannot be written as JSON ({error})", "give an id field"
        ) from None
    return line.encode("ascii")


def _hashed(content: bytes, *, person: bytes) -> str:
    bits = int.from_bytes(blake2b(content, digest_size=16, person=person).digest(), "big")
    # Version 8, "custom", in bits 48 to 51; the variant of RFC 9562 in bits 64 and 65.
    bits = bits & ~(0xF << 76) | 8 << 76
    bits = bits & ~(0x3 << 62) | 2 << 62
    return str(UUID(int=bits))
