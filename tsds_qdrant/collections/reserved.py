"""Payload fields that belong to this package."""

from __future__ import annotations

from typing import Any

SEQUENCE_FIELD = "_tsds_seq"
"""Payload field of points that ``ingest`` stored: a number that grows with every write."""
TAG_FIELD = "tsds"
"""Payload field of selected points: name -> tag, see :mod:`tsds_qdrant.runs.write_back`."""
TAG_KEYS = frozenset({"rank", "run"})
"""What every tag holds."""


def is_tag(value: Any) -> bool:
    """Whether a payload value is a tag of write-back."""
    return isinstance(value, dict) and value.keys() >= TAG_KEYS
