"""Values that JSON can hold: strict parsing, and conversion of what other formats bring."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def json_safe(value: Any) -> Any:
    """Convert ``value``, and all it holds, to what JSON can express.

    NaN and infinity become None; dates and times ISO 8601 strings; durations seconds; decimals
    floats; UUIDs strings; numpy and Arrow scalars and arrays plain numbers and lists; keys
    strings. Bytes must be UTF-8 text. Halves of surrogate pairs become U+FFFD.

    Raises:
        ValueError: bytes that are not UTF-8, or an object of another type.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _whole(str(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_whole(str(key)): json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_safe(item) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("bytes that are not UTF-8 text") from None
    return _foreign(value)


def _foreign(value: Any) -> Any:
    # Duck typing, so that neither numpy nor pyarrow is imported to convert what is not theirs.
    if isinstance(value, UUID):
        return str(value)
    if hasattr(value, "total_seconds"):
        return float(value.total_seconds())
    if hasattr(value, "as_tuple"):  # Decimal
        return json_safe(float(value))
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in ("M", "m"):  # numpy gives datetimes only up to microseconds
        value = value.astype(f"{kind}8[us]")
    for name in ("tolist", "as_py", "isoformat"):
        if hasattr(value, name):
            return json_safe(getattr(value, name)())
    raise ValueError(f"a value of type {type(value).__name__}, which JSON cannot hold")


def _whole(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=lambda _: None)
"""Takes NaN, infinity and numbers beyond float64 for None."""


def parse_json(text: str) -> Any:
    """Parse one JSON value; NaN and infinity become None, as in :func:`json_safe`.

    Raises:
        json.JSONDecodeError: not JSON.
        ValueError: nested too deep, or a number of thousands of digits.
    """
    try:
        value = DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return json_safe(value) if "\\u" in text and _SURROGATE.search(text) else value
