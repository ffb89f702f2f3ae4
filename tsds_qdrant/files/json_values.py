"""Values that JSON can hold: strict parsing, and conversion of what other formats bring."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any
from uuid import UUID

Changes = Counter[str]
"""What happened to values that JSON, or a 64-bit float, cannot hold -> how often."""
NULLED = "NaN or infinite numbers became null"
CUT = "times were cut to microseconds"
ROUNDED = "decimals were rounded to 64-bit floats"
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_DIGITS = 17
"""Significant digits that tell every 64-bit float from all others."""
_COUNTED = 2**53


def json_safe(value: Any, changes: Changes | None = None) -> Any:
    """Convert ``value``, and all it holds, to what JSON can express.

    NaN and infinity become None; dates and times ISO 8601 strings; durations seconds; decimals
    floats; UUIDs strings; numpy and Arrow scalars and arrays plain numbers and lists; keys
    strings. Bytes must be UTF-8 text. Halves of surrogate pairs become U+FFFD.

    Args:
        value: anything.
        changes: counts what became another value.

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
        if math.isfinite(value):
            return float(value)
        _count(changes, NULLED)
        return None
    if isinstance(value, Mapping):
        return {_whole(str(key)): json_safe(item, changes) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_safe(item, changes) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("bytes that are not UTF-8 text") from None
    return _foreign(value, changes)


def _foreign(value: Any, changes: Changes | None) -> Any:
    # Duck typing, so that neither numpy nor pyarrow is imported to convert what is not theirs.
    if isinstance(value, UUID):
        return str(value)
    if hasattr(value, "total_seconds"):
        return float(value.total_seconds())
    if isinstance(value, Decimal):
        return _float_of(value, changes)
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in ("M", "m"):  # numpy gives datetimes only up to microseconds
        value = value.astype(f"{kind}8[us]")
    for name in ("tolist", "as_py", "isoformat"):
        if hasattr(value, name):
            return json_safe(getattr(value, name)(), changes)
    raise ValueError(f"a value of type {type(value).__name__}, which JSON cannot hold")


def _whole(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _count(changes: Changes | None, kind: str) -> None:
    if changes is not None:
        changes[kind] += 1


def _float_of(number: Decimal, changes: Changes | None) -> float | int | None:
    """The nearest float, or None where there is none.

    Whole numbers beyond what a float counts by ones stay whole.
    """
    if number.is_finite() and abs(number) > _COUNTED and number == number.to_integral_value():
        return int(number)
    nearest = float(number)
    if not math.isfinite(nearest):
        _count(changes, NULLED)
        return None
    if _rounded(number, nearest):
        _count(changes, ROUNDED)
    return nearest


def _rounded(number: Decimal, nearest: float) -> bool:
    """Whether ``nearest`` is another number, written as usual or with the digits of ``number``."""
    if Decimal(repr(nearest)) == number:
        return False
    digits = max(1, len(number.as_tuple().digits))
    return Context(prec=digits).create_decimal_from_float(nearest) != number


class Decoder(json.JSONDecoder):
    """Takes NaN and infinity for None, and remembers what it changed.

    Attributes:
        changes: of the value decoded last.
        beyond: numbers of that value that no 64-bit float can hold, as they were written.
        repeated: keys that an object of that value has twice.
    """

    def __init__(self) -> None:
        super().__init__(
            parse_float=self._number,
            parse_constant=self._nothing,
            object_pairs_hook=self._object,
        )
        self.changes: Changes = Counter()
        self.beyond: list[str] = []
        self.repeated: list[str] = []

    def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
        """Decode the value that begins at ``idx``; also where it ends."""
        self.changes.clear()
        self.beyond.clear()
        self.repeated.clear()
        return super().raw_decode(s, idx)

    def _number(self, text: str) -> float | None:
        number = float(text)
        if not math.isfinite(number):
            self.beyond.append(text)
            return None
        if len(text) > _DIGITS and _rounded(Decimal(text), number):
            self.changes[ROUNDED] += 1
        return number

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            counted = Counter(key for key, _ in pairs)
            self.repeated += [key for key, count in counted.items() if count > 1]
        return made

    def _nothing(self, _constant: str) -> None:
        self.changes[NULLED] += 1


def parse_json(text: str) -> Any:
    """Parse one JSON value; NaN, infinity and numbers beyond 64-bit floats become None.

    Raises:
        json.JSONDecodeError: not JSON.
        ValueError: nested too deep, or a number of thousands of digits.
    """
    try:
        value = Decoder().decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return json_safe(value) if may_hold_half(text) else value


def may_hold_half(text: str) -> bool:
    """Whether JSON ``text`` escapes what may be half of a surrogate pair."""
    return "\\u" in text and bool(_HALF.search(text))
