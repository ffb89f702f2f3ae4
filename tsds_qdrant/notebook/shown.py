"""A selection as a notebook shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from tsds_qdrant.errors import InputError
from tsds_qdrant.pool.texts import own_template
from tsds_qdrant.records import TextTemplate
from tsds_qdrant.records.fields import label
from tsds_qdrant.records.usual import usual_template
from tsds_qdrant.report.markup import tag
from tsds_qdrant.selection.selection import Selection

FIRST = 10
LONGEST = 160
NUMBERS = ("probability", "distance", "score")


def headline(selection: Selection, size: int | None) -> str:
    """How many were selected of how many, for what, how, and how far they are."""
    drawn = 0 if size is None else len(selection.samples[size].candidates)
    parts = [
        f"{drawn:,} of {selection.candidates:,} for {selection.queries:,} task examples, "
        f"by {selection.strategy}"
    ]
    if size is not None:
        far = selection.nearest_distance[selection.samples[size].candidates]
        if np.isfinite(far).any():
            parts.append(f"mean distance {np.nanmean(far):.3f}")
    return "; ".join(parts)


def page_of(
    selection: Selection,
    size: int | None,
    rows: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
) -> str:
    """Figures and the first rows as HTML, in which all that comes from data is escaped."""
    payloads = [row["payload"] or {} for row in rows[:FIRST]]
    template = own_template(selection.collection)
    if not template.to_dict():
        template = usual_template(payloads)
    numbers = [name for name in NUMBERS if rows and rows[0].get(name) is not None]
    heads = ["rank", "index", *numbers, "nearest example", "row"]
    lines = [
        tag(
            "tr",
            tag("td", str(row["rank"])),
            tag("td", str(row["index"])),
            *(tag("td", f"{row[name]:.4g}") for name in numbers),
            tag("td", str(row["query"]) if row["query"] >= 0 else ""),
            tag("td", _text(row["payload"] or {}, template), style="text-align:left"),
        )
        for row in rows[:FIRST]
    ]
    more = len(rows) - FIRST
    return tag(
        "div",
        tag("p", headline(selection, size)),
        tag(
            "table",
            tag("thead", tag("tr", *(tag("th", head) for head in heads))),
            tag("tbody", *lines),
        ),
        *([tag("p", f"and {more:,} more")] if more > 0 else []),
        *(tag("p", note) for note in notes),
    )


def _text(payload: Mapping[str, Any], template: TextTemplate) -> str:
    text = label(payload) if payload else ""
    with suppress(InputError):
        text = template.render(payload)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}.."
