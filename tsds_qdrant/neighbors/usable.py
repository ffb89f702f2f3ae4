"""Hits that are candidates: none of a vector of zeros, of NaN, or of another length under Dot."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from tsds_qdrant.arrays import BoolArray
from tsds_qdrant.collections.hits import Hits, first_hits, search_numbers
from tsds_qdrant.collections.lengths import not_of_unit_length, tolerance_of
from tsds_qdrant.collections.values import CollectionInfo, PointId
from tsds_qdrant.errors import PoisonedCollectionError


def unusable(
    hits: Hits, info: CollectionInfo, zero: Collection[PointId], *, exact: bool
) -> BoolArray:
    """(n,) which of ``hits`` are no candidates: those of ``zero``, and of vectors that hold NaN.

    Raises:
        PoisonedCollectionError: NaN in an approximate search.
        UnsupportedCollectionError: a product under Dot above 1.
    """
    name = f"collection '{info.name}'"
    if info.metric == "Dot" and not info.any_length:
        long = hits.scores > 1.0 + 2 * tolerance_of(info)
        if long.any():
            first = int(np.argmax(long))
            fault = f"has a product of {hits.scores[first]:.4g} with a unit vector"
            raise not_of_unit_length(name, hits.ids[first], fault)
    broken: BoolArray = ~np.isfinite(hits.distances)
    if broken.any() and not exact:
        raise PoisonedCollectionError(
            f"the vector of point {hits.ids[int(np.argmax(broken))]} in {name} holds NaN or "
            f"infinity, which spoils approximate search; delete that point, or select with --exact"
        )
    if zero:
        broken |= np.array([point_id in zero for point_id in hits.ids], dtype=np.bool_)
    return broken


def usable_hits(
    ask: Callable[[int], Hits], limit: int, unusable: Callable[[Hits], BoolArray]
) -> Hits:
    """At most ``limit`` usable hits of each search, and no fewer where there are as many.

    Args:
        ask: searches with a limit; asked again with a larger one where hits that are not usable
            took the place of others.
        limit: as wanted.
        unusable: says which hits are not usable.
    """
    depth = limit
    while True:
        hits = ask(depth)
        lost = unusable(hits)
        if not lost.any():
            return hits if depth == limit else first_hits(hits, limit)
        taken = np.bincount(search_numbers(hits)[lost], minlength=len(hits.counts))
        short = int(taken[hits.counts >= depth].max(initial=0))
        if short <= depth - limit:
            return first_hits(hits.only(~lost), limit)
        depth = limit + 2 * short
