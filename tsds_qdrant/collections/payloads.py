"""What a payload may hold: only what every way of storing it gives back as it was.

Measured on Qdrant Edge 0.9. A payload of 124 levels is taken and makes its log unreadable, one of
128 cannot be read where it lies, and some thousand overflow the stack. A server reads 128 levels
of a request, three of which are not the payload's, and 100 of a message of gRPC, where an object
takes three: payloads of more than some 30 levels are read over REST only. Integers beyond 64 bits
become floats.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tsds_qdrant.collections.values import Payload, PointId
from tsds_qdrant.errors import InputError

MOST_LEVELS = 100
"""Objects and arrays inside each other, the payload itself among them."""
MOST_BYTES = 30_000_000
"""Of one payload: a segment of the embedded engine's log holds 32 MB, as a request to a server."""
LEAST_INTEGER, LARGEST_INTEGER = -(2**63), 2**64 - 1
PAYLOAD_ADVICE = "write that field as text, or shorten or flatten it"
"""What helps against every fault."""
_NUMBER_BYTES = 9
_COUNTED_LEVELS = 100_000
_SHOWN = 60
_SAME_ULPS = 4


class Weighed(NamedTuple):
    """A payload looked through: about how large it is, and why it cannot be stored, if so."""

    bytes: int
    fault: str | None


def payload_fault(payload: Payload) -> str | None:
    """Why ``payload`` cannot be stored, as in "is nested 130 levels deep in ..", or None."""
    return weighed(payload).fault


def checked_payloads(
    ids: Sequence[PointId], payloads: Sequence[Payload], *, above: int = 0
) -> list[int]:
    """About how many bytes each of ``payloads`` takes.

    Args:
        ids: their points.
        payloads: to be stored, each inside ``above`` levels of a payload.

    Raises:
        InputError: one cannot be stored; the message names its point.
    """
    sizes = []
    before, size, fault = None, 0, None
    for point_id, payload in zip(ids, payloads, strict=True):
        if payload is not before:
            size, fault = weighed(payload, above)
            before = payload
        if fault:
            raise InputError(f"the payload of point {point_id} {fault}; {PAYLOAD_ADVICE}")
        sizes.append(size)
    return sizes


def weighed(payload: Payload, above: int = 0) -> Weighed:
    """Look ``payload`` through, which is to be inside ``above`` levels of another."""
    size, fault = 0, _key_fault(payload, ())
    walks: list[Iterator[tuple[Any, Any]]] = [iter(payload.items())]
    path: list[Any] = []
    while walks and fault is None:
        for key, value in walks[-1]:
            if isinstance(key, str):
                size += len(key) + 3
            if isinstance(value, str):
                if value.isascii():
                    size += len(value) + 3
                    continue
                try:
                    size += len(value.encode()) + 3
                except UnicodeEncodeError as error:
                    half = value[error.start]
                    fault = f"holds half of a surrogate pair ({half!r}) in {_shown(path, key)}"
                    break
            elif value is None or isinstance(value, float | int):
                size += _NUMBER_BYTES
                if problem := _number_fault(value):
                    fault = f"holds {problem} in {_shown(path, key)}"
                    break
            elif isinstance(value, dict | list | tuple):
                path.append(key)
                if len(walks) + above >= MOST_LEVELS:
                    fault = _depth_fault(payload, path[0], above)
                elif isinstance(value, dict):
                    fault = _key_fault(value, path)
                    walks.append(iter(value.items()))
                else:
                    walks.append(enumerate(value))
                break
            else:
                kind = type(value).__name__
                fault = f"holds a value of type '{kind}', not of JSON, in {_shown(path, key)}"
                break
        else:
            walks.pop()
            del path[-1:]
    if fault is None and size > MOST_BYTES:
        fault = (
            f"is about {size / 1e6:.0f} MB large, which is more than the {MOST_BYTES / 1e6:.0f} MB "
            f"that a point can hold"
        )
    return Weighed(size, fault)


def levels_of(key: str) -> int:
    """How many levels of a payload are above what lies at the path ``key``, at most."""
    return 1 + key.count(".") + key.count("[")


def paths_of(names: Sequence[str]) -> list[str]:
    """Paths of the top-level fields ``names``; none of one with a quotation mark.

    Qdrant documentation, "Payload": a name with another sign than a letter, digit, hyphen or
    underscore is quoted, and no quoted name can hold a quotation mark.
    """
    return [
        name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'
        for name in names
        if '"' not in name
    ]


def in_order(value: Any) -> Any:
    """``value`` of a payload with the keys of all objects in it in ascending order.

    A server answers in an order that differs between its nodes and between REST and gRPC.
    """
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    return [in_order(one) for one in value] if isinstance(value, list) else value


def same_payload(stored: Any, given: Any) -> bool:
    """Whether ``stored``, as it was read back, is the payload ``given``.

    Qdrant reads a tenth of all floats as the float beside them; such neighbours are the same.
    """
    left = [(stored, given)]
    while left:
        one, other = left.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            left += [(value, other[key]) for key, value in one.items()]
        elif isinstance(one, list) and isinstance(other, list | tuple):
            if len(one) != len(other):
                return False
            left += zip(one, other, strict=True)
        elif isinstance(one, float) and isinstance(other, float):
            if abs(one - other) > _SAME_ULPS * math.ulp(other):
                return False
        elif isinstance(one, bool) is not isinstance(other, bool) or one != other:
            return False
    return True


def _key_fault(value: Mapping[Any, Any], path: Sequence[Any]) -> str | None:
    for key in value:
        if not isinstance(key, str):
            return f"has the key {key!r}, which is no text, in {_shown(path)}"
        if not key.isascii():
            try:
                key.encode()
            except UnicodeEncodeError:
                return f"has the key {_cut(repr(key))} with half of a surrogate pair"
    return None


def _number_fault(value: float | int | None) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value!r}, which is no number of JSON,"
    if value is None or LEAST_INTEGER <= value <= LARGEST_INTEGER:
        return None
    # Python refuses to write thousands of digits.
    digits = int(value.bit_length() * math.log10(2)) + 1
    shown = str(value) if digits <= _SHOWN else f"of about {digits} digits"
    return f"an integer beyond 64 bits ({shown})"


def _depth_fault(payload: Payload, field: str, above: int) -> str:
    deepest = above
    level: dict[int, Any] = {id(payload): {field: payload[field]}}
    while level and deepest < _COUNTED_LEVELS:
        deepest += 1
        level = {
            id(inner): inner
            for outer in level.values()
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list | tuple)
        }
    more = " or more" if level else ""
    return (
        f"is nested {deepest} levels deep{more} in {_shown([field])}, which is more than the "
        f"{MOST_LEVELS} that a collection can read back"
    )


def _shown(path: Sequence[Any], *last: Any) -> str:
    """The place of a value, as in ``'messages[3].content'``."""
    names = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in (*path, *last))
    return f"'{_cut(''.join(names).removeprefix('.'))}'"


def _cut(text: str) -> str:
    whole = text.encode("ascii", "backslashreplace").decode() if not text.isprintable() else text
    return whole if len(whole) <= _SHOWN else whole[: _SHOWN - 2] + ".."
