"""Payload fields that belong to this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SEQUENCE_FIELD = "_tsds_seq"
"""Payload field of points that ``ingest`` stored: a number that grows with every write."""
TAG_FIELD = "tsds"
"""Payload field of selected points: name -> tag, see :mod:`tsds_qdrant.runs.write_back`."""
TAG_KEYS = frozenset({"rank", "run"})
"""What every tag holds."""


def reserved_field(payload: Mapping[str, Any]) -> str | None:
    """The field of ``payload`` that this package would take for its own, if there is one."""
    if SEQUENCE_FIELD in payload:
        return SEQUENCE_FIELD
    tags = payload.get(TAG_FIELD)
    return TAG_FIELD if isinstance(tags, dict) and any(map(is_tag, tags.values())) else None


def is_tag(value: Any) -> bool:
    """Whether a payload value is a tag of write-back."""
    return isinstance(value, dict) and value.keys() >= TAG_KEYS
