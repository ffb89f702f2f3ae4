"""The page: one HTML file that holds everything and loads nothing."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from tsds_qdrant.report.figures import ReportFigures
from tsds_qdrant.report.head import headline
from tsds_qdrant.report.listed import (
    coverage_section,
    duplicate_section,
    miss_section,
    served_section,
)
from tsds_qdrant.report.markup import Html, tag
from tsds_qdrant.report.nearest_sections import coverage_section as near_coverage_section
from tsds_qdrant.report.nearest_sections import passed_section, selected_section
from tsds_qdrant.report.overview import figures_section
from tsds_qdrant.report.plotted import (
    curve_sections,
    distance_section,
    map_section,
    path_section,
    share_section,
)
from tsds_qdrant.report.section import Section
from tsds_qdrant.report.selection_sections import (
    rows_for_script,
    selection_section,
    text_section,
)
from tsds_qdrant.report.task_section import task_section

SCRIPTS = ("vendored/chart.umd.min.js", "vendored/chartjs-plugin-zoom.min.js", "page.js")
"""What runs in the page, in order."""


def page_of(figures: ReportFigures) -> str:
    """The whole page.

    Only the scripts of this package may run in it, by their hashes; it may load nothing.
    """
    sections = sections_of(figures)
    scripts = [_script(name) for name in SCRIPTS]
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        f"base-uri 'none'; form-action 'none'"
    )
    name = figures.manifest["collection"]["name"]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"Selection from {name}"),
        tag("style", Html(_own("page.css"))),
    )
    plots = {f"plot-{key}": plot.as_dict() for part in sections for key, plot in part.plots.items()}
    body = tag(
        "body",
        headline(figures),
        tag("nav", *(tag("a", part.title, href=f"#{part.name}") for part in sections)),
        tag("main", *(_section(part) for part in sections)),
        tag("script", _json(plots), type="application/json", id="plots"),
        tag("script", _json(rows_for_script(figures)), type="application/json", id="rows"),
        *(tag("script", Html(script)) for script in scripts),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def sections_of(figures: ReportFigures) -> list[Section]:
    """All sections, in order; which there are depends on the strategy."""
    transport, near, shares = figures.transport, figures.nearest, figures.shares
    sections = [text_section(figures), selection_section(figures)]
    sections += [task_section(figures)] if figures.selection.tasks.names else []
    more: list[Section] = []
    if transport:
        sections.append(coverage_section(figures, transport))
        more = [
            path_section(transport),
            duplicate_section(figures, transport),
            served_section(figures, transport),
            miss_section(figures, transport),
        ]
    elif near:
        sections.append(near_coverage_section(figures, near))
        more = [selected_section(figures, near)]
        more += [passed_section(figures, near.passed)] if near.passed else []
    sections += [share_section(figures, shares)] if shares else []
    sections += [distance_section(figures), map_section(figures), *curve_sections(figures)]
    return [*sections, *more, figures_section(figures)]


def _section(part: Section) -> Html:
    return tag("section", tag("h2", part.title), *part.parts, id=part.name)


def _json(value: object) -> Html:
    """``value`` for a script element; no ``<`` in it can end that."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for sign in "&<>\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Html(text)


def _script(name: str) -> str:
    """A script as it stands in the page: with plain line ends, and without its source map."""
    text = re.sub("\r\n?", "\n", _own(name))
    return re.sub(r"\n//# sourceMappingURL=.*", "", text)


def _own(name: str) -> str:
    return files("tsds_qdrant.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """The hash that lets ``script`` run; a browser takes it with plain line ends."""
    return b64encode(sha256(script.encode("utf-8")).digest()).decode("ascii")
