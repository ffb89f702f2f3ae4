"""Points in the order of a payload number, page by page, though many may share a value.

Qdrant pages through an order only by ``start_from``, which includes that value (documentation,
"Points", "Order points by payload key"), and leaves open which of the points that share a value
come along at the end of a page. So the points of the last value are asked for again, in requests
that are larger by as many, and passed on once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tsds_qdrant.collections.refusals import Place
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.errors import RequestRejectedError

EXACT = 2**53
"""Integers up to it are float64 numbers."""
Valued = tuple[PointId, int | float]
"""A point and its number."""


def ordered_pages(
    ask: Callable[[int, Any], list[Valued]],
    *,
    page: int,
    descending: bool = False,
    limit: int | None = None,
    most: int | None = None,
    equal: Callable[[int | float], list[PointId]] | None = None,
) -> Iterator[list[Valued]]:
    """Pages of all points that have the number, each once.

    Args:
        ask: given a limit and the value to start from (None: the first), gives the points.
        page: usual points of a page; where more share a value, pages grow.
        descending: whether ``ask`` gives the largest numbers first.
        limit: at most this many points in all.
        most: no request may have a larger limit.
        equal: gives all points with one value, whatever ``most`` is.

    Raises:
        RequestRejectedError: ``most`` is too small for the points that share one value, and they
            cannot be asked for by that value.
    """
    start: int | float | None = None
    seen: set[Valued] = set()
    left, extra = limit, page
    while left is None or left > 0:
        wanted = len(seen) + (extra if left is None else min(extra, left))
        if most is not None and wanted > most:
            wanted = most
        found = ask(wanted, start)
        new = [*dict.fromkeys(pair for pair in found if pair not in seen)]
        crowded = not new and wanted == most and len(found) == wanted and start is not None
        if crowded and equal is not None and abs(start or 0) <= EXACT:
            value = found[-1][1]
            new = [(point, value) for point in equal(value) if (point, value) not in seen]
            start, seen = _behind(value, descending), set()
        elif crowded:
            raise RequestRejectedError(
                f"at least {len(seen)} points share the value {start}, and one request may ask "
                f"for {most} (strict mode); have max_query_limit raised, or filter by that field"
            )
        if new:
            kept = new if left is None else new[:left]
            left = None if left is None else left - len(kept)
            yield kept
        if crowded:
            continue
        if len(found) < wanted:
            return
        start = _start_from(found[-1][1], descending)
        seen.update(new)
        seen = {pair for pair in seen if (pair[1] <= start if descending else pair[1] >= start)}
        # *subtle*: doubled while one value goes on, so that it is not read again and again.
        extra = max(page, len(seen)) if new else 2 * extra


def _start_from(last: int | float, descending: bool) -> int | float:
    """The value to go on from after ``last``, none of whose points may be passed over.

    *subtle*: Qdrant reads ``start_from`` as float64, which cannot tell large integers apart; for
    those, the next float64 before ``last`` is on the safe side.
    """
    if abs(last) <= EXACT:
        return last
    return math.nextafter(float(last), math.inf if descending else -math.inf)


def _behind(value: int | float, descending: bool) -> int | float:
    """The next value behind ``value`` that a point may have."""
    if isinstance(value, int):
        return value - 1 if descending else value + 1
    return math.nextafter(value, -math.inf if descending else math.inf)


@contextmanager
def ordering(place: Place, field: str) -> Iterator[None]:
    """Say clearly that ``field`` has no index to order by, where Qdrant refuses for that."""
    try:
        yield
    except RequestRejectedError as error:
        if "range index" not in str(error).lower():
            raise
        raise RequestRejectedError(
            f"{place} has no range index on the payload field '{field}', which ordering by it "
            f"needs; make an integer or float index on it"
        ) from error
