"""A pool whose payloads can be bounded, and settings of selections from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pool_oracle import clustered_rows, near_queries

from tsds_qdrant import SelectionSettings
from tsds_qdrant.selection.quotas import Quota

ROWS = clustered_rows(600, 6, 12)
QUERIES = near_queries(ROWS, 8)
PAYLOADS: list[dict[str, Any]] = [
    {
        "text": "word " * (k % 13 + 1),
        "source": ["web", "wiki", "code"][k % 7 % 3],
        "author": {"name": f"a{k % 40}"},
        "tags": [f"t{k % 2}", f"t{k % 3}"],
        "n": k % 13 + 1,
        "long": k % 13 + 31,
    }
    | ({"rare": k % 2} if k % 5 else {})
    for k in range(600)
]
GIVEN = SelectionSettings.of(sizes=(60,), alpha=0.1, cost_scale=1.0, bandwidth=0.8)
METADATA = {"text": {"text_field": "text"}}


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


TIGHT = (Quota("source", 0.35), Quota("author.name", 0.05))
FREE = GIVEN.altered(sizes=(60,), alpha=None)
