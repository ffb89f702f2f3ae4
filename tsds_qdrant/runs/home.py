"""A selection from a copy of a collection, marked in the collection itself.

A run that was made on a mirror names points by their ids, which are those of the mirror's source.
Before anything is written there, some of the selected points are compared: they have to be the
same ones, by their payload or by a vector.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tsds_qdrant.arrays import spread_over
from tsds_qdrant.collections.payloads import same_payload
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import MADE_FIELD, TAG_FIELD
from tsds_qdrant.collections.whole import Whole, near_vectors
from tsds_qdrant.errors import AccessDeniedError, CollectionMismatchError, SettingsError
from tsds_qdrant.progress import Progress, silent
from tsds_qdrant.runs.owed import Ledger
from tsds_qdrant.runs.permitted import announce_tags
from tsds_qdrant.runs.reopen import reopen
from tsds_qdrant.runs.state import RunState
from tsds_qdrant.runs.tagging import Tagging
from tsds_qdrant.runs.write_back import WriteBackReport, write_back
from tsds_qdrant.selection.selection import Selection

LOOKED_AT = 256
"""Selected points that are compared."""


def write_home(
    state: RunState,
    copy: Collection,
    target: Collection,
    *,
    name: str | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
) -> WriteBackReport:
    """Tag the points of ``target`` that the run in ``state`` selected from ``copy``.

    Args:
        state: the run.
        copy: where it selected, open.
        target: the collection to be written to; its points have the same ids.
        name: of the tags; by default the one under which the run writes back.
        dry_run: count only.
        progress: stage ``write back``.

    Raises:
        CollectionMismatchError: the selected points are not those of ``target``.
        SettingsError: no name is given, and the run has none.
        AccessDeniedError, RequestRejectedError: ``target`` may not be written to.
    """
    run = reopen(state, copy)
    known = run.tagging
    if name is None and known is None:
        raise SettingsError(
            f"the run '{state.path}' writes nothing back, so that its tags have no name; give "
            f"--name NAME"
        )
    tagging = known if name is None and known else Tagging(name or "", _digest(run.selection))
    rights = target.rights()
    if rights.writes is False and not dry_run:
        raise AccessDeniedError(rights.refusal)
    check_same_points(run.selection, copy, target)
    announce_tags(target, run.selection)
    return write_back(
        target, run.selection, tagging, ledger=Ledger(None), dry_run=dry_run, progress=progress
    )


def check_same_points(selection: Selection, copy: Collection, target: Collection) -> None:
    """Check that the ids of ``selection``, from ``copy``, mean the same points in ``target``.

    Raises:
        CollectionMismatchError: most of them do not.
    """
    rows = list(selection.sample_rows(max(selection.samples)))
    ids = [row["id"] for row in spread_over(rows, LOOKED_AT)]
    info = target.info()
    place = f"collection '{info.name}' of {info.location}"
    here, there = copy.whole(ids), target.whole(ids)
    if ids and not there:
        raise CollectionMismatchError(
            f"none of {len(ids)} selected points is in {place}; give the collection that the run's "
            f"candidates were copied from"
        )
    both = [point for point in here if point in there]
    others = [point for point in both if not _same(here[point], there[point])]
    if 2 * len(others) > len(both):
        raise CollectionMismatchError(
            f"of {len(both)} selected points {len(others)} have another payload and other vectors "
            f"in {place}, as point {others[0]} has; give the collection that the run's candidates "
            f"were copied from"
        )


def _same(one: Whole, other: Whole) -> bool:
    return same_payload(_content(one), _content(other)) or any(near_vectors(one, other))


def _content(point: Whole) -> dict[str, Any]:
    return {k: v for k, v in point.payload.items() if k not in (TAG_FIELD, MADE_FIELD)}


def _digest(selection: Selection) -> str:
    """What stands in a tag for the selection; equal ones have the same."""
    rows = [
        [row["id"], row["rank"], row["probability"]]
        for row in selection.sample_rows(max(selection.samples))
    ]
    return hashlib.blake2b(json.dumps(rows).encode(), digest_size=8).hexdigest()
