"""Whether what is in the place of a mirror may be brought up to date, or has to be left alone."""

from __future__ import annotations

from pathlib import Path

from tsds_qdrant.arrays import spread_over
from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.edge.directory import check_location
from tsds_qdrant.collections.places import check_new
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.whole import Shape
from tsds_qdrant.errors import CollectionError, CollectionExistsError, CollectionMismatchError
from tsds_qdrant.mirror.aligning import REPLACE, check_spaces
from tsds_qdrant.mirror.facts import Facts, Source
from tsds_qdrant.mirror.merging import Merging
from tsds_qdrant.paths import expanded

LOOKED_AT = 200
"""Points that are compared, to know a source that was made again from one that has changed."""
FEWEST = 20
LOST = "or give --replace to 'tsds-qdrant mirror', and what is there is lost"


def check_place(to: Path, name: str, flag: str) -> None:
    """Check that the mirror ``name`` can be made in the directory ``to``, which ``flag`` names.

    Raises:
        CollectionError: it is a file, is a part of something else of Qdrant's, or is not writable.
    """
    directory = expanded(to)
    check_new(str(directory), name, instead=f"choose another {flag}")
    check_location(str(directory), flag)


def made_directory(to: Path, flag: str) -> None:
    """Make the directory ``to``, which ``flag`` names, where it does not exist.

    Raises:
        CollectionError: it cannot be made.
    """
    directory = expanded(to)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CollectionError(
            f"the directory '{directory}' cannot be made ({error.strerror}); choose another {flag}"
        ) from error


def checked_facts(there: EdgeCollection, wanted: Source) -> Facts:
    """What the collection ``there`` remembers as a mirror of what is ``wanted``.

    Raises:
        CollectionExistsError: it is no mirror.
        CollectionMismatchError: it is one of something else.
    """
    info = there.info()
    facts = Facts.of(info)
    if facts is None:
        raise CollectionExistsError(
            f"'{info.location}' has a collection '{info.name}' already, which is no mirror; choose "
            f"another directory, {LOST}"
        )
    if facts.source != wanted:
        raise CollectionMismatchError(
            f"the mirror '{info.name}' in '{info.location}' shows {facts.source}, not {wanted}"
            f"{_filters(facts.source, wanted)}; choose another directory, {LOST}"
        )
    return facts


def check_not_made_again(
    source: Collection, shape: Shape, facts: Facts, there: EdgeCollection
) -> None:
    """Check that ``source`` is still what the mirror ``there`` was made of.

    Raises:
        CollectionMismatchError: it was made again, or most of its points are others.
    """
    if facts.identity != shape.metadata.get("identity"):
        raise CollectionMismatchError(
            f"{facts.source} was made again since the mirror was; choose another directory, "
            f"{REPLACE}"
        )
    check_spaces(shape, facts, there.spaces, str(facts.source))
    ids = spread_over(next(iter(there.scroll_ids()), []), LOOKED_AT)
    found, stored = source.whole(ids), there.whole(ids)
    same_vectors = Merging(there, source.spaces, facts.names).alike(
        [found[i] for i in ids if i in found], stored
    )
    if len(ids) >= FEWEST and 2 * same_vectors < len(ids):
        raise CollectionMismatchError(
            f"of {len(ids)} points of the mirror {len(ids) - same_vectors} have gone from "
            f"{facts.source}, or have other vectors there: it may have been made again; choose "
            f"another directory, {REPLACE}"
        )


def _filters(before: Source, now: Source) -> str:
    if before.where == now.where:
        return ""
    return f" (the filter was {before.where or 'none'}, and is {now.where or 'none'})"
