"""What is known of the representations in a collection: a mark at every point, and manifests.

A mark, in the payload field ``_tsds_made`` under the representation's name, holds the fingerprint
(``fp``) of all that the vector depends on, the values that came with it, and, where no vector could
be made, why not (``status``). A point is made where its mark has the fingerprint and its vector is
there: a plain upsert by another program erases both, and an ``ingest`` that changes a point takes
its marks away. Manifests are kept in the metadata of the collection; as a token that may write
points may not write those, the first and the last point of each part have them too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.limits import Limits
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import MADE_FIELD, MANIFESTS, REPRESENTATION
from tsds_qdrant.collections.values import CollectionInfo, Filter, Payload, PointId

FITTED = "fitted"
"""In a manifest: the hash of what was learnt from candidates."""
CONDITIONS = 8
"""Of the filter for what is not made, nested ones too."""
NAME = re.compile(r"[A-Za-z0-9_-]+")
"""Names that a representation can have: they are parts of payload paths."""
LOOKED_AT = 256
"""Points that are looked at for a manifest, where no filter may ask for it."""


@dataclass(frozen=True)
class Kept:
    """What a collection keeps of a representation.

    Attributes:
        kind: as ``represent`` names it.
        fingerprint: of the manifest.
        manifest: all that its values depend on.
        settings: by which it is made again, for task examples.
        source: name of the space that it is derived from; None where it reads the payloads.
        has_vectors: whether it is a space, and not values alone.
    """

    kind: str
    fingerprint: str
    manifest: Mapping[str, Any]
    settings: Mapping[str, Any]
    source: str | None = None
    has_vectors: bool = True

    def stored(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "manifest": dict(self.manifest), "settings": dict(self.settings)}

    @classmethod
    def read(cls, stored: Any) -> Kept | None:
        """What :meth:`stored` gave; None where it is something else."""
        names = cls.__dataclass_fields__.keys()
        if not isinstance(stored, Mapping) or not names <= stored.keys():
            return None
        return cls(**{name: stored[name] for name in names})


@dataclass(frozen=True)
class Standing:
    """How many points have a representation.

    Attributes:
        points: that match.
        made: with a vector, or with values where it has no vectors.
        without: that were looked at and have no vector, for a reason that their mark says.
        otherwise: that have a vector which was made otherwise, or by somebody else.
    """

    points: int
    made: int
    without: int
    otherwise: int

    @property
    def missing(self) -> int:
        """Points that nobody has looked at."""
        return self.points - self.made - self.without - self.otherwise


def mark_key(name: str, *inner: str) -> str:
    """The payload path of the mark of representation ``name``, or of something in it."""
    return ".".join((MADE_FIELD, name, *inner))


def all_kept(info: CollectionInfo) -> dict[str, Kept]:
    """What the metadata keep of representations, by name."""
    stored = info.metadata.get(MANIFESTS)
    found = stored.items() if isinstance(stored, Mapping) else ()
    return {name: kept for name, one in found if (kept := Kept.read(one)) is not None}


def kept_of(collection: Collection, name: str, info: CollectionInfo | None = None) -> Kept | None:
    """What the collection keeps of representation ``name``; None where it was never made.

    The points are asked where the metadata do not say; ``info`` is the collection's own of now.
    """
    info = info or collection.info()
    kept = all_kept(info).get(name)
    asked = is_server(info.location) and name in collection.spaces and NAME.fullmatch(name)
    if kept is not None or not asked or info.metadata.get(REPRESENTATION) == name:
        return kept
    with_kept = {"must_not": [{"is_empty": {"key": mark_key(name, "kept")}}]}
    marked = _first_marks(collection, name, {"has_vector": name})
    if marked and not any("kept" in mark for mark in marked):
        marked = _first_marks(collection, name, with_kept)
    return next((kept for mark in marked if (kept := Kept.read(mark.get("kept")))), None)


def described(collection: Collection) -> CollectionInfo:
    """The collection; with what points say of its searched space where the metadata do not."""
    info = collection.info()
    found: dict[str, Any] = {}
    name: str | None = info.vector
    while name is not None and name not in found:
        kept = kept_of(collection, name, info)
        if kept is None:
            break
        found[name], name = kept.stored(), kept.source
    if found.keys() <= all_kept(info).keys():
        return info
    known = {known: kept.stored() for known, kept in all_kept(info).items()}
    return replace(info, metadata={**info.metadata, MANIFESTS: {**known, **found}})


def keep(collection: Collection, name: str, kept: Kept) -> None:
    """Keep ``kept`` in the metadata.

    Raises:
        AccessDeniedError: the API key may not write them.
    """
    known = collection.info().metadata.get(MANIFESTS) or {}
    collection.update_metadata({MANIFESTS: {**known, name: kept.stored()}})


def standing(
    collection: Collection, name: str, kept: Kept, where: Filter | None = None
) -> Standing | None:
    """How many points have the representation; None where the collection allows no such filter.

    Of one that is derived from vectors the points that have those are counted alone.
    """
    if not may_filter(collection.limits):
        return None
    if kept.source is not None:
        where = joined(where, {"has_vector": kept.source})
    marked = _marked(name, kept)
    points = collection.count(where)
    if not kept.has_vectors:
        return Standing(points, collection.count(joined(where, marked)), 0, 0)
    having = {"has_vector": name}
    vectors = collection.count(joined(where, having))
    made = collection.count(joined(where, having, marked))
    without = 0
    if points > vectors:
        lacking = {"must_not": [having]}
        without = collection.count(joined(where, marked, _says_why(name), lacking))
    return Standing(points, made, without, vectors - made)


def unmade(
    collection: Collection, name: str, kept: Kept, where: Filter | None = None
) -> Iterator[list[PointId]]:
    """Ids of points that lack the representation, page by page in ascending order."""
    if may_filter(collection.limits):
        made = {"must": [_marked(name, kept)]}
        if kept.has_vectors:
            made["should"] = [{"has_vector": name}, _says_why(name)]
        yield from collection.scroll_ids(joined(where, {"must_not": [made]}))
        return
    view = collection.at(name) if kept.has_vectors else collection
    for page in collection.scroll_ids(where):
        stored = view.retrieve(page, payloads=[MADE_FIELD], vectors=kept.has_vectors)
        done = {
            record.id
            for record in stored
            if is_made(record.payload, name, kept)
            and (
                not kept.has_vectors
                or record.vector is not None
                or record.sparse is not None
                or "status" in record.payload[MADE_FIELD][name]
            )
        }
        if left := [point_id for point_id in page if point_id not in done]:
            yield left


def is_made(payload: Payload, name: str, kept: Kept) -> bool:
    """Whether a point's mark has the fingerprint."""
    marks = payload.get(MADE_FIELD)
    mark = marks.get(name) if isinstance(marks, dict) else None
    return isinstance(mark, dict) and mark.get("fp") == kept.fingerprint


def write_marks(
    collection: Collection, name: str, ids: Sequence[PointId], marks: Sequence[Payload]
) -> None:
    """Mark the points ``ids``; equal marks are written together."""
    alike: dict[str, tuple[Payload, list[PointId]]] = {}
    for point_id, mark in zip(ids, marks, strict=True):
        alike.setdefault(repr(mark), ({name: mark}, []))[1].append(point_id)
    ordered = [(point_id, value) for value, group in alike.values() for point_id in group]
    collection.set_payload(
        MADE_FIELD, [point_id for point_id, _ in ordered], [value for _, value in ordered]
    )


def may_filter(limits: Limits) -> bool:
    """Whether a filter may ask for marks, which have no index."""
    most = limits.most_conditions
    return limits.unindexed_filter and limits.exact and (most is None or most >= CONDITIONS)


def _marked(name: str, kept: Kept) -> dict[str, Any]:
    return {"key": mark_key(name, "fp"), "match": {"value": kept.fingerprint}}


def _says_why(name: str) -> dict[str, Any]:
    return {"must_not": [{"is_empty": {"key": mark_key(name, "status")}}]}


def _first_marks(
    collection: Collection, name: str, condition: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """Marks of the first points that meet ``condition``, or, where no filter may, of the first."""
    where = joined(None, condition) if may_filter(collection.limits) else None
    page = next(iter(collection.scroll([MADE_FIELD], where=where)), [])
    marks = [record.payload.get(MADE_FIELD) for record in page[:LOOKED_AT]]
    found = [mark.get(name) for mark in marks if isinstance(mark, Mapping)]
    return [mark for mark in found if isinstance(mark, Mapping)]
