"""The representations of a collection: how complete each is, and what each takes on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tsds_qdrant.collections.addresses import is_server
from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.edge.sizes import client_bytes, shard_bytes, space_bytes
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.spaces import Space
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.mirror.expected import NUMBER_BYTES
from tsds_qdrant.representations import catalog
from tsds_qdrant.represented.marks import Kept, Standing, all_kept, kept_of, standing
from tsds_qdrant.represented.whole import lacking, mixed


@dataclass(frozen=True)
class Sizes:
    """What a collection takes on disk, in bytes.

    Attributes:
        total: None on a server, and where it is not known.
        spaces: of the vectors of each space, with their index; None where that is not known.
        estimated: they are computed from the numbers that there are, and not measured.
    """

    total: int | None
    spaces: Mapping[str, int | None]
    estimated: bool

    def as_dict(self) -> dict[str, Any]:
        """For a machine to read."""
        return {"total": self.total, "spaces": dict(self.spaces), "estimated": self.estimated}


@dataclass(frozen=True)
class Represented:
    """A representation of a collection.

    Attributes:
        name: of the space, or of the payload values.
        kept: what the collection keeps of it.
        space: None where it is payload values.
        standing: how many points have it; None where the collection allows no such counts.
    """

    name: str
    kept: Kept
    space: Space | None
    standing: Standing | None

    @property
    def summary(self) -> str:
        """What its kind is, in a few words; "" for a kind that this version does not have."""
        kind = catalog.KINDS.get(self.kept.kind)
        return kind.summary if kind else ""

    @property
    def model(self) -> str | None:
        """The model that it is made by, if any."""
        found = self.kept.settings.get("model")
        return None if found is None else str(found)

    def as_dict(self) -> dict[str, Any]:
        """For a machine to read."""
        space, known = self.space, self.standing
        counts = ("points", "made", "missing", "without", "otherwise")
        return {
            "name": self.name,
            "kind": self.kept.kind,
            "summary": self.summary,
            "makes": space.kind if space else "payload",
            "dimension": space and space.dimension,
            "metric": space and space.metric,
            "datatype": space and space.datatype,
            "model": self.model,
            "source": self.kept.source,
            "fingerprint": self.kept.fingerprint,
            **{count: known and getattr(known, count) for count in counts},
        }


def representations_of(collection: Collection, info: CollectionInfo) -> tuple[Represented, ...]:
    """All that ``represent`` made in ``collection``, which ``info`` describes as it is now."""
    found = all_kept(info)
    for name in collection.spaces:
        if name not in found and (kept := kept_of(collection, name, info)) is not None:
            found[name] = kept
    return tuple(
        Represented(
            name,
            kept,
            collection.spaces.get(name) if kept.has_vectors else None,
            standing(collection, name, kept),
        )
        for name, kept in sorted(found.items())
    )


def sizes_of(collection: Collection, info: CollectionInfo) -> Sizes:
    """What ``collection`` takes on disk."""
    spaces = collection.spaces
    if not (info.limits.writes or is_server(info.location)):
        return Sizes(client_bytes(info.location, info.name), {}, estimated=False)
    if not is_server(info.location):
        return Sizes(
            shard_bytes(info.location, info.name),
            {name: space_bytes(info.location, info.name, name) for name in spaces},
            estimated=False,
        )
    return Sizes(
        None,
        {name: _estimated(collection, space) for name, space in spaces.items()},
        estimated=True,
    )


def warnings_on_representations(
    info: CollectionInfo, found: tuple[Represented, ...]
) -> Iterator[str]:
    """What is to be made, or made again, before a selection can rely on it."""
    for one in found:
        if one.standing is not None:
            for clause in (mixed, lacking):
                if text := clause(info, one.name, one.kept, one.standing):
                    yield f"{text}."


def _estimated(collection: Collection, space: Space) -> int | None:
    if space.dimension is None or space.multivector or not collection.limits.has_room(None):
        return None
    having = collection.count(joined(None, {"has_vector": space.name}))
    return int(having * space.dimension * NUMBER_BYTES.get(space.datatype, 4))
