"""The catalogue of strategies: what each is, what it needs, and whether a collection has that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import MADE_FIELD
from tsds_qdrant.collections.values import CollectionInfo, Record
from tsds_qdrant.errors import BadRecordError
from tsds_qdrant.planning.survey import effort_of, feasibility
from tsds_qdrant.pool.members import Members, having_vector
from tsds_qdrant.pool.texts import own_template
from tsds_qdrant.records.fields import field_values
from tsds_qdrant.records.usual import usual_template
from tsds_qdrant.represented.marks import all_kept
from tsds_qdrant.strategies.card import Card
from tsds_qdrant.strategies.catalog import CATALOG, strategy_class

PROBED_POINTS = 64
"""Points that are looked at for vectors and texts."""


@dataclass(frozen=True)
class Listing:
    """One strategy of the catalogue.

    Attributes:
        name: of the strategy.
        card: what is said of it.
        lacking: sentences on what it needs and the collection has not; None where no collection
            was looked at.
        feasibility: rank among the strategies, see :mod:`tsds_qdrant.planning.survey`; None where
            its card leaves a term out.
    """

    name: str
    card: Card
    lacking: tuple[str, ...] | None = None
    feasibility: int | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """What it needs of a collection, in words; empty for nothing but points."""
        card = self.card
        found = ["vectors"] if card.needs_vectors else []
        if card.metrics:
            found.append(f"one of the metrics {', '.join(card.metrics)}")
        if card.needs_texts:
            found.append("texts of candidates and task examples")
        found += [group[0].removeprefix(f"{MADE_FIELD}.") for group in card.fields]
        if card.needs:
            found.append(f"'represent {card.needs}'")
        return tuple(found)

    @property
    def usable(self) -> bool | None:
        """Whether the collection has all that it needs; None where none was looked at."""
        return None if self.lacking is None else not self.lacking

    @property
    def survey(self) -> dict[str, Any]:
        """The strategy in the terms of the survey."""
        card, effort = self.card, effort_of(self.card)
        return {
            "features": card.features,
            "criterion": card.criterion,
            "task_aware": card.task_aware,
            "trained_models": card.trained_models,
            "passes": card.passes,
            "steps": card.steps,
            "model_free": card.model_free,
            "dataset_free": card.dataset_free,
            "simplicity": effort and effort.simplicity,
            "flexibility": effort and effort.flexibility,
            "feasibility": self.feasibility,
        }

    def as_dict(self) -> dict[str, Any]:
        """The listing for a machine to read."""
        card = self.card
        return {
            "name": self.name,
            "idea": card.idea,
            "paper": card.paper,
            "needs": list(self.needs),
            "cost": card.cost,
            "reads_all": card.reads_all,
            "survey": self.survey,
            "usable": self.usable,
            "lacking": None if self.lacking is None else list(self.lacking),
        }


def catalogue(collection: Collection | None = None) -> list[Listing]:
    """List all strategies, and with a ``collection`` what each would lack there.

    Only some points are looked at, so a strategy can still be refused by others.

    Raises:
        CollectionError: Qdrant fails.
    """
    cards = {name: strategy_class(name).card for name in CATALOG}
    efforts = {name: effort for name, card in cards.items() if (effort := effort_of(card))}
    ranks = feasibility(efforts)
    if collection is None:
        return [Listing(name, card, None, ranks.get(name)) for name, card in cards.items()]
    info = collection.info()
    there = having_vector(collection, info, None)
    ids = next(iter((there if there.found else Members(collection, None, 0)).pages()), [])
    ids = ids[:PROBED_POINTS]
    probed = collection.retrieve(ids, vectors=True) if ids else []
    return [
        Listing(name, card, _lacking(card, info, probed), ranks.get(name))
        for name, card in cards.items()
    ]


def _lacking(card: Card, info: CollectionInfo, probed: Sequence[Record]) -> tuple[str, ...]:
    if not probed:
        return (f"collection '{info.name}' holds no point; ingest some",)
    found = []
    if card.metrics and info.metric not in card.metrics:
        found.append(f"the metric is {info.metric}; it works with {', '.join(card.metrics)}")
    if card.needs_vectors and all(record.vector is None for record in probed):
        found.append(
            f"none of {len(probed)} points looked at has a vector {info.named}; choose another "
            f"with --vector"
        )
    if card.needs and card.needs not in {kept.kind for kept in all_kept(info).values()}:
        found.append(f"'represent {card.needs}' has not been run for it")
    if card.needs_texts and (missing := _no_text(info, probed)):
        found.append(missing)
    found += [
        f"none of {len(probed)} points looked at has {group[0]}: 'represent' makes it, or name "
        f"another field"
        for group in card.fields
        if not any(field_values(record.payload, path) for record in probed for path in group)
    ]
    return tuple(found)


def _no_text(info: CollectionInfo, probed: Sequence[Record]) -> str:
    """Which point has no text, and why; "" if all have one."""
    template = own_template(info)
    if not template.to_dict():
        template = usual_template([record.content for record in probed])
    try:
        for record in probed:
            template = template.decide(record.content)
            template.render(record.content)
    except BadRecordError as error:
        return f"point {record.id} {error.fault}; {error.advice}"
    return ""
