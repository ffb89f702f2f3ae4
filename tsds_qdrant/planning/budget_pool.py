"""The pool that a budget is planned for: how large it is, and what of it is stored already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import numpy as np

from tsds_qdrant.collections.conditions import joined
from tsds_qdrant.collections.filters import check_filter
from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.reserved import MADE_FIELD
from tsds_qdrant.collections.values import CollectionInfo, Filter, Payload, PointId
from tsds_qdrant.errors import BadRecordError, InputError, SettingsError
from tsds_qdrant.planning.budget_passes import ANSWERS_ALONE
from tsds_qdrant.planning.budget_settings import PoolFigures
from tsds_qdrant.planning.representations import representations_of
from tsds_qdrant.pool.members import Members, no_candidate
from tsds_qdrant.pool.texts import point_template
from tsds_qdrant.represented.marks import Kept, is_made, standing

LISTED_IDS = 200_000
"""Ids of which the points that are looked at are drawn."""
LOOKED_AT = 2_048
PAGE = 512
BYTES_PER_TOKEN = 4
"""Of UTF-8; of English in the vocabularies of today's models."""


@dataclass(frozen=True)
class Pool:
    """What is planned for.

    Attributes:
        candidates: N.
        tokens: mean of a candidate.
        tokens_from: how that is known, in words.
        answered: tokens of answers as a share of all.
        stored: kind of representation -> share of the candidates that have it.
    """

    candidates: int
    tokens: float
    tokens_from: str
    answered: float = 1.0
    stored: Mapping[str, float] = field(default_factory=dict)


def given_pool(figures: PoolFigures) -> Pool:
    """The pool that figures alone describe; nothing of it is stored.

    Raises:
        SettingsError: they do not.
    """
    if figures.candidates is None or figures.tokens is None:
        lacking = "--candidates" if figures.candidates is None else "--tokens"
        raise SettingsError(
            f"{lacking} is not given; describe the pool by --candidates and --tokens, or name it "
            f"with --qdrant and --collection"
        )
    return Pool(int(figures.candidates), figures.tokens, "as given")


def stored_pool(collection: Collection, figures: PoolFigures, where: Filter | None = None) -> Pool:
    """The candidates of ``collection``, of which some points are looked at for their tokens.

    Raises:
        InputError: there is no candidate, or none that shows how many tokens it has.
        SettingsError: ``where`` is no filter, or their number is given too.
    """
    if figures.candidates is not None:
        raise SettingsError(
            f"--candidates is {figures.candidates:g}, and the collection has a number of its own; "
            f"leave one of them out"
        )
    if where is not None:
        check_filter(where)
    info, candidates = collection.info(), collection.count(where)
    if not candidates:
        raise InputError(no_candidate(info, Members(collection, where, 0), where))
    sample = _sample(collection, where)
    payloads = [record.payload for record in _retrieved(collection, sample, MADE_FIELD)]
    kept = {one.name: one.kept for one in representations_of(collection, info)}
    counted, answered = _counted(payloads, kept)
    tokens, source = figures.tokens, "as given"
    if tokens is None and counted is not None:
        tokens, source = counted
    if tokens is None:
        tokens, source = _estimated(collection, info, sample)
    return Pool(
        candidates,
        tokens,
        source,
        answered,
        dict(_stored(collection, info, kept, where, payloads)),
    )


def _stored(
    collection: Collection,
    info: CollectionInfo,
    kept: Mapping[str, Kept],
    where: Filter | None,
    payloads: Sequence[Payload],
) -> Iterator[tuple[str, float]]:
    """Kinds, and the share of the candidates that have the most complete one of each."""
    shares: dict[str, float] = {}
    points = max(collection.count(where), 1)
    for name, space in collection.spaces.items():
        if name not in kept and space.kind == "dense" and collection.limits.has_room(where):
            found = collection.count(joined(where, {"has_vector": name}))
            shares["text"] = max(shares.get("text", 0.0), found / points)
    for name, one in kept.items():
        found_standing = standing(collection, name, one, where)
        if found_standing is None:
            made = float(np.mean([is_made(payload, name, one) for payload in payloads]))
        else:
            made = (found_standing.made + found_standing.without) / points
        kind = _kind(one, kept)
        shares[kind] = max(shares.get(kind, 0.0), made)
        if kind == "hidden" and one.settings.get("without_prompt"):
            shares[ANSWERS_ALONE] = max(shares.get(ANSWERS_ALONE, 0.0), made)
    yield from shares.items()


def _kind(one: Kept, kept: Mapping[str, Kept]) -> str:
    """Its kind; of what is derived, that of what it is derived from, which took the work."""
    seen: set[str] = set()
    while one.source is not None and one.source not in seen and one.source in kept:
        seen.add(one.source)
        one = kept[one.source]
    return "text" if one.source is not None else one.kind


def _counted(
    payloads: Sequence[Payload], kept: Mapping[str, Kept]
) -> tuple[tuple[float, str] | None, float]:
    """Mean tokens by the first representation that counted them, and the share of answers."""
    for name in kept:
        marks = [payload.get(MADE_FIELD, {}).get(name) for payload in payloads]
        pairs = [(_count(mark, "tokens"), _count(mark, "answer_tokens")) for mark in marks]
        tokens = [one for one, _ in pairs if one]
        if tokens:
            answers = sum(other for one, other in pairs if one)
            share = min(answers / sum(tokens), 1.0) if answers else 1.0
            source = f"counted by '{name}' at {len(tokens)} of {len(payloads)} points looked at"
            return (float(np.mean(tokens)), source), share
    return None, 1.0


def _count(mark: Any, name: str) -> int:
    found = mark.get(name) if isinstance(mark, Mapping) else None
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 0


def _estimated(
    collection: Collection, info: CollectionInfo, sample: Sequence[PointId]
) -> tuple[float, str]:
    """Mean tokens by the lengths of texts.

    Raises:
        InputError: no point shows a text.
    """
    template = point_template(collection)
    lengths = []
    for record in _retrieved(collection, sample[:PAGE]):
        with suppress(BadRecordError):
            lengths.append(len(template.render(record.content).encode()))
    if not lengths:
        raise InputError(
            f"none of {len(sample[:PAGE])} points of collection '{info.name}' that were looked at "
            f"shows a text to estimate tokens by; give their mean with --tokens"
        )
    source = (
        f"estimated from {len(lengths)} texts, {BYTES_PER_TOKEN} bytes a token; --tokens, or "
        f"represent hidden, says it exactly"
    )
    return float(np.mean(lengths)) / BYTES_PER_TOKEN, source


def _sample(collection: Collection, where: Filter | None) -> list[PointId]:
    ids = list(islice(chain.from_iterable(collection.scroll_ids(where)), LISTED_IDS))
    places = np.random.default_rng(len(ids)).permutation(len(ids))[:LOOKED_AT]
    return [ids[place] for place in places.tolist()]


def _retrieved(collection: Collection, ids: Sequence[PointId], *fields: str) -> Iterator[Any]:
    for at in range(0, len(ids), PAGE):
        wanted: Any = list(fields) or True
        yield from collection.retrieve(ids[at : at + PAGE], payloads=wanted)
