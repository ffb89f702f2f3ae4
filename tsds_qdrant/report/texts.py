"""Texts of points and task examples, short enough for a label."""

from __future__ import annotations

from tsds_qdrant.pool.texts import shortened


def label(text: str, *facts: str) -> str:
    """A label for a point of a plot: ``facts`` and the text, a line each; the page wraps them."""
    return "\n".join(filter(None, (*facts, shortened(text))))
