"""Whether all candidates have a representation, and one alone."""

from __future__ import annotations

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo, Filter
from tsds_qdrant.errors import CollectionMismatchError
from tsds_qdrant.progress import notice
from tsds_qdrant.represented.advice import represent_command
from tsds_qdrant.represented.marks import CONDITIONS, Kept, Standing, all_kept, standing


def check_whole(collection: Collection, info: CollectionInfo, where: Filter | None) -> None:
    """Check that ``represent`` made the searched vectors of all candidates, and in one way.

    Candidates that have none yet, or none of what it is derived from, are said. Nothing is asked
    where the collection keeps no such representation, or allows no filter for marks.

    Args:
        collection: whose searched space it is.
        info: see :func:`~tsds_qdrant.represented.marks.described`.
        where: the candidates.

    Raises:
        CollectionMismatchError: some were made otherwise, or by something else.
    """
    name = info.vector
    kept = all_kept(info).get(name)
    if kept is None or not kept.has_vectors or not collection.limits.has_room(where, CONDITIONS):
        return
    found = standing(collection, name, kept, where)
    if found is None:
        return
    if fault := mixed(info, name, kept, found):
        raise CollectionMismatchError(fault)
    if lack := lacking(info, name, kept, found):
        notice(f"missing {name}", lack)
    left = all_kept(info)
    while kept.source is not None and (before := left.pop(kept.source, None)) is not None:
        found = standing(collection, kept.source, before, where)
        if found is not None and (lack := lacking(info, kept.source, before, found)):
            notice(f"missing {kept.source}", f"{lack}; vectors '{name}' are derived from those")
        kept = before


def mixed(info: CollectionInfo, name: str, kept: Kept, found: Standing) -> str:
    """That some vectors were made otherwise, and what makes them again; "" where none were."""
    if found.otherwise <= 0:
        return ""
    return (
        f"{found.otherwise} of {found.points} vectors '{name}' of collection '{info.name}' were "
        f"made otherwise, or by something else than represent; make them again: "
        f"{represent_command(info, name, kept)}"
    )


def lacking(info: CollectionInfo, name: str, kept: Kept, found: Standing) -> str:
    """That some candidates have none yet, and what makes it; "" where all have."""
    if found.missing <= 0:
        return ""
    what = "no vector" if kept.has_vectors else "no values"
    return (
        f"{found.missing} of {found.points} candidates have {what} '{name}' yet"
        + (" and cannot be selected by it" if kept.has_vectors else "")
        + f"; this makes them: {represent_command(info, name, kept)}"
    )
