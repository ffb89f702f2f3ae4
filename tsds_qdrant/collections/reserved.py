"""Payload fields that belong to this package, and keys of the metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

REPRESENTATION = "representation"
"""Metadata key: name of the space that is searched where none is named."""
MANIFESTS = "representations"
"""Metadata key: name of a representation -> what is kept of it, see
:class:`tsds_qdrant.represented.marks.Kept`."""
MIRROR = "mirror"
"""Metadata key of an embedded copy: what it is a copy of, see
:class:`tsds_qdrant.mirror.facts.Facts`."""
STAMP_FIELD = "_tsds"
"""Payload field of points that ``ingest`` stored: a :class:`Stamp`."""
WRITER_FIELD = f"{STAMP_FIELD}.writer"
NUMBER_FIELD = f"{STAMP_FIELD}.number"
CONFIRMED = "confirmed"
TO_BE_STAMPED = True
"""In place of a stamp while many points without fields are stored; the next run stamps those that
a killed one left."""
STEP = 2
"""From the number of a writer's part to that of the next one."""
SEQUENCE_FIELD = "_tsds_seq"
"""In place of the stamp in collections of version 0.1: a number that grows with every write."""
MADE_FIELD = "_tsds_made"
"""Payload field of represented points: name of the representation -> mark, see
:mod:`tsds_qdrant.represented.marks`."""
TAG_FIELD = "tsds"
"""Payload field of selected points: name -> tag, see :mod:`tsds_qdrant.runs.write_back`."""
PRUNED = "pruned"
"""Name of the tags of points that were pruned for good."""
TAG_KEYS = frozenset({"rank", "run"})
"""What every tag holds."""


@dataclass(frozen=True)
class Stamp:
    """Who wrote a point, and when.

    A writer is one run of ``ingest``. It writes its parts one after the other under the numbers
    2, 4, 6, .., so that a number that is seen means that all lower ones are stored. When all are,
    one point of the last part gets the odd number that follows: nothing more will come. No two
    writers share anything, so none can spoil what another one keeps.

    Attributes:
        writer: 16 hexadecimal digits, drawn at random.
        number: of the part.
        fields: names of the payload fields that ``ingest`` wrote; all others are somebody else's.
        confirmed: all replicas are known to have the point; others may show it by their number.
    """

    writer: str
    number: int
    fields: tuple[str, ...] = ()
    confirmed: bool = False

    @property
    def is_last(self) -> bool:
        """Whether its writer had stored everything."""
        return self.number % 2 == 1

    def of(self, fields: Sequence[str]) -> Stamp:
        """The stamp of a point with these ``fields``."""
        return replace(self, fields=tuple(fields))

    def stored(self) -> dict[str, Any]:
        """The stamp as a payload holds it."""
        own = {"fields": list(self.fields)} if self.fields else {}
        return {"writer": self.writer, "number": self.number, **own}


def stamp_of(payload: Mapping[str, Any]) -> Stamp | None:
    """The stamp of a point with ``payload``; None if it has none."""
    match payload.get(STAMP_FIELD):
        case {"writer": str(writer), "number": int(number), **rest}:
            names = rest.get("fields", ())
            own = tuple(names) if isinstance(names, list) else ()
            return Stamp(writer, number, own, rest.get(CONFIRMED) is True)
    return None


def is_unstamped(payload: Mapping[str, Any]) -> bool:
    """Whether a point with ``payload`` is of an ``ingest`` that was killed before it stamped it."""
    return payload.get(STAMP_FIELD) is TO_BE_STAMPED


def is_ingested(payload: Mapping[str, Any]) -> bool:
    """Whether ``ingest`` stored a point with ``payload``."""
    stamped = stamp_of(payload) is not None or is_unstamped(payload)
    return SEQUENCE_FIELD in payload or stamped


def reserved_field(payload: Mapping[str, Any]) -> str | None:
    """The field of ``payload`` that this package would take for its own, if there is one."""
    for name in (STAMP_FIELD, SEQUENCE_FIELD, MADE_FIELD):
        if name in payload:
            return name
    tags = payload.get(TAG_FIELD)
    return TAG_FIELD if isinstance(tags, dict) and any(map(is_tag, tags.values())) else None


def is_tag(value: Any) -> bool:
    """Whether a payload value is a tag of write-back."""
    return isinstance(value, dict) and value.keys() >= TAG_KEYS
