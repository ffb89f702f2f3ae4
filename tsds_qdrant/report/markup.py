"""HTML in which every text is escaped unless it was built here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = frozenset({"meta", "br"})


class Html(str):
    """Markup that stands as it is; every other string is a text, and is escaped."""

    __slots__ = ()


def tag(name: str, /, *parts: str, **attributes: str | bool | None) -> Html:
    """The element ``name`` around ``parts``: texts are escaped, :class:`Html` is kept.

    An attribute's value is escaped too; None or False leaves the attribute out, True gives it no
    value. Underscores at the end are dropped (``class_``), others become hyphens.
    """
    written = "".join(
        f" {_attribute(key)}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(parts)}</{name}>")


def joined(parts: Iterable[str], separator: str = "") -> Html:
    """``parts`` one after the other; texts are escaped."""
    kept = (part if isinstance(part, Html) else escape(part) for part in parts)
    return Html(escape(separator).join(kept))


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")
