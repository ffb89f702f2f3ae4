"""Sections on the selection itself: some of its texts, and all of it in one table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tsds_qdrant.pool.texts import shortened
from tsds_qdrant.report.figures import ReportFigures
from tsds_qdrant.report.markup import tag
from tsds_qdrant.report.numbers import significant
from tsds_qdrant.report.rows import Row
from tsds_qdrant.report.section import Section, chosen_name
from tsds_qdrant.report.tables import ITEM_LENGTH, Column, example_cell, table, text_cell


def text_section(figures: ReportFigures) -> Section:
    """Some texts, from the nearest to the task to the farthest."""
    shown, title = figures.rows.spread, "Ten of its texts"
    if not shown:
        why = f"None of the {figures.rows.total:,} candidates {chosen_name(figures)} is stored."
        return Section("texts", "Its texts", (tag("p", why),))
    if len(shown) < figures.rows.total:
        said = "From the nearest to the task to the farthest, in even steps."
    else:
        said, title = "From the nearest to the task to the farthest.", "Its texts"
    columns = [Column("distance"), Column("text", "wide"), Column("nearest task example", "text")]
    rows = [
        [
            tag("span", f"{row.distance:.3f}", class_="near" if _near(figures, row) else None),
            text_cell(row.text),
            example_cell(row.example, figures.example_texts) if row.example >= 0 else "",
        ]
        for row in shown
    ]
    parts = (tag("p", said, *_legend(figures)), table(columns, rows, label=title, whole=True))
    return Section("texts", title, parts)


def selection_section(figures: ReportFigures) -> Section:
    """The whole selection, which the script lists, sorts and searches."""
    listed, total = len(figures.rows.rows), figures.rows.total
    name = chosen_name(figures)
    said = f"All {total:,} candidates {name}"
    if listed < total:
        said = f"The first {listed:,} of {total:,} candidates {name}; all are in the files"
    title = "The whole selection"
    tools = tag(
        "div",
        tag(
            "label",
            "Search ",
            tag("input", type="search", id="find", placeholder="texts, ids, values"),
        ),
        tag("output", id="found", for_="find"),
        class_="tools",
    )
    place = tag(
        "div",
        tag("table", tag("thead", tag("tr")), tag("tbody"), id="selection-table"),
        class_="scroll long",
        tabindex="0",
        role="region",
        aria_label=title,
    )
    pages = tag(
        "div",
        tag("button", "Previous", id="previous", type="button"),
        tag("span", id="page"),
        tag("button", "Next", id="next", type="button"),
        class_="pages",
    )
    parts = (
        tag("p", f"{said}. The head of a column sorts by it.", *_legend(figures)),
        tag("noscript", tag("p", "The table needs JavaScript.", class_="warning")),
        tools,
        place,
        pages,
    )
    return Section("selection", title, parts)


def rows_for_script(figures: ReportFigures) -> dict[str, Any]:
    """Columns, rows and texts of task examples for the script that makes the table."""
    rows, by = figures.rows.rows, figures.shares.field if figures.shares else ""
    weighed, scored = (
        any(row.weight > 1 for row in rows),
        any(row.score is not None for row in rows),
    )
    tasks = any(row.task for row in rows)
    chances = any(row.probability is not None for row in rows)
    columns = [
        ("rank", "number", [row.rank for row in rows]),
        ("text", "wide", [row.text for row in rows]),
        ("distance", "distance", [_number(row.distance, 4) for row in rows]),
        *([("weight", "number", [row.weight for row in rows])] if weighed else []),
        *([("score", "number", [_number(row.score, 4) for row in rows])] if scored else []),
        *([("p", "number", [_number(row.probability, 3) for row in rows])] if chances else []),
        *([("task", "word", [row.task for row in rows])] if tasks else []),
        *([(by, "word", [row.value for row in rows])] if by else []),
        ("task example", "example", [row.example for row in rows]),
        ("id", "id", [str(row.point_id) for row in rows]),
    ]
    named = {row.example for row in rows if row.example >= 0}
    return {
        "columns": [{"name": name, "kind": kind, "cells": cells} for name, kind, cells in columns],
        "examples": {
            number: shortened(figures.example_texts[number], ITEM_LENGTH)
            for number in sorted(named)
            if figures.example_texts[number]
        },
        "near": figures.yardstick,
    }


def _number(value: float | None, digits: int) -> float | None:
    return None if value is None or np.isnan(value) else significant(value, digits)


def _near(figures: ReportFigures, row: Row) -> bool:
    return figures.yardstick is not None and row.distance <= figures.yardstick


def _legend(figures: ReportFigures) -> Iterator[str]:
    """What a marked distance means."""
    if figures.yardstick is not None:
        yield " A distance "
        yield tag("span", "in blue", class_="near")
        yield " is nearer than the task examples lie to each other."
