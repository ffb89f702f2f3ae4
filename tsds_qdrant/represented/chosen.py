"""Which vectors a strategy searches where a user names none."""

from __future__ import annotations

from collections.abc import Sequence

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import CollectionNotFoundError
from tsds_qdrant.progress import notice
from tsds_qdrant.represented.marks import all_kept, described


def made_of_kinds(collection: Collection, kinds: Sequence[str]) -> list[str]:
    """Names of the dense vectors of ``collection`` that ``represent`` made of one of ``kinds``."""
    spaces = collection.spaces
    return [
        name
        for name, kept in sorted(all_kept(described(collection)).items())
        if kept.kind in kinds and name in spaces and spaces[name].kind == "dense"
    ]


def view_of_kinds(collection: Collection, kinds: Sequence[str], strategy: str) -> Collection:
    """``collection`` with the vectors searched that ``represent`` made of one of ``kinds``.

    It is said which; without any its own stay searched, and that is said too.

    Raises:
        CollectionNotFoundError: there are several.
    """
    if not kinds:
        return collection
    found, info = made_of_kinds(collection, kinds), collection.info()
    if len(found) > 1 and info.vector not in found:
        raise CollectionNotFoundError(
            f"collection '{info.name}' has the vectors {', '.join(map(repr, found))}, which the "
            f"strategy '{strategy}' is made for; choose one with --vector"
        )
    subject = f"kinds of {strategy}"
    if found:
        vector = info.vector if info.vector in found else found[0]
        notice(subject, f"searched are the vectors '{vector}'")
        return collection.at(vector)
    notice(
        subject,
        f"the strategy '{strategy}' is made for vectors of 'represent {kinds[0]}', of which "
        f"collection '{info.name}' has none; it compares its vectors '{info.vector}'",
    )
    return collection
