"""Sections of a selection without a transport problem: coverage, who is near whom, the order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tsds_qdrant.report import plots
from tsds_qdrant.report.figures import ReportFigures
from tsds_qdrant.report.markup import Html, tag
from tsds_qdrant.report.nearest import NearestFigures, Passed, PassedOver
from tsds_qdrant.report.numbers import shown
from tsds_qdrant.report.section import Section, chosen_name, plot_place
from tsds_qdrant.report.tables import Column, candidate_list, example_cell, table, text_cell


def coverage_section(figures: ReportFigures, near: NearestFigures) -> Section:
    """How near the selection comes to each task example."""
    name, texts, title = (
        chosen_name(figures),
        figures.example_texts,
        "Coverage of the task examples",
    )
    if not near.stored:
        why = f"None of the {len(figures.chosen.rows):,} candidates {name} is still stored."
        return Section("coverage", title, (tag("p", why),))
    pool, nearest_there = "the pool has", "nearest in the pool"
    if not figures.pool.whole:
        pool = f"the {len(figures.pool.records):,} points sampled from the pool have"
        nearest_there = "nearest of the sample"
    said = tag(
        "p",
        f"How far it is from each task example to the nearest of {near.stored:,} candidates "
        f"{name}. For {near.outdone:,} of {len(near.distance):,} task examples, {pool} a nearer "
        "one.",
    )
    columns = [
        Column("task example", "text"),
        Column(nearest_there),
        Column(f"nearest {name}"),
        Column(f"{name} near it"),
        Column(f"the nearest {name}", "wide"),
    ]
    rows = [
        [
            example_cell(example, texts),
            f"{near.in_pool[example]:.3f}",
            f"{near.distance[example]:.3f}",
            shown(int(near.counts[example])),
            candidate_list(found, figures.texts),
        ]
        for example, found in near.worst.items()
    ]
    distances = {f"nearest {name}": near.distance, nearest_there: near.in_pool}
    parts = (
        said,
        plot_place("coverage", title),
        tag("h3", f"The {len(rows)} farthest from the selection"),
        table(columns, rows, label="Task examples farthest from the selection"),
    )
    drawn = {"coverage": plots.coverage_lines(near.worst_first, distances, texts)}
    return Section("coverage", title, parts, drawn)


def selected_section(figures: ReportFigures, near: NearestFigures) -> Section:
    """Which selected candidates have which example as their nearest."""
    without = int(np.count_nonzero(near.counts == 0))
    said = tag(
        "p",
        "Task examples from the farthest to the nearest, in even steps, each with the selected "
        "candidates that are nearer to it than to any other; in the files of the selection, "
        f"“query” is that example. {without:,} of {len(near.counts):,} task examples have none.",
    )
    columns = [
        Column("task example", "text"),
        Column("distance"),
        Column("selected candidate", "wide"),
    ]
    rows = []
    for example, found in near.served.items():
        name = example_cell(example, figures.example_texts)
        if not found:
            rows.append([name, "", tag("span", "none", class_="none")])
        rows += [
            [name if not place else "", f"{one.distance:.3f}", _text(figures, one.candidate)]
            for place, one in enumerate(found)
        ]
    title = "Who was selected near which example"
    return Section("selected", title, (said, table(columns, rows, label=title)))


def passed_section(figures: ReportFigures, passed: PassedOver) -> Section:
    """What of the strategy's order was not selected."""
    sample = figures.selection.samples[max(figures.selection.samples)]
    bounds = ", ".join(met.name for met in sample.met)
    kept_out = "No candidate that stands before the last selected one was left out."
    if passed.before:
        kept_out = (
            f"{passed.before:,} candidates stand in the order of the strategy before the last "
            f"selected one, and a bound on the sample kept them out ({bounds})."
        )
    behind = "Nothing further was ranked."
    if passed.behind:
        behind = f"{passed.behind:,} more were ranked behind the last selected one."
    parts = (
        tag("h3", "Kept out by a bound"),
        tag("p", kept_out),
        *_passed_table(figures, passed.kept_out, "Candidates kept out by a bound"),
        tag("h3", "Next in the order"),
        tag("p", behind),
        *_passed_table(figures, passed.following, "Candidates next in the order"),
    )
    return Section("misses", "Near misses", parts)


def _passed_table(figures: ReportFigures, rows: Sequence[Passed], title: str) -> Iterator[Html]:
    """The table of ``rows``, if there are any."""
    if not rows:
        return
    columns = [
        Column("place in the order"),
        Column("nearest task example", "text"),
        Column("distance"),
        Column("candidate", "wide"),
    ]
    cells = [
        [
            shown(one.place),
            example_cell(one.example, figures.example_texts) if one.example >= 0 else "",
            f"{one.distance:.3f}" if one.example >= 0 else "",
            _text(figures, one.candidate),
        ]
        for one in rows
    ]
    yield table(columns, cells, label=title)


def _text(figures: ReportFigures, candidate: int) -> Html:
    return text_cell(figures.texts.get(candidate))
