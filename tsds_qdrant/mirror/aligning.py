"""Spaces and payload indexes of a mirror: those of the source, and what was added here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsds_qdrant.collections.edge.collection import EdgeCollection
from tsds_qdrant.collections.edge.schemas import as_read_back
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import MANIFESTS, MIRROR
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.whole import Shape
from tsds_qdrant.errors import CollectionMismatchError
from tsds_qdrant.mirror.facts import Facts

REPLACE = (
    "or give --replace to 'tsds-qdrant mirror', which makes the mirror new without what was added "
    "to it"
)
ALIKE = ("size", "distance", "datatype", "multivector_config")
"""Settings of a vector that cannot change while it stays the same."""


def check_spaces(shape: Shape, facts: Facts, spaces: Mapping[str, Space], source: str) -> None:
    """Check that the source of ``shape`` has the vectors of the mirror with ``spaces``.

    Raises:
        CollectionMismatchError: one is another.
    """
    known, now = facts.config.get("vectors", {}), shape.config.get("vectors", {})
    for name in known.keys() & now.keys():
        for key in ALIKE:
            before, after = known[name].get(key), now[name].get(key)
            if before != after:
                raise CollectionMismatchError(
                    f"the vector '{name}' of {source} has {key} {after}, and {before} when the "
                    f"mirror was made: it was made again; choose another directory, {REPLACE}"
                )
    theirs = {*now, *shape.config.get("sparse_vectors", {})}
    before_all = {*known, *facts.config.get("sparse_vectors", {})}
    for name in (theirs - before_all) & spaces.keys():
        raise CollectionMismatchError(
            f"{source} has a vector '{name}' now, and the mirror one of that name that was added "
            f"to it; choose another directory, {REPLACE}"
        )


def settings_of(shape: Shape, kept: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a mirror that has ``kept`` one: as the source's, with what it adds."""
    made = dict(shape.config)
    for kind in ("vectors", "sparse_vectors"):
        theirs, ours = shape.config.get(kind, {}), kept.get(kind, {})
        both = {name: theirs.get(name, own) for name, own in ours.items()}
        if both:
            made[kind] = both
        else:
            made.pop(kind, None)
    return made


def align(copy: EdgeCollection, source: Collection, shape: Shape, facts: Facts | None) -> None:
    """Give ``copy`` the spaces and payload indexes of ``source``, and take away what that lost.

    Raises:
        CollectionMismatchError: a vector that cannot be added.
        UnsupportedCollectionError: an index that the embedded engine does not make.
    """
    spaces = source.spaces
    if facts is not None:
        before = {*facts.config.get("vectors", {}), *facts.config.get("sparse_vectors", {})}
        for name in before - spaces.keys():
            copy.delete_space(name)
    for name, space in spaces.items():
        if name in copy.spaces:
            continue
        if space.multivector:
            raise CollectionMismatchError(
                f"the multivector '{name}' has come to the source, and cannot be added to a mirror "
                f"that is there; choose another directory, {REPLACE}"
            )
        copy.add_space(space)
    here = copy.shape().indexes
    for field in facts.indexes if facts else ():
        if field not in shape.indexes and field in here:
            copy.delete_index(field)
    for field, index in shape.indexes.items():
        if here.get(field) != as_read_back(index, field):
            if field in here:
                copy.delete_index(field)
            copy.index_as(field, index)


def merged_metadata(
    shape: Shape, here: Mapping[str, Any], facts: Facts | None, now: Facts
) -> dict[str, Any]:
    """Metadata of the mirror: the source's, what was added ``here``, and what it remembers."""
    known = facts.metadata if facts else ()
    added = {key: value for key, value in here.items() if key not in (*known, MIRROR)}
    metadata = {**added, **shape.metadata, MIRROR: now.stored()}
    ours, theirs = here.get(MANIFESTS), shape.metadata.get(MANIFESTS, {})
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        made = facts.made if facts else ()
        metadata[MANIFESTS] = {**{n: v for n, v in ours.items() if n not in made}, **theirs}
    return metadata
