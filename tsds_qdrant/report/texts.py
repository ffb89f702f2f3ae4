"""Texts of points and task examples, short enough for a table or a label."""

from __future__ import annotations

from html import escape
from textwrap import wrap

from tsds_qdrant.pool.texts import shortened

LABEL_WIDTH = 60
"""Maximum number of characters in one line of a plot's label."""


def label(text: str, *facts: str) -> str:
    """A label for a plot: ``facts`` and the text, escaped, a few lines of them.

    Plots read a small markup in their labels (links, bold, line breaks); escaping takes it away.
    Of entities they know a few only, so quotes, which are harmless there, stay as they are.
    """
    lines = (*facts, *wrap(shortened(text), LABEL_WIDTH))
    return "<br>".join(escape(line, quote=False) for line in lines)
