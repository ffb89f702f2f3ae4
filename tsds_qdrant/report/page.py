"""The page: one HTML file that holds everything and loads nothing."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files

from tsds_qdrant.report.figures import ReportFigures
from tsds_qdrant.report.listed import (
    coverage_section,
    duplicate_section,
    miss_section,
    served_section,
)
from tsds_qdrant.report.markup import Html, tag
from tsds_qdrant.report.nearest_sections import nearest_sections
from tsds_qdrant.report.overview import figures_table, headline
from tsds_qdrant.report.plotted import (
    curve_sections,
    distance_section,
    map_section,
    path_section,
    share_section,
)
from tsds_qdrant.report.section import Section


def page_of(figures: ReportFigures) -> str:
    """The whole page.

    Only the two scripts written here may run in it, by their hashes; it may load nothing.
    """
    from plotly.offline import get_plotlyjs

    sections = sections_of(figures)
    scripts = [re.sub("\r\n?", "\n", text) for text in (get_plotlyjs(), _own("page.js"))]
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        f"img-src data: blob:; base-uri 'none'; form-action 'none'"
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
    body = tag(
        "body",
        headline(figures),
        tag("nav", *(tag("a", part.title, href=f"#{part.name}") for part in sections)),
        tag("main", *(_section(part) for part in sections)),
        tag("script", _plots_json(sections), type="application/json", id="plots"),
        *(tag("script", Html(script)) for script in scripts),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def sections_of(figures: ReportFigures) -> list[Section]:
    """All sections, in order; which there are depends on the strategy."""
    transport, near, shares = figures.transport, figures.nearest, figures.shares
    sections = [Section("figures", "Settings and figures", (figures_table(figures),))]
    sections += [path_section(transport)] if transport else []
    sections += curve_sections(figures)
    sections += [distance_section(figures), map_section(figures)]
    if transport:
        sections += [
            coverage_section(figures, transport),
            duplicate_section(figures, transport),
            served_section(figures, transport),
            miss_section(figures, transport),
        ]
    sections += nearest_sections(figures, near) if near else []
    sections += [share_section(figures, shares)] if shares else []
    return sections


def _section(part: Section) -> Html:
    return tag("section", tag("h2", part.title), *part.parts, id=part.name)


def _plots_json(sections: Iterable[Section]) -> Html:
    """All plots by the ids of their places; no ``<`` in it can end the script element."""
    plots = {
        f"plot-{key}": {
            "plot": json.loads(plot.to_json(validate=False)),
            "buttons": part.buttons,
        }
        for part in sections
        for key, plot in part.plots.items()
    }
    text = json.dumps(plots, separators=(",", ":"))
    return Html(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _own(name: str) -> str:
    return (files("tsds_qdrant.report") / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """The hash that lets ``script`` run; a browser takes it with plain line ends."""
    return b64encode(sha256(script.encode("utf-8")).digest()).decode("ascii")
