"""Sections of a transport problem: coverage, near-duplicates, who serves whom, near misses."""

from __future__ import annotations

from collections.abc import Callable

from tsds_qdrant.report import plots
from tsds_qdrant.report.figures import ReportFigures
from tsds_qdrant.report.groups import SHOWN
from tsds_qdrant.report.markup import Html, tag
from tsds_qdrant.report.misses import BEYOND, NOT_DRAWN, Miss
from tsds_qdrant.report.numbers import shown
from tsds_qdrant.report.section import Section, chosen_name, plot_place
from tsds_qdrant.report.tables import (
    ITEM_LENGTH,
    Column,
    candidate_list,
    example_cell,
    table,
    text_cell,
)
from tsds_qdrant.report.transport import TransportFigures


def coverage_section(figures: ReportFigures, transport: TransportFigures) -> Section:
    """How well each task example is served."""
    coverage, texts = transport.coverage, figures.example_texts
    empty = int((coverage.selected == 0).sum())
    found = (
        f"{empty:,} of {len(coverage.mean):,} have none in the sample."
        if empty
        else "Each of them has at least one in the sample."
    )
    said = tag(
        "p",
        "Every task example sends its mass to the candidates near it; the mean distance of that "
        "mass says how well the pool serves it. ",
        found if figures.chosen.drawn else "",
    )
    columns = [
        Column("task example", "text"),
        Column("mass"),
        Column("candidates"),
        Column(chosen_name(figures)),
        Column("nearest"),
        Column("mean distance"),
        Column("its nearest candidates", "wide"),
    ]
    rows = [
        [
            example_cell(example, texts),
            f"{coverage.mass[example]:.2%}",
            shown(int(coverage.used[example])),
            shown(int(coverage.selected[example])),
            f"{coverage.nearest[example]:.3f}",
            f"{coverage.mean[example]:.3f}",
            candidate_list(nearest, figures.texts, chosen_name(figures)),
        ]
        for example, nearest in transport.worst.items()
    ]
    title = "Coverage of the task examples"
    distances = {"mean of its mass": coverage.mean, "nearest candidate": coverage.nearest}
    return Section(
        "coverage",
        title,
        (
            said,
            plot_place("coverage", title),
            tag("h3", f"The {len(rows)} worst served"),
            table(columns, rows, label="Worst served task examples"),
        ),
        {"coverage": plots.coverage_lines(coverage.worst_first, distances, texts)},
    )


def duplicate_section(figures: ReportFigures, transport: TransportFigures) -> Section:
    """Groups of near-duplicates, and what the density correction did."""
    groups, title = transport.groups, "Near-duplicates"
    h = transport.evidence.bandwidth
    if groups is None:
        used = transport.evidence.solution.problem.regularizer
        why = f"Densities were not in use (regulariser {used}, h 0): every candidate counted alone."
        return Section("duplicates", title, (tag("p", why),))
    if not groups.count:
        why = f"No two candidates with p > 0 lie within the bandwidth {h:.4g} of each other."
        return Section("duplicates", title, (tag("p", why),))
    said = tag(
        "p",
        f"{groups.count:,} groups of candidates with p > 0 that lie within the bandwidth "
        f"{h:.4g} of each other, directly or through others, hold {groups.candidates:,} "
        f"candidates. As near-duplicates share their mass, they have {groups.probability:.1%} of "
        f"p; if each of them counted alone, they would have {groups.undivided:.1%}.",
    )
    columns = [
        Column("members"),
        Column(chosen_name(figures)),
        Column("in the pool"),
        Column("density"),
        Column("p"),
        Column("p if alone"),
        Column("some of them", "wide"),
    ]
    rows = [
        [
            shown(len(group.members)),
            shown(group.selected),
            shown(group.pool),
            f"{group.density:.2f}",
            f"{group.probability:.2%}",
            f"{group.undivided:.2%}",
            tag(
                "ul",
                *(tag("li", text_cell(figures.texts.get(row), ITEM_LENGTH)) for row in members),
            ),
        ]
        for group in groups.rows
        for members in (group.members[:SHOWN].tolist(),)
    ]
    notes = tag(
        "p",
        "“In the pool” counts all points within h of a member. “p if alone” is p times "
        "density, scaled to sum 1 over all candidates.",
        class_="note",
    )
    parts = (said, table(columns, rows, label="Groups of near-duplicates"), notes)
    return Section("duplicates", title, parts)


def served_section(figures: ReportFigures, transport: TransportFigures) -> Section:
    """Who was selected for which example."""
    said = tag(
        "p",
        "Task examples from the worst served to the best, in even steps, with the nearest of the "
        "candidates that were selected among those they send mass to. One candidate may serve "
        "several examples; in the files of the selection, “query” is the nearest of them.",
    )
    p = transport.evidence.solution.probabilities
    columns = [
        Column("task example", "text"),
        Column("distance"),
        Column("p"),
        Column("selected candidate", "wide"),
    ]
    rows = []
    for example, served in transport.served.items():
        if not served:
            none = tag("span", "none", class_="none")
            rows.append([example_cell(example, figures.example_texts), "", "", none])
        for place, one in enumerate(served):
            rows.append(
                [
                    example_cell(example, figures.example_texts) if not place else "",
                    f"{one.distance:.3f}",
                    f"{p[one.candidate]:.3g}",
                    text_cell(figures.texts.get(one.candidate)),
                ]
            )
    title = "Who was selected for which example"
    return Section("selected", title, (said, table(columns, rows, label=title)))


def miss_section(figures: ReportFigures, transport: TransportFigures) -> Section:
    """What was nearly selected, and why it was not."""
    misses = transport.misses
    undrawn = "Every candidate with p > 0 was selected."
    if not figures.chosen.drawn:
        undrawn = "No sample was drawn."
    if misses.not_drawn:
        undrawn = (
            f"{misses.not_drawn:,} candidates have p > 0, but {_why_not(figures)}. These have the "
            "largest p of them; beside each is the nearest example that sends it mass."
        )
    beyond = "No candidate was fetched that has no p."
    if misses.beyond:
        beyond = (
            f"{misses.beyond:,} candidates were fetched as neighbours and get no p: the nearer "
            "ones take all the mass of the task examples. These lie least beyond the farthest "
            "candidate that an example sends mass to."
        )
    parts = (
        tag("h3", "Not drawn"),
        tag("p", undrawn),
        *_miss_table(figures, transport, NOT_DRAWN, "p", lambda miss: f"{miss.probability:.3g}"),
        tag("h3", "Beyond the threshold"),
        tag("p", beyond),
        *_miss_table(
            figures, transport, BEYOND, "missed by", lambda miss: f"{miss.beyond_reach:.2g}"
        ),
    )
    return Section("misses", "Near misses", parts)


def _why_not(figures: ReportFigures) -> str:
    """Why candidates with p > 0 were not taken, by the sampler."""
    settings = figures.selection.settings
    why = ["others have more"]
    if settings.by_chance:
        why = ["chance took others"]
    elif settings.wanted.sampler == "thinned":
        why.insert(0, "near-duplicates of them were taken")
    why += ["a bound on the sample passed over them"] * settings.bounds.any
    return ", or ".join(why)


def _miss_table(
    figures: ReportFigures,
    transport: TransportFigures,
    why: str,
    fact: str,
    told: Callable[[Miss], str],
) -> list[Html]:
    """The table of the misses for one reason, if there are any."""
    columns = [
        Column("task example", "text"),
        Column("distance"),
        Column(fact),
        Column("candidate", "wide"),
    ]
    rows = [
        [
            example_cell(miss.example, figures.example_texts),
            f"{miss.distance:.4f}",
            told(miss),
            text_cell(figures.texts.get(miss.candidate)),
        ]
        for miss in transport.misses.rows
        if miss.why == why
    ]
    return [table(columns, rows, label=f"Near misses, {why}")] if rows else []
