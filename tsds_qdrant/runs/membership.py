"""Changes of a pool as far as they make points candidates, or no longer."""

from __future__ import annotations

from collections.abc import Collection as Container
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tsds_qdrant.collections.ids import point_ids
from tsds_qdrant.collections.values import PointId
from tsds_qdrant.pool.members import Members
from tsds_qdrant.runs.changes import find_changes
from tsds_qdrant.runs.marks import Changes, Mark


def changes_among(
    members: Members, mark: Mark, used: Sequence[PointId], named: Sequence[PointId] | None
) -> Changes:
    """What changed among ``members`` since ``mark``; see :func:`~.changes.find_changes`.

    Points whose vector is zero now are gone. Whoever loses the vector is gone too, and whoever
    gets one came, where ``mark`` can see that.
    """
    changes = find_changes(members.collection, members.where, mark, used, named=named)
    outside, gone = members.outside, set(changes.gone)
    if not outside:
        return changes
    return replace(
        changes,
        came=[point_id for point_id in changes.came if point_id not in outside],
        gone=[*changes.gone, *(one for one in used if one in outside and one not in gone)],
        mark=without(changes.mark, outside),
    )


def without(mark: Mark, ids: Container[PointId]) -> Mark:
    """``mark`` as if ``ids`` had not been there, so that they come once they are candidates."""
    if not len(ids) or not len(mark.keys):
        return mark
    kept = np.array([one not in ids for one in point_ids(mark.keys)], dtype=np.bool_)
    prints = mark.prints[kept] if len(mark.prints) else mark.prints
    return replace(mark, keys=mark.keys[kept], prints=prints)
