"""Filters joined with conditions of our own, which must hold beside a filter of the user's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsds_qdrant.collections.values import Filter


def joined(where: Filter | None, *conditions: Mapping[str, Any]) -> Filter | None:
    """``where`` and all ``conditions``; None where there is nothing to hold to."""
    if not conditions:
        return where
    return {"must": [dict(part) for part in ([where] if where else []) + list(conditions)]}
