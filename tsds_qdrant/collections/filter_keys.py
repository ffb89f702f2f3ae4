"""The payload fields that a filter looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def filtered_fields(where: Any) -> set[str]:
    """The payload fields that a filter looks at, by the names that Qdrant has for them."""
    if isinstance(where, Mapping):
        nested = where.get("nested")
        if isinstance(nested, Mapping):
            key = str(nested.get("key")).removesuffix("[]")
            return {f"{key}[].{field}" for field in filtered_fields(nested.get("filter"))} or {key}
        own = {where["key"]} if isinstance(where.get("key"), str) else set()
        return own.union(*(filtered_fields(part) for part in where.values()))
    if isinstance(where, list):
        return set().union(*(filtered_fields(part) for part in where))
    return set()
