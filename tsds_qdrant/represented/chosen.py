"""Which vectors a strategy searches where a user names none."""

from __future__ import annotations

from collections.abc import Sequence

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.errors import CollectionNotFoundError, UnsupportedCollectionError
from tsds_qdrant.progress import notice
from tsds_qdrant.represented.advice import first_command
from tsds_qdrant.represented.marks import all_kept, described


def made_of_kind(collection: Collection, kind: str) -> list[str]:
    """Names of the dense vectors of ``collection`` that ``represent`` made of ``kind``."""
    spaces = collection.spaces
    return [
        name
        for name, kept in sorted(all_kept(described(collection)).items())
        if kept.kind == kind and name in spaces and spaces[name].kind == "dense"
    ]


def view_of_kinds(
    collection: Collection, kinds: Sequence[str], strategy: str, *, needed: bool = False
) -> Collection:
    """``collection`` with the vectors searched that ``represent`` made of the first of ``kinds``.

    The searched ones stay if they are of one of ``kinds``. It is said which are searched; where
    there are none of any kind its own stay searched, unless they are ``needed``, and that is said
    too.

    Raises:
        CollectionNotFoundError: there are several of the first kind.
        UnsupportedCollectionError: there are none of any kind, and they are needed.
    """
    if not kinds:
        return collection
    info, subject = collection.info(), f"kinds of {strategy}"
    of_kinds = [names for kind in kinds if (names := made_of_kind(collection, kind))]
    if not of_kinds:
        none = f"vectors of 'represent {kinds[0]}', of which collection '{info.name}' has none"
        if needed:
            make = first_command(info, kinds[0], "--model", "MODEL")
            there = f"'{info.vector}'" if info.vector else "'', those without a name,"
            raise UnsupportedCollectionError(
                f"the strategy '{strategy}' goes by {none}; to compare other vectors all the same, "
                f"name them with --vector ({there} say), or make some: {make}"
            )
        notice(
            subject,
            f"the strategy '{strategy}' is made for {none}; it compares its vectors {info.named}",
        )
        return collection
    own, found = any(info.vector in names for names in of_kinds), of_kinds[0]
    if len(found) > 1 and not own:
        raise CollectionNotFoundError(
            f"collection '{info.name}' has the vectors {', '.join(map(repr, found))}, which the "
            f"strategy '{strategy}' is made for; choose one with --vector"
        )
    vector = info.vector if own else found[0]
    notice(subject, f"the strategy '{strategy}' searches the vectors '{vector}'")
    return collection.at(vector)
