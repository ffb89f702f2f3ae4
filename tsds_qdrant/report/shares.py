"""How the values of a payload field share the pool, the probabilities and the selection."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tsds_qdrant.collections.values import Filter, Payload
from tsds_qdrant.errors import InputError
from tsds_qdrant.files.json_values import json_safe
from tsds_qdrant.pool.members import Members
from tsds_qdrant.records.fields import field_values, label

LISTED = 20
"""Maximum number of values listed; the others are summed up."""
COUNTED_POINTS = 20_000
"""Up to this many points, values are counted in the whole pool even without an index."""
NOTHING = "(no value)"
OTHERS = "(other values)"

Weighed = Sequence[tuple[Payload, float]]
"""Payloads, each with its share; the shares sum to 1."""


@dataclass(frozen=True)
class ValueShare:
    """One value of the field; shares in [0, 1], that of p None where there is no p."""

    value: str
    pool: float
    probability: float | None
    selected: float


@dataclass(frozen=True)
class Shares:
    """Shares of all values.

    Attributes:
        field: the payload field.
        rows: by falling share of p, or of the selection where there is no p; what is beyond
            ``LISTED`` is one row.
        counted: whether the pool was counted; otherwise its shares are those of a sample.
    """

    field: str
    rows: tuple[ValueShare, ...]
    counted: bool


def shares_of(
    field: str,
    members: Members,
    *,
    pool: Weighed,
    support: Weighed | None,
    selected: Weighed,
) -> Shares:
    """Compare the shares of the values of ``field``.

    Args:
        field: dots reach into nested records; every item of a list counts.
        members: the candidates; their collection is asked for exact counts where that is cheap.
        pool: a sample of the pool.
        support: candidates by p; None where there are no probabilities.
        selected: the selection.

    Raises:
        InputError: no payload that was looked at has the field.
    """
    weighed = selected if support is None else support
    parts = [_weigh(payloads, field) for payloads in (pool, weighed, selected)]
    known = {key for part in parts for key in part if key is not None}
    if not known:
        raise missing_by(field, [payload for payload, _ in pool])
    info = members.collection.info()
    cheap = info.count <= COUNTED_POINTS and info.limits.unindexed_filter
    shown = sorted(known, key=lambda key: (-parts[1][key], -parts[0][key], key))[:LISTED]
    values = {key: json.loads(key) for key in shown}
    counted = (cheap or field in info.payload_indexes) and all(map(_countable, values.values()))
    limits, own = info.limits, members.where
    counted = counted and limits.exact and limits.has_room(own)
    if counted:
        tests: dict[str | None, Filter] = {
            key: {"key": field, "match": {"value": value}} for key, value in values.items()
        }
        for key, test in {**tests, None: {"is_empty": {"key": field}}}.items():
            parts[0][key] = members.having(test) / members.count
    rows = [(label(values[key]), [part[key] for part in parts]) for key in shown]
    if rest := known - {*shown}:
        rows.append((OTHERS, [sum(part[key] for key in rest) for part in parts]))
    if any(part[None] for part in parts):
        rows.append((NOTHING, [part[None] for part in parts]))
    made = (
        ValueShare(name, in_pool, None if support is None else in_p, in_selection)
        for name, (in_pool, in_p, in_selection) in rows
    )
    return Shares(field, tuple(made), counted)


def missing_by(field: str, payloads: list[Payload]) -> InputError:
    """The error of a field that none of ``payloads`` has."""
    names = sorted({name for payload in payloads for name in payload})[:LISTED]
    seen = f"their fields: {', '.join(names)}" if names else "they have no fields"
    return InputError(
        f"none of {len(payloads)} candidates looked at has the payload field '{field}' "
        f"({seen}); name one of theirs with --by"
    )


def _weigh(payloads: Weighed, field: str) -> defaultdict[str | None, float]:
    shares: defaultdict[str | None, float] = defaultdict(float)
    for payload, share in payloads:
        for key in _keys(payload, field):
            shares[key] += share
    return shares


def _keys(payload: Mapping[str, Any], field: str) -> set[str | None]:
    """The values of ``field`` as JSON; None where there is none."""
    values: list[Any] = []
    for value in field_values(payload, field):
        values += value if isinstance(value, list) else [value]
    keys: set[str | None] = {
        json.dumps(json_safe(value), ensure_ascii=False, sort_keys=True)
        for value in values
        if value is not None
    }
    return keys or {None}


def _countable(value: Any) -> bool:
    """Whether a filter can match ``value``."""
    return isinstance(value, str) or (isinstance(value, int) and abs(value) < 2**63)
