"""The section on several tasks: what each of them got."""

from __future__ import annotations

from tsds_qdrant.report.figures import ReportFigures
from tsds_qdrant.report.markup import tag
from tsds_qdrant.report.section import Section, chosen_name
from tsds_qdrant.report.tables import Column, table
from tsds_qdrant.selection.by_task import shares_by_task


def task_section(figures: ReportFigures) -> Section:
    """A row for each task: its examples, what was selected for it, and how near that is."""
    title = "Each task"
    columns = [
        Column("task", "word"),
        Column("task examples"),
        Column("selected"),
        Column("share"),
        Column("nearer"),
        Column("mean distance"),
        Column("examples to each other"),
    ]
    rows = [
        [
            one.task,
            f"{one.examples:,}",
            f"{one.selected:,}",
            f"{one.share:.1%}",
            "" if one.nearer is None else f"{one.nearer:,}",
            "" if one.mean_distance is None else f"{one.mean_distance:.3f}",
            "" if one.yardstick is None else f"{one.yardstick:.3f}",
        ]
        for one in shares_by_task(figures.selection, figures.chosen.rows)
    ]
    said = tag(
        "p",
        f"A candidate {chosen_name(figures)} belongs to the task of the nearest task example. "
        f"Nearer: how many of them lie nearer to it than its examples lie to each other.",
    )
    return Section("tasks", title, (said, table(columns, rows, label=title, whole=True)))
