"""Tables of a page: they scroll within themselves, and become lists on a narrow screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from tsds_qdrant.pool.texts import LENGTH, shortened
from tsds_qdrant.report.coverage import Near
from tsds_qdrant.report.markup import Html, tag

GONE = "(no longer stored)"
NO_TEXT = "(no text)"
ITEM_LENGTH = 120
"""Maximum number of characters of a text in a list inside a table."""


class Column(NamedTuple):
    """A column: its head, and what its cells hold."""

    name: str
    kind: Literal["number", "text", "wide", "word"] = "number"


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], *, label: str, whole: bool = False
) -> Html:
    """A table of ``rows``, which have a cell for each column; ``whole``: of any height."""
    head = [tag("th", column.name, class_=column.kind, scope="col") for column in columns]
    body = [
        tag(
            "tr",
            *(
                tag("td", cell, class_=column.kind, data_label=column.name)
                for cell, column in zip(row, columns, strict=True)
            ),
        )
        for row in rows
    ]
    made = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body))
    names = "scroll whole-height" if whole else "scroll"
    return tag("div", made, class_=names, tabindex="0", role="region", aria_label=label)


def text_cell(text: str | None, length: int = LENGTH) -> Html:
    """A text, or why there is none."""
    if text is None:
        return tag("span", GONE, class_="none")
    line = shortened(text, length)
    return tag("span", line) if line else tag("span", NO_TEXT, class_="none")


def example_cell(number: int, texts: Sequence[str]) -> Html:
    """A task example: its number, counted from 0 as in the selection, and its text."""
    line = shortened(texts[number], ITEM_LENGTH)
    return tag("span", tag("b", f"#{number}"), f" {line}" if line else "")


def candidate_list(near: Iterable[Near], texts: Mapping[int, str], mark: str = "") -> Html:
    """Candidates with distance and text; those selected have a ``mark``, if there is one."""
    items = [
        tag(
            "li",
            tag("span", f"{one.distance:.3f}", class_="distance"),
            " ",
            tag("span", mark, class_="mark") if one.selected and mark else "",
            " " if one.selected and mark else "",
            text_cell(texts.get(one.candidate), ITEM_LENGTH),
        )
        for one in near
    ]
    return tag("ul", *items) if items else tag("span", "none", class_="none")
