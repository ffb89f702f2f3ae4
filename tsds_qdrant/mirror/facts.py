"""What a mirror remembers: what it is a mirror of, and which of what it holds is the source's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tsds_qdrant.collections import remembered_location
from tsds_qdrant.collections.reserved import MADE_FIELD, MIRROR, TAG_FIELD
from tsds_qdrant.collections.values import CollectionInfo, Filter, Payload

NAMED = (TAG_FIELD, MADE_FIELD)
"""Payload fields in which names stand for what write-back and ``represent`` added."""


@dataclass(frozen=True)
class Source:
    """What a mirror shows.

    Attributes:
        location: path or URL.
        collection: its name there.
        shard_key: whose points alone it shows; None for all.
        where: which points; None for all.
        alias_of: the collection that ``collection`` stood for then; None where it is none's alias.
    """

    location: str
    collection: str
    shard_key: Any = None
    where: Filter | None = None
    alias_of: str | None = field(default=None, compare=False)

    @classmethod
    def of(cls, info: CollectionInfo, where: Filter | None, file: str | None = None) -> Source:
        """What a mirror of the collection that ``info`` describes shows; of a snapshot ``file``."""
        place = file or remembered_location(info.location)
        return cls(place, info.name, info.shard_key, where, info.alias_of)

    def __str__(self) -> str:
        narrowed = "" if self.where is None else " with a filter"
        key = "" if self.shard_key is None else f" (shard key '{self.shard_key}')"
        return f"collection '{self.collection}' of {self.location}{key}{narrowed}"


@dataclass(frozen=True)
class Facts:
    """Kept in the metadata of a mirror.

    Attributes:
        copy: marks this copy among all.
        source: what it shows.
        identity: that ``ingest`` gave the source; None where something else made it.
        config: vectors of the source, and how it keeps them.
        indexes: payload fields that had an index there.
        metadata: keys of the source's metadata.
        made: names of the source's own representations.
        names: payload field -> names in it that are the source's: of tags, and of marks.
        taken: when, as ISO 8601 has it.
        way: how it was read last: files, snapshot or scroll.
        seen: the fingerprint of the source then; None of servers.
        indexed: its graph was asked for.
        added: something was added to the mirror itself before.
        left: the fingerprint of the mirror when it was left; another one since means that
            something was added to it.
    """

    copy: str
    source: Source
    identity: str | None
    config: Mapping[str, Any]
    indexes: tuple[str, ...]
    metadata: tuple[str, ...]
    made: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    taken: str = ""
    way: str = ""
    seen: str | None = None
    indexed: bool = False
    added: bool = False
    left: str | None = None

    def stored(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**vars(self), "source": vars(self.source)}

    @classmethod
    def of(cls, info: CollectionInfo) -> Facts | None:
        """What the mirror that ``info`` describes remembers; None where it is none."""
        kept = info.metadata.get(MIRROR)
        names = cls.__dataclass_fields__.keys()
        if not isinstance(kept, Mapping) or not names <= kept.keys():
            return None
        values = {name: kept[name] for name in names}
        return cls(**{**values, "source": Source(**kept["source"])})


class Names:
    """Names of tags and marks that were seen in payloads of the source."""

    def __init__(self, known: Mapping[str, Any] | None = None) -> None:
        known = known or {}
        self._seen = {field: set(known.get(field, ())) for field in NAMED}

    def see(self, payload: Payload) -> None:
        """Remember the names in ``payload``."""
        for field_name, seen in self._seen.items():
            inner = payload.get(field_name)
            if isinstance(inner, dict):
                seen.update(inner)

    def stored(self) -> dict[str, list[str]]:
        """As JSON has them."""
        return {field_name: sorted(seen) for field_name, seen in self._seen.items()}
