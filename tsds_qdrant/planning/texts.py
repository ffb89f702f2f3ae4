"""The texts of a collection's points: how they are made, and what they look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import CollectionInfo
from tsds_qdrant.planning.frameworks import framework_notes
from tsds_qdrant.pool.fields import fields_of, sampled_payloads
from tsds_qdrant.pool.texts import own_template, shortened, text_of
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.fields import listed_names
from tsds_qdrant.records.usual import usual_template

EXAMPLES = 3
EXAMPLE_LENGTH = 70


@dataclass(frozen=True)
class Texts:
    """How the texts of points are made.

    Attributes:
        template: as everybody makes them; undecided where none of the points has a usual shape.
        own: the collection's metadata say so.
        having: how many of the points looked at have a text.
        looked: how many were looked at.
        fields: paths of their payload fields.
        examples: beginnings of a few texts.
        framework: sentences on what made the points.
    """

    template: TextTemplate
    own: bool
    having: int
    looked: int
    fields: Sequence[str]
    examples: Sequence[str]
    framework: tuple[str, ...] = ()

    @property
    def in_words(self) -> str:
        """One line for a person."""
        if not self.template.to_dict():
            return "unknown" if self.looked else "none, as there are no points"
        says = "as the collection says" if self.own else "by the usual names of fields"
        have = f"{self.having} of {self.looked} points looked at have it"
        return f"{self.template.in_words} ({says}; {have})"

    @property
    def note(self) -> str:
        """What to do where texts are not known; "" where they are."""
        if self.template.to_dict() or not self.looked:
            return ""
        return (
            f"no field is known to hold the texts of points ({listed_names(self.fields)}); where "
            f"texts are wanted, name it with --text-field or --template."
        )

    def as_dict(self) -> dict[str, Any]:
        """The same for a machine to read."""
        return {
            "template": self.template.to_dict(),
            "from": ("collection" if self.own else "payloads") if self.template.to_dict() else None,
            "points_with_text": self.having,
            "points_looked_at": self.looked,
            "examples": list(self.examples),
        }


def texts_of(collection: Collection, info: CollectionInfo) -> Texts:
    """How the texts of ``collection`` are made, by a look at a few of its points."""
    payloads = sampled_payloads(collection)
    own = own_template(info)
    template = own if own.to_dict() else usual_template(payloads)
    having = [payload for payload in payloads if template.suits(payload)]
    having = having if template.to_dict() else []
    shown = [shortened(text_of(payload, template), EXAMPLE_LENGTH) for payload in having[:EXAMPLES]]
    return Texts(
        template,
        bool(own.to_dict()),
        len(having),
        len(payloads),
        fields_of(payloads, inside_texts=True),
        shown,
        framework_notes(info, fields_of(payloads), payloads),
    )
