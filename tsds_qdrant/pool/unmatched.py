"""Values that a filter asks for and that no point has."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tsds_qdrant.collections.protocol import Collection
from tsds_qdrant.collections.values import Filter
from tsds_qdrant.errors import RequestRejectedError, SettingsError
from tsds_qdrant.pool.fields import path_of, sampled_payloads
from tsds_qdrant.records.fields import field_values

SHOWN = 3
LONGEST_SHOWN = 60


def unmatched_in(collection: Collection, where: Filter) -> str:
    """Say which value of a filter no point has, and a few that some have; "" where all are there.

    The values are those of a few points. Where Qdrant may not be asked for the condition alone
    nothing is said.
    """
    info, payloads = collection.info(), None
    for condition in _equalities(where):
        key, wanted = condition["key"], next(iter(condition["match"].values()))
        if not info.limits.unindexed_filter and key not in info.payload_indexes:
            continue
        try:
            if collection.count({"must": [condition]}):
                continue
        except (RequestRejectedError, SettingsError):
            continue
        payloads = sampled_payloads(collection) if payloads is None else payloads
        path = path_of(key)
        there = Counter(
            value
            for payload in payloads
            for value in field_values(payload, path)
            if isinstance(value, (str, int)) and len(str(value)) <= LONGEST_SHOWN
        )
        wanted = wanted if isinstance(wanted, list) else [wanted]
        if there and wanted:
            named = " or ".join(map(_shown, wanted[:SHOWN]))
            return (
                f"no point has {named} in '{key}', where others have "
                f"{', '.join(map(_shown, _likeliest(there, wanted[0])))}; change --filter"
            )
    return ""


def _equalities(where: Filter) -> Iterator[dict[str, Any]]:
    """The conditions of ``where`` that ask a field for a value, or for one of several."""
    for clause in ("must", "should"):
        conditions = where.get(clause) or []
        for one in conditions if isinstance(conditions, list) else [conditions]:
            match = one.get("match") if isinstance(one, dict) else None
            if isinstance(match, dict) and [*match] in (["value"], ["any"]) and "key" in one:
                yield one


def _likeliest(there: Counter[Any], wanted: Any) -> list[Any]:
    """At most ``SHOWN`` of the values: texts that look like ``wanted``, then the commonest."""
    values = [value for value, _ in there.most_common()]
    texts = {value.casefold(): value for value in values if isinstance(value, str)}
    close = difflib.get_close_matches(str(wanted).casefold(), texts, n=SHOWN)
    return [*dict.fromkeys([*(texts[text] for text in close), *values])][:SHOWN]


def _shown(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value).lower()
