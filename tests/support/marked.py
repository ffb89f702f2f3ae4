"""Marks of representations as ``represent`` leaves them, for strategies that go by fields."""

from __future__ import annotations

from typing import Any


def marks(number: int) -> dict[str, Any]:
    """Scores of ``hidden`` and a cluster, for the payload of a point."""
    hidden = {
        "loss": (number * 7 % 23) / 10,
        "entropy": (number * 5 % 17) / 10,
        "el2n": (number * 3 % 13) / 10,
    }
    return {"_tsds_made": {"hidden": hidden, "clusters": {"cluster": number % 3}}}
