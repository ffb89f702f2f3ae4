"""Whether a write-back will be possible, before anything is searched for it."""

from __future__ import annotations

from tsds_qdrant.collections.homed import home_of
from tsds_qdrant.collections.limits import announce
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import AccessDeniedError, RequestRejectedError
from tsds_qdrant.runs.tagging import Tagging, check_taggable
from tsds_qdrant.selection.selection import Selection


def check_write_back(collection: Collection, tagging: Tagging | None) -> None:
    """Check that the points of ``collection`` may get tags, where any are wanted; none is written.

    Raises:
        RequestRejectedError: tags could not be found again.
        AccessDeniedError: the API key may only read.
    """
    if tagging is None:
        return
    collection = home_of(collection)
    check_taggable(collection.info(), tagging)
    if needed := collection.limits.raised_for(1):
        raise RequestRejectedError(
            f"nothing can be written back as '{tagging.name}': the collection allows no filter, "
            f"which finds tags again (strict mode); leave --write-back out, or have {needed}"
        )
    rights = collection.rights()
    if rights.writes is False:
        raise AccessDeniedError(
            f"nothing can be written back as '{tagging.name}' with this key, so leave --write-back "
            f"out or use another one: {rights.refusal}"
        )


def announce_tags(collection: Collection, selection: Selection) -> None:
    """Say how long it takes to tag the largest sample of ``selection``, if that is long."""
    rate, points = home_of(collection).limits.write_rate, max(selection.samples, default=0)
    announce(selection.collection.name, "writes", rate, points - (rate or 0))
